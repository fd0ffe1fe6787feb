/** RFC 1035 §4.2.2: a message over TCP is at most the 65,535 octets that its length can say, whatever is answered on the node itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reverseName } from '../../../agent/policy/hosts.ts';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, query, questionName, reply, type } from '../../fake/octets.ts';

const ptr = 12;
const manyNames = (address: string) =>
  Array.from({ length: 60 }, (_, entry) => ({
    hostnames: Array.from({ length: 32 }, (_, name) => `tracker-${entry}-${name}.ads.example`),
    addresses: [address],
    ttlSeconds: 60,
  }));
/** Header 12, question 31, records of 28 octets: 2,339 of them fill a message to its last octet. */
const host = 'a'.repeat(25);
const manyAddresses = (count: number) =>
  Array.from({ length: Math.ceil(count / 16) }, (_, entry) => ({
    hostnames: [host],
    addresses: Array.from({ length: Math.min(16, count - entry * 16) }, (_, at) => `fd00::${entry.toString(16)}:${at}`),
    ttlSeconds: 60,
  }));

test('names of one address, or addresses of one name, that no message holds are left out with TC=1, over TCP as well', async () => {
  for (const [hosts, name, asked] of [
    [manyNames('10.0.0.1'), reverseName('10.0.0.1'), ptr],
    [manyAddresses(2_400), host, type.AAAA],
  ] as const) {
    const agent = new FakeAgent({ local: { hosts } });
    for (const packet of [query(name, { type: asked }), ednsQuery(name, {}, { type: asked })]) {
      const { flags, answers } = await agent.answer(packet, true);
      assert.deepEqual([flags, answers], [['qr', 'tc', 'rd', 'ra'], []]);
    }
    assert.deepEqual(agent.exceptions, []);
    assert.equal(agent.upstream.queries.length, 0);
  }
});

test('as many as a message holds come whole over TCP', async () => {
  const asked = query(host, { type: type.AAAA });
  const whole = await new FakeAgent({ local: { hosts: manyAddresses(2_339) } }).octets(asked, true);
  assert.deepEqual([whole.length, whole.readUInt16BE(6)], [65_535, 2_339]);
  const over = new FakeAgent({ local: { hosts: manyAddresses(2_340) } });
  assert.deepEqual((await over.answer(asked, true)).flags, ['qr', 'tc', 'rd', 'ra']);
});

test('what the unspecified address is called is nothing that a list of names to lead nowhere says', async () => {
  for (const address of ['0.0.0.0', '::', '0:0::0']) {
    const agent = new FakeAgent({ local: { hosts: manyNames(address) } });
    agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
    await agent.answer(query(reverseName(address), { type: ptr }), true);
    assert.equal(agent.upstream.queries.length, 1, address);
    const asked = address === '0.0.0.0' ? type.A : type.AAAA;
    assert.equal((await agent.answer(query('tracker-0-0.ads.example', { type: asked }))).answers.length, 1, address);
  }
});
