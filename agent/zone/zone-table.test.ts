import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameFromText } from '../wire/name.ts';
import { ZoneTable } from './zone-table.ts';

const zones = ['.', 'cluster.local', 'svc.cluster.local', 'Corp.Example'];
const table = new ZoneTable(zones.map((zone) => [zone, zone] as const));

test('a name belongs to the longest zone that ends it by whole labels', () => {
  for (const [name, zone] of [
    ['kubernetes.default.svc.cluster.local', 'svc.cluster.local'],
    ['svc.cluster.local', 'svc.cluster.local'],
    ['pod.cluster.local', 'cluster.local'],
    ['cluster.local', 'cluster.local'],
    ['mycluster.local', '.'],
    ['local', '.'],
    ['cluster.local.example', '.'],
    ['a.corp.example', 'Corp.Example'],
    ['.', '.'],
  ] as const) {
    assert.equal(table.match(nameFromText(name)), zone, name);
  }
});

test('octets inside a label do not pass for labels', () => {
  assert.equal(table.match('\x0fx\x07cluster\x05local\0'), '.');
});

test('a table without the root zone is refused when it is made', () => {
  assert.throws(() => new ZoneTable([['cluster.local', 1]]), /root zone/);
});
