/** RFC 8914 §4.23, §4.24: 22 where no authority "could be reached", 23 where "an unrecoverable error occurred"; §2: in OPT alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Asked, FakeAgent } from '../../fake/agent.ts';
import { ednsQuery, opt, query, read, reply } from '../../fake/octets.ts';

const told = ({ answer }: Asked) => answer && { rcode: read(answer).rcode, code: read(answer).extendedError };

test('silence until the deadline is SERVFAIL with 22, a refused connection with 23', async () => {
  const agent = new FakeAgent();
  const silent = agent.ask(ednsQuery('silent'));
  await agent.clock.advance(2_000);
  assert.deepEqual(told(silent), { rcode: 2, code: 22 });

  agent.upstream.answer = ({ fail }) => {
    fail();
    return undefined;
  };
  assert.equal((await agent.answer(ednsQuery('faild'))).extendedError, 23);
});

test('a destination without servers is SERVFAIL with 14', async () => {
  const agent = new FakeAgent({ destinations: { nodeDns: [] } });
  assert.deepEqual(told(agent.ask(ednsQuery('a'))), { rcode: 2, code: 14 });
});

test('a client without OPT gets the code alone', async () => {
  const agent = new FakeAgent({ destinations: { nodeDns: [] } });
  const octets = await agent.octets(query('a'));
  assert.equal(octets.length, 12 + 7);
  assert.equal(octets.readUInt16BE(2) & 0xf, 2);
});

test('the upstream’s own code does not pass for ours: EDNS is hop by hop', async () => {
  const agent = new FakeAgent();
  const options = [{ code: 15, data: Buffer.of(0, 18) }];
  agent.upstream.answer = ({ bytes }) => reply(bytes, { rcode: 3, additionals: [opt({ options })] });
  assert.equal((await agent.answer(ednsQuery('a'))).extendedError, undefined);
});
