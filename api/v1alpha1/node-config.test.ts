import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NodeConfig, parseNodeConfig, revisionOf } from './node-config.ts';

const block = {
  zone: '.',
  queryLogging: 'Error',
  protocol: 'PreferUDP',
  forwardDestination: 'VnetDNS',
  forwardPolicy: 'Sequential',
  maxConcurrent: 1000,
  cacheDurationInSeconds: 3600,
  negativeCacheDurationInSeconds: 30,
  serveStaleDurationInSeconds: 3600,
  serveStale: 'Immediate',
} as const;
const config: NodeConfig = {
  formatVersion: 1,
  clusterDomain: 'cluster.local',
  clusterDNS: { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10'] },
  listeners: [{ name: 'node', addresses: ['169.254.10.10'], serverBlocks: [block] }],
  upstreams: [],
};

test('what the operator renders parses', () => {
  assert.deepEqual(parseNodeConfig(structuredClone(config)), { config });
});

for (const [title, change, error] of [
  ['a newer format', { formatVersion: 2 }, /format 2 is not known here/],
  ['a field that this agent does not know', { redirects: [] }, /redirects/],
  [
    'a listener without a root zone',
    { listeners: [{ ...config.listeners[0], serverBlocks: [{ ...block, zone: 'a' }] }] },
    /no root zone/,
  ],
  [
    'a destination that is not defined',
    { listeners: [{ ...config.listeners[0], serverBlocks: [{ ...block, forwardDestination: 'lost' }] }] },
    /lost, which is not defined/,
  ],
  ['an address that is none', { listeners: [{ ...config.listeners[0], addresses: ['x'] }] }, /must be an IP address/],
] as const) {
  test(`refuses ${title}`, () => {
    const parsed = parseNodeConfig({ ...config, ...change });
    assert.match('error' in parsed ? parsed.error : 'accepted', error);
  });
}

test('the revision depends on the content, not on the order of keys', () => {
  const reordered = Object.fromEntries(Object.entries(config).reverse());
  assert.equal(revisionOf(reordered), revisionOf(config));
  assert.notEqual(revisionOf({ ...config, clusterDomain: 'other.local' }), revisionOf(config));
  assert.match(revisionOf(config), /^v1-[0-9a-f]{12}$/);
});
