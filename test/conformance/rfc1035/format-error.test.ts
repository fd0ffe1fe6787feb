/** RFC 1035 §4.1.1: "Format error - The name server was unable to interpret the query"; a response is no query. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { flag, message, query, read, record, u16 } from '../../fake/octets.ts';

const whole = query('www.example.com');
const asRaw = (name: string) => Buffer.concat([Buffer.from(name, 'latin1'), u16(1, 1)]);

const uninterpretable: [string, Buffer][] = [
  ['a header alone', whole.subarray(0, 12)],
  ['a name that ends with the packet', whole.subarray(0, 20)],
  ['a question without its class', whole.subarray(0, whole.length - 2)],
  ['a compressed question', message({ id: 0x1234, questions: [asRaw('\xc0\x0c')] })],
  ['a label of a type that was never defined', message({ id: 0x1234, questions: [asRaw(`\x40${'x'.repeat(64)}\0`)] })],
  ['more records than octets', message({ id: 0x1234, questions: [{ name: 'a' }], counts: [1, 0, 0, 1] })],
  ['65,535 records', message({ id: 0x1234, questions: [{ name: 'a' }], counts: [1, 0xffff, 0xffff, 0xffff] })],
  ['more additional records than any query has', query('a', { additionals: Array(3).fill(record('a', 1, 0, u16(0))) })],
  ['two answers', query('a', { answers: [record('a', 1, 0, u16(0, 0)), record('a', 1, 0, u16(0, 0))] })],
  ['a record longer than the packet', query('a', { additionals: [record('a', 1, 0, u16(0, 0)).subarray(0, -1)] })],
];

for (const [what, packet] of uninterpretable) {
  test(`${what} gets FORMERR with its id, and asks nobody`, async () => {
    const agent = new FakeAgent();
    const answer = read(await agent.octets(packet));
    assert.equal(answer.rcode, 1);
    assert.equal(answer.id, 0x1234);
    assert.deepEqual(agent.upstream.queries, []);
    assert.equal(agent.count('exceptions'), 0);
    assert.equal(agent.count('malformed'), 1);
  });
}

for (const [what, packet] of [
  ['less than a header', whole.subarray(0, 11)],
  ['nothing at all', Buffer.alloc(0)],
  ['an answer', query('a', { flags: flag.qr })],
  ['an answer without sense', Buffer.alloc(512, 0xff)],
] as const) {
  test(`${what} gets silence`, () => {
    const agent = new FakeAgent();
    assert.deepEqual(agent.ask(Buffer.from(packet)), { answer: undefined, dropped: true });
    assert.equal(agent.count('dropped'), 1);
  });
}
