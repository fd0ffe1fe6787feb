/**
 * RFC 7828 towards upstream servers. §3.2.1: clients "MAY include the edns-tcp-keepalive option in the first query sent to a server
 * using TCP transport"; §3.2.2: who receives a timeout "SHOULD honour the timeout received in that response (overriding any previous
 * timeout) and initiate close of the connection before the timeout expires", and who receives 0 "SHOULD send no more queries on that
 * connection and initiate closing the connection as soon as it has received all outstanding responses".
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TcpPools } from '../../../agent/forward/tcp-pool.ts';
import { promised } from '../../../agent/forward/transport.ts';
import { FakeClock, settle } from '../../fake/clock.ts';
import { type AnswerParts, buildQuery, type Message } from '../../fake/message.ts';
import { SerialServer } from '../../fake/serial-server.ts';

const keepalive = 11;

function scene(answer: (question: Message) => AnswerParts, workMs?: (name: string) => number) {
  const clock = new FakeClock();
  const server = new SerialServer(clock, { answer, ...(workMs && { workMs }) });
  const pools = new TcpPools(clock, server.outgoing(1));
  const ask = (name: string) =>
    promised((asker) => pools.ask({ address: '192.0.2.1', port: 53 }, buildQuery({ name, id: 0 }), 2_000, asker)).then(
      () => name,
    );
  const soon = async (name: string) => {
    const reply = ask(name);
    await clock.advance(10);
    return reply;
  };
  const options = () => server.received.map(({ question }) => question.edns?.options.map(({ code }) => code));
  return { clock, server, ask, soon, options };
}

const telling = (tenths: number): AnswerParts => {
  const data = Buffer.alloc(2);
  data.writeUInt16BE(tenths);
  return { edns: { options: [{ code: keepalive, data }] } };
};
const sentBack: AnswerParts = { edns: { options: [{ code: keepalive, data: Buffer.alloc(0) }] } };

test('the first query of a connection has the option, empty, and no other', async () => {
  const { soon, options, server } = scene(() => ({}));
  for (const name of ['a.example', 'b.example', 'c.example']) await soon(name);
  assert.deepEqual(options(), [[keepalive], [], []]);
  assert.equal(server.received[0]?.question.edns?.options[0]?.data.length, 0);
});

for (const { tenths, openMs } of [
  { tenths: 20, openMs: 1_200 },
  { tenths: 3, openMs: 180 },
  // Never longer than towards a server that says nothing: what it says may be about another connection, behind it.
  { tenths: 600, openMs: 6_000 },
]) {
  test(`a connection that the server keeps for ${tenths / 10} s is closed after ${openMs} ms without use`, async () => {
    const { clock, soon, server } = scene(() => telling(tenths));
    await soon('a.example');
    await soon('b.example');
    // Ten have passed since, of which the way back and forth took two.
    await clock.advance(openMs - 20);
    assert.equal(server.connections.size, 1);
    await clock.advance(20);
    assert.equal(server.connections.size, 0);
  });
}

test('0: nothing more is sent over the connection, and it is closed with its last answer', async () => {
  const { clock, ask, soon, server } = scene(
    ({ name }) => (name === 'a.example' ? telling(0) : {}),
    (name) => (name === 'b.example' ? 50 : 1),
  );
  const early = ['a.example', 'b.example'].map(ask);
  await clock.advance(4);
  assert.equal(await early[0], 'a.example');
  await soon('c.example');
  assert.deepEqual(
    server.received.map(({ name, connection }) => [name, connection]),
    [
      ['a.example', 1],
      ['b.example', 1],
      ['c.example', 2],
    ],
  );
  assert.equal(server.connections.size, 2);
  await clock.advance(60);
  assert.equal(await early[1], 'b.example');
  assert.equal(server.connections.size, 1);
});

test('an option without a timeout, as CoreDNS sends it back, says nothing', async () => {
  const { clock, soon, server } = scene(() => sentBack);
  await soon('a.example');
  await clock.advance(5_900);
  assert.equal(server.connections.size, 1);
  await soon('b.example');
  assert.equal(server.accepted, 1);
});

test('a server that answers the option with FORMERR is asked again without it, and never again with it', async () => {
  const { clock, soon, options } = scene(({ edns }) => ({ rcode: edns?.options.length === 0 ? 'NOERROR' : 'FORMERR' }));
  await soon('a.example');
  assert.deepEqual(options(), [[keepalive], []]);
  await clock.advance(10_000);
  await soon('b.example');
  assert.deepEqual(options(), [[keepalive], [], []]);
  await settle();
});
