import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterRanges } from './ranges.ts';

const nodes = (...podCIDRs: string[]) => podCIDRs.map((cidr) => ({ podCIDRs: [cidr] }));

test('networks of Services are those of the cluster, as they are', () => {
  const cidrs = [['10.96.0.0/12', 'FD00:10:96:0::/112'], ['192.168.4.0/23']];
  assert.deepEqual(clusterRanges(cidrs, [], ['10.0.0.10']), ['10.96.0.0/12', '192.168.4.0/23', 'fd00:10:96::/112']);
});

test('where these are not known, what is about the address of cluster DNS', () => {
  assert.deepEqual(clusterRanges([], [], ['10.100.0.10', 'fd00:10:96::a']), ['10.96.0.0/12', 'fd00:10:96::/108']);
});

test('a node that joins a network of pods changes nothing', () => {
  const few = clusterRanges([], nodes('10.244.0.0/24', 'fd00:10:244::/64'), []);
  assert.deepEqual(few, ['10.244.0.0/16', 'fd00:10:244::/48']);
  const more = nodes('10.244.0.0/24', '10.244.255.0/24', 'fd00:10:244:1::/64', 'fd00:10:244::/64');
  assert.deepEqual(clusterRanges([], more, []), few);
  assert.deepEqual(clusterRanges([], nodes('10.0.0.0/9', '10.7.9.0/24'), []), ['10.0.0.0/9', '10.7.0.0/16']);
});

test('what the API server takes as a network is read as it means it, and what it is not is left out', () => {
  const odd = nodes('010.5.0.0/24', '::ffff:10.6.0.0/120', 'none', '10.0.0.0/33');
  assert.deepEqual(clusterRanges([['010.96.0.0/012', 'x']], odd, []), ['10.5.0.0/16', '10.6.0.0/16', '10.96.0.0/12']);
});

test('what is wider than any private network is no network of pods', () => {
  const wide = nodes('0.0.0.0/0', '10.0.0.0/7', '::/0', 'fc00::/6');
  assert.deepEqual(clusterRanges([], wide, []), []);
  assert.deepEqual(clusterRanges([], nodes('10.0.0.0/8', 'fc00::/7'), []), ['10.0.0.0/8', 'fc00::/7']);
});
