import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { type AgentOptions, FakeAgent } from '../../test/fake/agent.ts';
import { entryFor, questionFor } from '../../test/fake/cache-entry.ts';
import { a, ednsQuery, flag, query, questionName, read, reply, txt } from '../../test/fake/octets.ts';
import { Word, wordsPerCell } from '../cache/cells.ts';
import { ResponseCache } from '../cache/response-cache.ts';
import { wordwise } from '../wire/octets.ts';
import { Repeats } from './repeats.ts';

const address = '192.0.2.1';

function agentWith(options: AgentOptions = {}, ttl = 60) {
  const agent = new FakeAgent(options);
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, ttl, address)] });
  return agent;
}

/** So often it has been used that it is kept for repeats. */
async function warm(agent: FakeAgent, packet: Buffer): Promise<void> {
  for (let times = 0; times < 4; times += 1) await agent.octets(packet);
}

const ttlOf = (octets: Buffer) => Number(read(octets).answers[0]?.split(' ')[1]);

test('whatever is asked again, and when, the answer is the one that is made anew over TCP, with the id of its query', async () => {
  const agent = agentWith({ root: { serveStale: 'Disable' } }, 5);
  const packets = [
    ...['www.example.com', 'www.example.org', 'WWW.example.com'].map((name) => query(name)),
    query('www.example.com', { flags: flag.rd | flag.cd }),
    query('www.example.com', { flags: 0 }),
    query('www.example.com', { type: 28 }),
    ...[512, 1232].map((udpSize) => ednsQuery('www.example.com', { udpSize })),
    ednsQuery('www.example.com', { dnssecOk: true }),
    query(`${'x'.repeat(63)}.${'y'.repeat(63)}.example.com`),
  ];
  let seed = 1;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 1;
    return seed % below;
  };
  for (let step = 0; step < 3_000; step += 1) {
    const packet = Buffer.from(packets[random(packets.length)] as Buffer);
    packet.writeUInt16BE(random(65_536));
    await agent.octets(packet);
    const again = await agent.octets(packet);
    deepEqual(again, await agent.octets(packet, true), `step ${step}`);
    if (random(20) === 0) await agent.clock.advance(random(2_500));
  }
});

test('queries that differ in anything but their id are told apart, however many there are', () => {
  const agent = agentWith();
  const names = Array.from({ length: 3_000 }, (_, number) => query(`name-${1_000 + number}.example`));
  for (let round = 0; round < 4; round += 1) {
    for (const packet of names) {
      const { answer } = agent.ask(Buffer.from(packet));
      if (round > 0 && answer !== undefined)
        equal(answer.compare(packet, 12, packet.length, 12, packet.length), 0, packet.toString('latin1'));
    }
  }
});

test('a query is found by all but its id, up to a length', () => {
  const repeats = new Repeats<string>();
  const entry = entryFor('www.example');
  for (const [length, isKept] of [
    [12, true],
    [123, true],
    [124, true],
    [125, false],
  ] as const) {
    const packet = Buffer.alloc(length, 7);
    repeats.keep(packet, wordwise(Buffer.alloc(8, 'answer')), 6, 'owner', entry, 1_000);
    packet.writeUInt16BE(0xabcd);
    equal(repeats.find(packet, 999) >= 0, isKept, `${length}`);
    equal(repeats.find(packet, 1_000), -1);
    for (const at of [2, 3, length - 1]) {
      const other = Buffer.from(packet);
      other[at] = 8;
      equal(repeats.find(other, 0), -1, `${length} ${at}`);
    }
  }
});

test('no other query is taken for one that is kept, though they share a place and what it is told by', () => {
  // Of some hundred thousand a few do.
  for (const at of [20, 40]) {
    const repeats = new Repeats<string>();
    const answer = wordwise(Buffer.alloc(8, 'answer'));
    const entry = entryFor('www.example');
    const packet = Buffer.alloc(43, 7);
    let taken = 0;
    for (let value = 0; value < 400_000; value += 1) {
      packet.writeUIntBE(Math.imul(value, 0x9e3779b1) & 0xffffff, at, 3);
      taken += Number(repeats.find(packet, 0) >= 0);
      repeats.keep(packet, answer, 6, 'owner', entry, 1_000);
    }
    equal(taken, 0);
  }
});

test('there is room for as many after each configuration, however many there have been', () => {
  const repeats = new Repeats<string>();
  const answer = wordwise(Buffer.alloc(8, 'answer'));
  const packets = Array.from({ length: 1_000 }, (_, number) => query(`name-${number}.example`));
  for (let swaps = 0; swaps < 12; swaps += 1) {
    repeats.clear();
    for (const packet of packets) repeats.keep(packet, answer, 6, 'owner', entryFor('www.example'), 1_000);
  }
  ok(packets.filter((packet) => repeats.find(packet, 0) >= 0).length >= 980);
});

test('an answer over TCP is not repeated over UDP: what it says of its connection is nothing to others', async () => {
  const agent = agentWith();
  const keepalive = ednsQuery('www.example.com', { options: [{ code: 11, data: Buffer.alloc(0) }] });
  for (let times = 0; times < 5; times += 1) await agent.octets(keepalive, true);
  const overTcp = await agent.octets(keepalive, true);
  const overUdp = await agent.octets(keepalive);
  ok(overUdp.length < overTcp.length, `${overUdp.length} ${overTcp.length}`);
});

test('an answer that is longer than most is not kept', () => {
  const repeats = new Repeats<string>();
  const keep = (length: number) =>
    repeats.keep(query(), wordwise(Buffer.alloc(512)), length, 'owner', entryFor('www.example'), 1_000);
  keep(257);
  equal(repeats.find(query(), 0), -1);
  keep(256);
  ok(repeats.find(query(), 0) >= 0);
});

test('of a thousand queries hardly one takes the place of another, and the one kept last is there', () => {
  const repeats = new Repeats<string>();
  const answer = wordwise(Buffer.alloc(8, 'answer'));
  const entry = entryFor('www.example');
  const keep = (packet: Buffer) => repeats.keep(packet, answer, 6, 'owner', entry, 1_000);
  const isKept = (packet: Buffer) => repeats.find(packet, 0) >= 0;
  const packets = Array.from({ length: 30_000 }, (_, number) => query(`name-${number}.example`));
  const few = packets.slice(0, 1_000);
  for (const packet of few) keep(packet);
  ok(few.filter(isKept).length >= 980);
  for (const packet of packets) {
    keep(packet);
    ok(isKept(packet));
  }
});

test('a packet is found in the memory that many lie in', () => {
  const repeats = new Repeats<string>();
  const memory = Buffer.alloc(4_096);
  const [first, second] = [query('a.example'), query('b.example')];
  first.copy(memory, 1_024);
  second.copy(memory, 2_048);
  const at = (offset: number) => memory.subarray(offset, offset + first.length);
  repeats.keep(at(1_024), wordwise(Buffer.alloc(8, 'answer')), 6, 'owner', entryFor('a.example'), 1_000);
  const { words } = wordwise(memory);
  deepEqual([repeats.find(at(1_024), 0, words) >= 0, repeats.find(at(2_048), 0, words) >= 0], [true, false]);
  // The same name at another place.
  first.copy(memory, 2_048);
  ok(repeats.find(at(2_048), 0, words) >= 0);
});

test('what is repeated counts as every other query does', async () => {
  const agent = agentWith();
  for (let times = 0; times < 20; times += 1) await agent.octets(query());
  equal(agent.count('udpQueries'), 20);
  equal(agent.zoneCount('.', 'cache'), 19);
  const rcodes = [...agent.counts].filter((count) => count === 20);
  equal(rcodes.length, 2, 'queries, and answers of NOERROR');
  for (let times = 0; times < 3; times += 1) await agent.octets(query(), true);
  equal(agent.count('tcpQueries'), 3);
  equal(agent.count('udpQueries'), 20);
});

test('time goes on in what is repeated, and it ends when it ends', async () => {
  const agent = agentWith({ root: { serveStale: 'Disable' } }, 3);
  await warm(agent, query());
  const seen = [ttlOf(await agent.octets(query()))];
  for (let ms = 0; ms < 4_000; ms += 500) {
    await agent.clock.advance(500);
    seen.push(ttlOf(await agent.octets(query())));
  }
  deepEqual(seen, [3, 3, 2, 2, 1, 1, 3, 3, 2]);
});

test('what takes its place in the cache, and what is forgotten, is not given any more', async () => {
  const agent = agentWith();
  await warm(agent, query());
  agent.cache.retain(new Set());
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.2')] });
  equal((await agent.answer(query())).answers[0], 'www.example.com 60 A 192.0.2.2');
});

test('another configuration answers from its first query on', async () => {
  const agent = agentWith();
  await warm(agent, query());
  agent.apply({ hosts: [{ hostnames: ['www.example.com'], addresses: ['192.0.2.7'], ttlSeconds: 9 }] });
  equal((await agent.answer(query())).answers[0], 'www.example.com 9 A 192.0.2.7');
});

test('who is asked for by repeats alone is popular, and asked for anew before it ends', async () => {
  const agent = agentWith({}, 75);
  await warm(agent, query());
  const asked = () => agent.upstream.queries.length;
  // Its last tenth begins after 67.5 s.
  await agent.clock.advance(67_200);
  await agent.octets(query());
  equal(asked(), 1);
  await agent.clock.advance(500);
  await agent.octets(query());
  equal(asked(), 2);
});

test('each query is logged where that is wanted', async () => {
  const agent = agentWith({ root: { queryLogging: 'Log' } });
  for (let times = 0; times < 6; times += 1) await agent.octets(query());
  equal(agent.queryLines.length, 6);
});

test('what is cut off is counted each time, and whole over TCP', async () => {
  const agent = agentWith();
  const long = 'x'.repeat(250);
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [txt(questionName, 60, long, long, long)] });
  const packet = query('long.example', { type: 16 });
  for (let times = 0; times < 5; times += 1) ok(read(await agent.octets(packet)).flags.includes('tc'));
  equal(agent.count('truncated'), 5);
  equal(read(await agent.octets(packet, true)).answers.length, 1);
  const roomy = ednsQuery('long.example', {}, { type: 16 });
  for (let times = 0; times < 5; times += 1) equal(read(await agent.octets(roomy)).answers[0]?.includes(long), true);
});

test('an entry is used as long as it stands where it was found, and not when others have its cells', () => {
  const cache = new ResponseCache(1 << 16);
  const part = cache.partition('aa');
  equal(part.use(1, 0), false);
  equal(part.use(1 << 20, 1), false);
  const question = questionFor('www.example');
  part.store(question, false, entryFor('www.example'));
  const entry = part.lookup(question, false);
  ok(entry !== undefined);
  const { first, stamp, cells } = entry;
  equal(part.use(first, stamp), true);
  equal(entry.uses, 2);
  part.drop(question, false);
  // As the octets of somebody's message might say.
  cells.words[first * wordsPerCell + Word.stamp] = stamp;
  equal(part.use(first, stamp), false);
  part.store(question, false, entryFor('www.example'));
  equal(part.use(first, stamp), false);
  cache.resize(1 << 15);
  const moved = part.lookup(question, false);
  ok(moved !== undefined);
  equal(part.use(moved.first, moved.stamp), true);
});

test('a resized cache keeps what is repeated', async () => {
  const agent = agentWith();
  await warm(agent, query());
  agent.cache.resize(1 << 19);
  for (let times = 0; times < 3; times += 1) equal(ttlOf(await agent.octets(query())), 60);
  equal(agent.upstream.queries.length, 1);
  ok(agent.exceptions.length === 0);
});
