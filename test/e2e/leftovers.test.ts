/**
 * What another node-local DNS has left on the node: LocalDNS says so, and leaves to it what it holds. Pods that ask an address which nobody
 * holds are answered by the agent; where it is the Service address that is held, the node stays on cluster DNS.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lostOnlyWhatTheDyingHeld, nothingLost, rightAnswers } from '../datapath/goals.ts';
import { serviceAddresses } from '../datapath/lab.ts';
import { nft } from '../datapath/network.ts';
import type { Moments } from '../datapath/ordeal.ts';
import { eventually } from '../tools/eventually.ts';
import { inMode } from './proof.ts';
import { system } from './served-cluster.ts';

const atService = { servers: [serviceAddresses.v4] };
const withinMs = 30_000;
const clearedMs = 60_000;

interface Leftover {
  product: string;
  interface: string;
  addresses: readonly string[];
  /** On its interface, too; untouched by its rules, so that kube-proxy leads on what is asked there. */
  service?: string;
  /** What the node's status says of interception. */
  holds: RegExp;
}

const leftovers: readonly Leftover[] = [
  {
    product: 'NodeLocal DNSCache',
    interface: 'nodelocaldns',
    addresses: ['169.254.20.10'],
    holds: /are answered here/,
  },
  {
    product: 'NodeLocal DNSCache',
    interface: 'nodelocaldns',
    addresses: ['169.254.20.10'],
    service: serviceAddresses.v4,
    holds: new RegExp(`holds ${serviceAddresses.v4} on interface nodelocaldns`),
  },
  {
    product: 'AKS LocalDNS',
    interface: 'localdns',
    addresses: ['169.254.10.10', '169.254.10.11'],
    holds: /holds 169\.254\.10\.10/,
  },
];

inMode('nftables', (proof) => {
  for (const { product, interface: name, addresses, service, holds } of leftovers) {
    const what = service === undefined ? product : `${product}, with the Service address,`;
    const leave = () => {
      const { node } = proof.served;
      node.ip('link', 'add', name, 'type', 'bridge');
      for (const address of [...addresses, ...(service === undefined ? [] : [service])]) {
        node.ip('address', 'add', `${address}/32`, 'dev', name);
      }
      nft(
        node,
        `table ip leftover {
        chain PREROUTING {
          type filter hook prerouting priority raw; policy accept;
          ip daddr { ${addresses} } udp dport 53 notrack
          ip daddr { ${addresses} } tcp dport 53 notrack
        }
        }`,
      );
    };
    const clear = () => {
      proof.served.node.ip('link', 'delete', name);
      nft(proof.served.node, 'delete table ip leftover');
    };

    test(`${what} has left its interface and rules: the preflight says so, and pods lose nothing`, async () => {
      const { served } = proof;
      await served.remove();
      try {
        leave();
        await proof.ordeal(
          `install beside what ${what} left`,
          [nothingLost, rightAnswers],
          async () => {
            await served.importImage();
            await served.install();
            await served.applyProfile();
            await served.label('default');
            await eventually(
              'the agent has said what it found',
              withinMs,
              async () => (await served.condition('Intercepting')) !== undefined,
            );
            return undefined;
          },
          atService,
        );
        const { pod } = proof.agent();
        const preflight = ['exec', '-n', system, pod, '--', 'localdns', 'agent', '--preflight'];
        const { stdout } = await served.cluster.control.kubectl(...preflight);
        assert.match(stdout, new RegExp(product));
        assert.match((await served.condition('Intercepting'))?.message ?? '', holds);
        if (service === undefined) await served.untilServed();
        for (const client of served.clients) assert.equal(await served.isServed(client), service === undefined);
        const deaths: Moments[] = [];
        await proof.ordeal(
          `kill -9 beside what ${what} left`,
          [lostOnlyWhatTheDyingHeld(deaths), rightAnswers],
          async () => {
            const moments = await proof.kill(proof.agent());
            deaths.push(moments);
            return moments;
          },
          atService,
        );
      } finally {
        clear();
      }
      const startedAt = performance.now();
      await eventually('all addresses are intercepted without help', clearedMs, async () =>
        /^queries to 169\.254\.10\.11.* are answered here$/.test(
          (await served.condition('Intercepting'))?.message ?? '',
        ),
      );
      proof.fact(
        `what ${what} left is removed: until all addresses are intercepted`,
        `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`,
      );
    });
  }
});
