import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleBlock, sampleConfig } from '../../test/fake/node-config.ts';
import { parseNodeConfig, revisionOf } from './node-config.ts';

const config = sampleConfig();

test('what the operator renders parses', () => {
  assert.deepEqual(parseNodeConfig(structuredClone(config)), { config });
});

for (const [title, change, error] of [
  ['a newer format', { formatVersion: 2 }, /format 2 is not known here/],
  ['a field that this agent does not know', { unheardOf: [] }, /unheardOf/],
  [
    'a listener without a root zone',
    { listeners: [{ ...config.listeners[0], serverBlocks: [sampleBlock({ zone: 'a' })] }] },
    /no root zone/,
  ],
  [
    'a destination that is not defined',
    { listeners: [{ ...config.listeners[0], serverBlocks: [sampleBlock({ forwardDestination: 'lost' })] }] },
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
