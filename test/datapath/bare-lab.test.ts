/** The lab by itself, without an agent: what it measures is the cluster's own DNS, and what it compares stays the same. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { ClusterDns, everyName } from '../cluster/cluster-dns.ts';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import { bareLab } from './common-lab.ts';
import { answerOf, clusterListeners, type Lab, podCount, serviceAddresses } from './lab.ts';
import { type Addresses, addresses, podAddresses } from './network.ts';
import { nodeState, trackedDns } from './node-state.ts';
import { cachedNames, Traffic } from './traffic.ts';

let lab: Lab;
const loadMs = 2_000;
/** The whole machine is shared with etcd, the API server and the load itself: a bound, not a goal. */
const worstMs = 250;

describe('without an agent', () => {
  before(async () => {
    lab = await bareLab('iptables');
  });

  for (const mode of ['iptables', 'nftables'] as const) {
    test(`through kube-proxy in ${mode} mode pods lose no query, whatever the transport and the family`, async () => {
      await lab.setProxyMode(mode);
      const state = await nodeState(lab.node);
      const isNftables = state['nft list ruleset']?.some((table) => table.startsWith('table ip kube-proxy '));
      const isIptables = state['iptables-save']?.some(
        (line) => line.startsWith('-A KUBE-SERVICES') && line.includes('10.96.0.10'),
      );
      assert.deepEqual([isNftables, isIptables], [mode === 'nftables', mode === 'iptables'], 'rules of one mode alone');
      const traffic = await Traffic.start({ from: lab.pods, servers: Object.values(serviceAddresses) });
      await pause(loadMs);
      const account = await traffic.stop();
      console.log(`${mode}: ${account.sent} queries, ${account.lost.length} lost, slowest ${account.worstMs} ms`);
      assert.deepEqual(account.lost, []);
      assert.deepEqual(account.cuts, []);
      assert.ok(
        account.sent >= podCount * 300 * (loadMs / 1000),
        `at least 300 a second of each pod, not ${account.sent}`,
      );
      assert.ok(account.worstMs < worstMs, `${account.worstMs} ms`);
      assert.deepEqual(
        [...account.answers.keys()].filter((answer) => !answer.includes(' NOERROR ')),
        [],
      );
      assert.deepEqual(await nodeState(lab.node), state, 'traffic alone changes nothing of the node');
    });
  }

  test('both pods of cluster DNS are asked, each connection through NAT', async () => {
    const tracked = await trackedDns(lab.node);
    const service = tracked.filter(({ destination }) => destination === serviceAddresses.v4);
    const answering = new Set(service.map(({ answeredBy }) => answeredBy));
    assert.deepEqual([...answering].sort(), [addresses.nearDns.v4, addresses.farDns.v4]);
    assert.ok(service.some(({ source }) => source === podAddresses(0).v4));
    assert.ok(tracked.some(({ destination }) => destination === serviceAddresses.v6));
  });

  test('a name that is not of the cluster is asked of the resolver of the node, by pods and by the node itself', async () => {
    for (const server of Object.values(serviceAddresses)) {
      assert.equal(await answer(server, 'www.example.org'), answerOf.nodeResolver);
    }
    for (const server of Object.values(addresses.nodeResolver)) {
      const { answers } = await lab.node.ask({ server, name: 'www.example.org' });
      assert.equal(answers[0]?.data, answerOf.nodeResolver);
    }
    for (const server of Object.values(addresses.otherResolver)) {
      assert.equal(await answer(server, 'www.example.org'), answerOf.otherResolver);
    }
  });

  test('nobody answers at the addresses of an agent that is not there', async () => {
    for (const server of Object.values(clusterListeners)) {
      await assert.rejects(lab.pods[0]?.ask({ server, name: 'www.example.org', timeoutMs: 300 }) ?? Promise.resolve());
    }
  });

  test('endpoints that the API server takes away are followed by kube-proxy', async () => {
    await lab.publish(addresses.farDns);
    await asksOnly(addresses.farDns);
    await lab.publish(addresses.nearDns, addresses.farDns);
  });

  test('what somebody changes of the node shows, and only that', async () => {
    const before = await nodeState(lab.node);
    for (const [listing, add, remove] of [
      ['ip rule', ['rule', 'add', 'fwmark', '0x10/0x10', 'lookup', '153'], ['rule', 'del', 'lookup', '153']],
      [
        'ip -6 route',
        ['-6', 'route', 'add', 'local', 'fdcd::1', 'dev', 'lo', 'table', '153'],
        ['-6', 'route', 'flush', 'table', '153'],
      ],
      [
        'ip address',
        ['address', 'add', '169.254.10.11/32', 'dev', 'lo'],
        ['address', 'del', '169.254.10.11/32', 'dev', 'lo'],
      ],
    ] as const) {
      lab.node.ip(...add);
      const changed = await nodeState(lab.node);
      const differing = Object.keys(before).filter(
        (name) => JSON.stringify(before[name]) !== JSON.stringify(changed[name]),
      );
      assert.ok(differing.includes(listing), `${differing} and not ${listing}`);
      lab.node.ip(...remove);
      assert.deepEqual(await nodeState(lab.node), before);
    }
  });

  test('a connection whose server dies is counted as cut, with what was under way in it', async () => {
    const [client, host] = lab.pods;
    assert.ok(client && host);
    const { v4: address } = podAddresses(1);
    const options = { name: 'dying-resolver', namespace: host, address, plain: true };
    const server = await ClusterDns.start(lab.cluster, {
      ...options,
      extraZones: { '.': everyName(answerOf.nodeResolver) },
    });
    const traffic = await Traffic.start({
      from: [client],
      servers: [address],
      transports: ['tcp'],
      names: cachedNames,
    });
    await pause(300);
    await server.stop();
    const killedAtMs = Date.now();
    await pause(300);
    const { cuts, lost, sent, answered } = await traffic.stop();
    assert.equal(sent, answered + lost.length);
    assert.ok(cuts.length > 0 && Math.abs((cuts[0]?.atMs ?? 0) - killedAtMs) < 200, JSON.stringify(cuts));
    assert.equal(
      cuts.reduce((sum, { unanswered }) => sum + unanswered, 0),
      lost.length,
    );
  });
});

async function answer(server: string, name: string): Promise<string | undefined> {
  return (await lab.pods[0]?.ask({ server, name }))?.answers[0]?.data;
}

async function asksOnly({ v4 }: Addresses): Promise<void> {
  const other = v4 === addresses.farDns.v4 ? lab.nearDns : lab.farDns;
  await eventually('kube-proxy has followed', 5_000, async () => {
    const before = await other.requests();
    for (let number = 0; number < 8; number++) await answer(serviceAddresses.v4, 'www.cached.example');
    const now = await other.requests();
    return now.udp === before.udp;
  });
}
