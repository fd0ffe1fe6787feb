import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../test/fake/clock.ts';
import { QueryLogPump, QueryLogReader, QueryLogWriter, type QueryRecord, queryLogMemory } from './query-log.ts';
import type { QueryLine } from './server/server-log.ts';
import { origin } from './wire/edns.ts';

const line: QueryLine = {
  client: '10.0.0.7',
  overTcp: false,
  name: '\x03www\x07example\0',
  type: 65,
  rcode: 3,
  origin: origin.stale,
  durationMs: 1.2344,
};
const named = (label: string): QueryLine => ({
  ...line,
  name: `${String.fromCharCode(label.length)}${label}\0`,
});

function scene(octets: number) {
  const memory = queryLogMemory(octets);
  let woken = 0;
  const writer = new QueryLogWriter(memory, () => (woken += 1));
  const reader = new QueryLogReader(memory);
  const told: QueryRecord[] = [];
  const take = (most = Number.POSITIVE_INFINITY) => reader.take(most, (record) => told.push(record));
  const names = () => told.splice(0).map(({ name }) => name);
  return { memory, writer, reader, told, take, names, woken: () => woken };
}

test('a line comes out as it went in, with its time', () => {
  const { writer, reader } = scene(1024);
  const longest = `${`\x3f${'x'.repeat(63)}`.repeat(3)}\x3d${'y'.repeat(61)}\0`;
  const other = { ...line, client: '2001:db8:1234:5678:9abc:def0:1234:5678', overTcp: true, name: longest };
  writer.write(line, 1_700_000_000_123);
  writer.write({ ...other, origin: origin.local, durationMs: 1e9 }, 2);
  const told: [QueryRecord, number][] = [];
  reader.take(2, (record, wallMs) => told.push([record, wallMs]));
  const common = { type: 65, rcode: 3 };
  deepEqual(told, [
    [
      { ...common, client: '10.0.0.7', transport: 'udp', name: 'www.example.', origin: 'stale', durationMs: 1.234 },
      1_700_000_000_123,
    ],
    [
      {
        ...{ ...common, client: other.client, transport: 'tcp', origin: 'local' },
        name: `${`${'x'.repeat(63)}.`.repeat(3)}${'y'.repeat(61)}.`,
        durationMs: 0xffffffff / 1000,
      },
      2,
    ],
  ]);
});

test('lines of all lengths go round and round in order, and none is lost while there is room', () => {
  const { writer, take, names } = scene(512);
  for (let round = 0; round < 2_000; round += 1) {
    const labels = ['a', 'b', 'c'].map((letter, index) => letter.repeat(1 + ((round * 7 + index * 13) % 63)));
    for (const label of labels) ok(writer.write(named(label), 0), `${round}`);
    take();
    deepEqual(
      names(),
      labels.map((label) => `${label}.`),
    );
  }
});

test('positions go on beyond 32 bits', () => {
  const { memory, writer, take, names } = scene(512);
  new Int32Array(memory, 0, 2).fill(-64);
  for (const label of ['one', 'two', 'three']) {
    ok(writer.write(named(label), 0));
    take();
    deepEqual(names(), [`${label}.`]);
  }
});

test('a line for which there is no room is lost alone, and nothing that is there is written over', () => {
  const { writer, take, names } = scene(256);
  const written: string[] = [];
  for (let count = 0; count < 20; count += 1)
    if (writer.write(named(`line-${count}`), 0)) written.push(`line-${count}.`);
  ok(written.length >= 4 && written.length < 8, `${written.length}`);
  take(1);
  equal(writer.write(named('later'), 0), true);
  take();
  deepEqual(names(), [...written, 'later.']);
});

test('a line that would begin anew at the beginning waits until there is enough room there', () => {
  const { writer, take, names } = scene(256);
  writer.write({ ...named('a'), client: '::' }, 0);
  for (const label of ['b', 'c', 'd', 'e', 'f']) ok(writer.write(named(label), 0));
  take(1);
  equal(writer.write(named('lost'), 0), false);
  take(1);
  equal(writer.write(named('g'), 0), true);
  take();
  deepEqual(names(), ['a.', 'b.', 'c.', 'd.', 'e.', 'f.', 'g.']);
});

test('whoever reads is woken once for what comes after it has found nothing', () => {
  const { writer, take, woken } = scene(1024);
  writer.write(line, 0);
  equal(woken(), 0);
  equal(take(), false);
  for (let count = 0; count < 3; count += 1) writer.write(line, 0);
  equal(woken(), 1);
  equal(take(2), true);
  writer.write(line, 0);
  equal(woken(), 1);
  equal(take(), false);
  writer.write(line, 0);
  equal(woken(), 2);
});

test('of a flood so many lines a second are written, and at the end those that are left', async () => {
  const memory = queryLogMemory(1 << 19);
  const clock = new FakeClock();
  let [written, flushed] = [0, 0];
  const pump = new QueryLogPump(memory, clock, { write: () => (written += 1), flush: () => (flushed = written) });
  const writer = new QueryLogWriter(memory, () => pump.wake());
  pump.wake();
  let kept = 0;
  for (let ms = 0; ms < 1_000; ms += 10) {
    for (let count = 0; count < 200; count += 1) kept += Number(writer.write(line, 0));
    await clock.advance(10);
  }
  equal(written, 10_000);
  equal(flushed, written);
  ok(kept > written && kept < 20_000, `${kept}`);
  pump.end();
  equal(flushed, kept);
});

test('a line is not kept back for longer than a moment, however few there are', async () => {
  const memory = queryLogMemory(1024);
  const clock = new FakeClock();
  let flushed = 0;
  let written = 0;
  const pump = new QueryLogPump(memory, clock, { write: () => (written += 1), flush: () => (flushed = written) });
  const writer = new QueryLogWriter(memory, () => pump.wake());
  pump.wake();
  await clock.advance(100);
  for (let count = 1; count <= 3; count += 1) {
    writer.write(line, 0);
    await clock.advance(100);
    equal(flushed, count);
  }
});
