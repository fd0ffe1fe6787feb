/** RFC 2181 §5: "It is meaningless for two records to ever have label, class, type and data all equal"; §5.2: one TTL for a set. Of `hosts`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reverseName } from '../../../agent/policy/hosts.ts';
import { FakeAgent } from '../../fake/agent.ts';
import { query, type } from '../../fake/octets.ts';

const ptr = 12;
const agent = new FakeAgent({
  local: {
    hosts: [
      { hostnames: ['db.example', 'other.example'], addresses: ['10.0.0.1', '10.0.0.2', 'fd00::1'], ttlSeconds: 60 },
      { hostnames: ['db.example'], addresses: ['10.0.0.3', '10.0.0.1', 'fd00:0::1'], ttlSeconds: 5 },
      { hostnames: ['db.example'], addresses: ['10.0.0.4'], ttlSeconds: 30 },
    ],
  },
});
const told = async (name: string, asked: number) => (await agent.answer(query(name, { type: asked }))).answers;

test('addresses of a name that stands in several hosts come once each, with the lowest TTL', async () => {
  const expected = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'].map((address) => `db.example 5 A ${address}`);
  assert.deepEqual(await told('db.example', type.A), expected);
  assert.deepEqual(await told('db.example', type.AAAA), ['db.example 5 AAAA fd00::1']);
  assert.deepEqual(
    (await told('other.example', type.A)).map((line) => line.split(' ')[1]),
    ['60', '60'],
  );
});

test('names of an address that stands in several hosts do, too', async () => {
  const name = reverseName('10.0.0.1');
  assert.deepEqual(
    await told(name, ptr),
    ['db.example', 'other.example'].map((host) => `${name} 5 PTR ${host}`),
  );
});

test('a redirect gives an address once that is written in two ways', async () => {
  const none = { exact: [], suffixes: [], patterns: [] };
  const twice = { name: 'r', match: { ...none, exact: ['a.example'] }, except: none, otherTypes: 'NoData' as const };
  const redirecting = new FakeAgent({
    local: { redirects: [{ ...twice, addresses: ['fd00::1', 'fd00:0::1'], ttlSeconds: 30 }] },
  });
  const { answers } = await redirecting.answer(query('a.example', { type: type.AAAA }));
  assert.deepEqual(answers, ['a.example 30 AAAA fd00::1']);
});
