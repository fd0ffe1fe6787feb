/** RFC 8906 §3.1.4: for unknown opcodes, "the expected response is NOTIMP"; silence would look like a lost packet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { flag, query } from '../../fake/octets.ts';

test('every opcode but QUERY gets NOTIMP, with its id and opcode, and reaches no upstream', async () => {
  const agent = new FakeAgent();
  for (let opcode = 1; opcode < 16; opcode += 1) {
    const octets = await agent.octets(query('a', { flags: (opcode << 11) | flag.rd }));
    assert.equal(octets.readUInt16BE(0), 0x1234);
    assert.equal(octets.readUInt16BE(2), flag.qr | (opcode << 11) | flag.rd | flag.ra | 4);
  }
  assert.deepEqual(agent.upstream.queries, []);
});

test('a transfer gets NOTIMP', async () => {
  const agent = new FakeAgent();
  assert.equal((await agent.answer(query('a', { type: 252 }), true)).rcode, 4);
  assert.equal((await agent.answer(query('a', { type: 251 }), true)).rcode, 4);
  assert.deepEqual(agent.upstream.queries, []);
});
