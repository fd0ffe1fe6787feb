import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleConfig } from '../../test/fake/node-config.ts';
import { listenAddresses, ofFamily, type PlanFacts, planDatapath } from './plan.ts';

const listener = sampleConfig().listeners[0];
assert.ok(listener);
const config = sampleConfig({
  clusterDNS: { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10', 'fd00::a'] },
  listeners: [
    { ...listener, name: 'cluster', addresses: ['169.254.10.11', 'fdcd:6c64:6e73::11'] },
    { ...listener, name: 'node', addresses: ['169.254.10.10'] },
  ],
});
const facts: PlanFacts = {
  clusterDns: ['10.244.1.5:53', '10.244.2.5:5353'],
  nodeDns: ['192.0.2.53:53', '127.0.0.53:53', '192.0.2.54:5300'],
  given: new Set(),
  ipv6: true,
  barred: new Set(),
};
const addressesOf = (changes: Partial<PlanFacts>, of = config) =>
  planDatapath(of, { ...facts, ...changes }).addresses.map(({ listener, address, own }) =>
    [listener, address, own ? 'own' : 'other'].join(' '),
  );

test('its own addresses, the cluster DNS Service and the resolvers of the node; no stub on loopback, no other port', () => {
  assert.deepEqual(addressesOf({}), [
    'cluster 169.254.10.11 own',
    'cluster fdcd:6c64:6e73::11 own',
    'cluster 10.96.0.10 other',
    'cluster fd00::a other',
    'node 169.254.10.10 own',
    'node 192.0.2.53 other',
  ]);
});

test('nothing for listeners that have their addresses by option, for IPv6 on a node without, for what is barred', () => {
  assert.deepEqual(addressesOf({ given: new Set(['cluster', 'node']) }), []);
  assert.deepEqual(addressesOf({ given: new Set(['cluster']), nodeDns: [] }), ['node 169.254.10.10 own']);
  assert.deepEqual(addressesOf({ ipv6: false, nodeDns: [] }), [
    'cluster 169.254.10.11 own',
    'cluster 10.96.0.10 other',
    'node 169.254.10.10 own',
  ]);
  assert.ok(!addressesOf({ barred: new Set(['10.96.0.10']) }).includes('cluster 10.96.0.10 other'));
});

test('a listener that does not intercept has its own addresses alone; an address of both belongs to the first', () => {
  const quiet = { ...config, listeners: config.listeners.map((one) => ({ ...one, intercept: false })) };
  assert.deepEqual(addressesOf({}, quiet), [
    'cluster 169.254.10.11 own',
    'cluster fdcd:6c64:6e73::11 own',
    'node 169.254.10.10 own',
  ]);
  assert.ok(!addressesOf({ nodeDns: ['10.96.0.10:53'] }).includes('node 10.96.0.10 other'));
});

test('the fallback goes to endpoints: never to the Service, to a stub, or back to us; the node goes to its resolvers first', () => {
  const backends = (changes: Partial<PlanFacts>) => {
    const plan = planDatapath(config, { ...facts, ...changes });
    return Object.fromEntries(
      Object.entries(plan.backends).map(([name, servers]) => [
        name,
        servers.map(({ address, port }) => `${address} ${port}`),
      ]),
    );
  };
  assert.deepEqual(backends({}), {
    cluster: ['10.244.1.5 53', '10.244.2.5 5353'],
    node: ['192.0.2.53 53', '192.0.2.54 5300'],
  });
  assert.deepEqual(backends({ clusterDns: ['10.96.0.10:53'], nodeDns: ['127.0.0.53:53'] }), { cluster: [], node: [] });
  assert.deepEqual(backends({ nodeDns: ['169.254.10.10:53'] }).node, []);
  assert.deepEqual(backends({ nodeDns: [] }).node, ['10.244.1.5 53', '10.244.2.5 5353']);
});

test('packets of cluster DNS endpoints are left alone; the Service is none', () => {
  const plan = planDatapath(config, { ...facts, clusterDns: ['10.244.1.5:53', '10.96.0.10:53'] });
  assert.deepEqual(plan.clusterDns, ['10.244.1.5']);
});

test('sockets: transparent ones for the plan, those given by option as they are', () => {
  const given = { node: [{ address: '127.0.0.1', port: 1054 }] };
  const plan = planDatapath(config, { ...facts, given: new Set(['node']), ipv6: false });
  assert.deepEqual(listenAddresses(plan, given), {
    node: [{ address: '127.0.0.1', port: 1054 }],
    cluster: [
      { address: '169.254.10.11', port: 53, transparent: true },
      { address: '10.96.0.10', port: 53, transparent: true },
    ],
  });
});

test('each family by itself', () => {
  const plan = planDatapath(
    { ...config, listeners: config.listeners.map((one) => ({ ...one, tracked: one.name === 'node' })) },
    { ...facts, clusterDns: ['10.244.1.5:53', '[fd01::5]:53'] },
  );
  assert.deepEqual(ofFamily(plan, 6), {
    served: ['fdcd:6c64:6e73::11', 'fd00::a'],
    tracked: [],
    clusterDns: ['fd01::5'],
    fallback: {
      cluster: { addresses: ['fdcd:6c64:6e73::11'], backends: [{ address: 'fd01::5', port: 53 }] },
      node: { addresses: [], backends: [] },
      untracked: ['fdcd:6c64:6e73::11', 'fd00::a'],
    },
  });
  const { tracked, fallback } = ofFamily(plan, 4);
  assert.deepEqual(tracked, ['169.254.10.10', '192.0.2.53']);
  assert.deepEqual(fallback.untracked, ['169.254.10.11', '10.96.0.10']);
});
