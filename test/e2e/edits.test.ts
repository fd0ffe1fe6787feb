/** A profile is edited while pods ask: how soon the change shows in answers, and what it costs. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Answer } from '../cluster/dns-client.ts';
import { connectionsSurvive, nothingLost } from '../datapath/goals.ts';
import { answerOf, serviceAddresses } from '../datapath/lab.ts';
import { eventually } from '../tools/eventually.ts';
import { inMode } from './proof.ts';

/** From the API server's word to the answers. */
const inForceMs = 2_000;
const target = '10.96.70.7';

inMode('nftables', (proof) => {
  before(async () => {
    await proof.served.serve();
    const spec = { clusterIP: target, ports: [{ port: 443 }] };
    await proof.served.cluster.control.applyOk([
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'stack' }, spec },
    ]);
    const asked = await ask('www.example');
    assert.deepEqual([asked.answers[0]?.data, (asked.answers[0]?.ttl ?? 0) > 5], [answerOf.clusterDns, true]);
  });

  const ask = (name: string): Promise<Answer> => {
    const [client] = proof.served.networks;
    assert.ok(client);
    return client.ask({ server: serviceAddresses.v4, name, timeoutMs: 1_000 });
  };

  const edit = async (what: string, spec: object, name: string, isInForce: (answer: Answer) => boolean) => {
    assert.equal(isInForce(await ask(name)), false, 'it is not in force before');
    await proof.ordeal(`profile edited: ${what}`, [nothingLost, connectionsSurvive], async () => {
      await proof.served.applyProfile(spec);
      const startedAt = performance.now();
      await eventually(`${what} is in force`, 10_000, async () => isInForce(await ask(name)));
      const ms = Math.round(performance.now() - startedAt);
      proof.fact(`${what}: in force after kubectl apply has returned`, `${ms} ms`);
      assert.ok(ms <= inForceMs, `${ms} ms`);
      return undefined;
    });
  };

  const redirects = [
    {
      name: 'stack',
      match: { suffixes: ['localhost.stack.example'] },
      target: { serviceRef: { namespace: 'default', name: 'stack' } },
    },
  ];
  const blockedDomains = [{ domain: 'ads.example', response: 'NxDomain' }];

  test('a redirect to a Service', async () => {
    await edit('a redirect', { redirects }, 's3.localhost.stack.example', ({ answers }) => answers[0]?.data === target);
  });

  test('a blocked domain', async () => {
    await edit('a block', { redirects, blockedDomains }, 'www.ads.example', ({ rcode }) => rcode === 'NXDOMAIN');
    assert.equal((await ask('s3.localhost.stack.example')).answers[0]?.data, target);
  });

  test('a bound of the cache', async () => {
    const kubeDNSOverrides = { example: { cacheDurationInSeconds: 5 } };
    const isBounded = ({ answers }: Answer) => answers.length > 0 && answers.every(({ ttl }) => ttl <= 5);
    await edit('a bound of the cache', { redirects, blockedDomains, kubeDNSOverrides }, 'www.bound.example', isBounded);
  });

  test('taken back, everything is as before', async () => {
    await edit('nothing of all that', {}, 'www.ads.example', ({ rcode }) => rcode === 'NOERROR');
  });
});
