import { deepEqual, equal, match, notEqual, ok } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { entryFor, namesIn, octetsOf, questionFor } from '../../test/fake/cache-entry.ts';
import { a, opt, query, questionName, read, reply, soa, type } from '../../test/fake/octets.ts';
import { maxMessageLength } from '../wire/answer.ts';
import { origin } from '../wire/edns.ts';
import { Query } from '../wire/query.ts';
import { mixed, questionAt } from '../wire/question.ts';
import { walkRecords } from '../wire/records.ts';
import { Entry } from './entry.ts';
import { ResponseCache } from './response-cache.ts';
import { type Blocks, formatVersion, type Moment, SnapshotReader, writeSnapshot } from './snapshot.ts';

const blocks: Blocks = new Map([
  ['root block', 'aa'],
  ['corp block', 'ab'],
]);
/** The same blocks as another process numbers them. */
const laterBlocks: Blocks = new Map([
  ['corp block', 'aa'],
  ['root block', 'zz'],
]);
const written: Moment = { nowMs: 5_000_000, wallMs: 1_700_000_000_000 };
/** In a process that has just begun. */
const later = (elapsedMs: number): Moment => ({ nowMs: 40, wallMs: written.wallMs + elapsedMs });

interface Kept {
  prefix?: string;
  ageMs?: number;
  ttlSeconds?: number;
  staleSeconds?: number;
  data?: string;
}

function keep(cache: ResponseCache, name: string, fields: Kept = {}): void {
  const { prefix = 'aa', ageMs = 0, ttlSeconds = 60, staleSeconds = 0, data = '192.0.2.7' } = fields;
  const message = reply(query(name), {
    answers: [a(questionName, ttlSeconds, data)],
    authorities: [soa('example', ttlSeconds, 5)],
    additionals: [a('ns.example', ttlSeconds, '192.0.2.53'), opt({})],
  });
  const walk = walkRecords(message, query(name).length, type.A);
  ok(walk !== undefined);
  cache
    .partition(prefix)
    .store(questionFor(name), false, Entry.of(message, walk, written.nowMs - ageMs, ttlSeconds, staleSeconds));
}

const roomy = () => new ResponseCache(1 << 20);
const never = () => false;

function snapshotOf(cache: ResponseCache, isEnough = never): Buffer {
  const frames: Buffer[] = [];
  for (const frame of writeSnapshot(cache, blocks, written, isEnough)) if (frame) frames.push(Buffer.from(frame));
  return Buffer.concat(frames);
}

/** All of it, in pieces of this length; the sentence says why it is not used. */
function take(octets: Buffer, reader: SnapshotReader, pieceLength = octets.length): string | undefined {
  for (let at = 0; at < octets.length; at += pieceLength) {
    const trouble = reader.push(octets.subarray(at, at + pieceLength));
    if (trouble !== undefined) return trouble;
  }
  return reader.finish();
}

function store(reader: SnapshotReader): number {
  const steps = reader.store();
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

function restored(octets: Buffer, now: Moment, cache = roomy()): ResponseCache {
  const reader = new SnapshotReader(cache, laterBlocks, now);
  equal(take(octets, reader), undefined);
  store(reader);
  return cache;
}

const found = (cache: ResponseCache, name: string, prefix = 'zz') => cache.peek(prefix, questionFor(name));

function answerOf(entry: Entry | undefined, name: string, nowMs: number) {
  ok(entry !== undefined, `${name} is not there`);
  const asked = new Query();
  asked.parse(query(name));
  const out = Buffer.alloc(maxMessageLength);
  const { answers, authorities, additionals } = read(
    out.subarray(0, entry.write(out, asked, maxMessageLength, nowMs, origin.cache)),
  );
  return { answers, authorities, additionals };
}

test('an answer comes back whole, in its own block, and older by the time that passed before and between', () => {
  const cache = roomy();
  keep(cache, 'www.example', { ageMs: 10_000 });
  keep(cache, 'www.example', { prefix: 'ab', data: '192.0.2.8' });
  const after = restored(snapshotOf(cache), later(20_000));
  deepEqual(answerOf(found(after, 'www.example'), 'www.example', 40), {
    answers: ['www.example 30 A 192.0.2.7'],
    authorities: ['example 30 SOA minimum=5'],
    additionals: ['ns.example 30 A 192.0.2.53'],
  });
  const other = found(after, 'www.example', 'aa');
  deepEqual(answerOf(other, 'www.example', 40).answers, ['www.example 40 A 192.0.2.8']);
  ok(other?.isFresh(40 + 39_000) && !other.isFresh(40 + 40_000));
  equal(after.size, 2);
});

test('what stands for an answer that is withheld stays behind: nothing would tell that it does', () => {
  const cache = roomy();
  keep(cache, 'www.example');
  keep(cache, 'evil.example');
  const blocked = cache.peek('aa', questionFor('evil.example'));
  ok(blocked !== undefined);
  blocked.markBlocked();
  const after = restored(snapshotOf(cache), later(0));
  deepEqual([after.size, found(after, 'evil.example')], [1, undefined]);
});

test('a snapshot may come in pieces of any length', () => {
  const cache = roomy();
  for (let name = 0; name < 600; name += 1) keep(cache, `n${name}.example`);
  const octets = snapshotOf(cache);
  for (const pieceLength of [1, 7, 4096]) {
    const reader = new SnapshotReader(roomy(), laterBlocks, later(0));
    equal(take(octets, reader, pieceLength), undefined);
    equal(store(reader), 600);
  }
});

test('what has expired is kept for its stale window, and no longer', () => {
  const cache = roomy();
  keep(cache, 'past.example', { ageMs: 100_000, ttlSeconds: 60, staleSeconds: 40 });
  keep(cache, 'stale.example', { ageMs: 90_000, ttlSeconds: 60, staleSeconds: 60 });
  keep(cache, 'fresh.example', { ageMs: 10_000, ttlSeconds: 60, staleSeconds: 60 });
  keep(cache, 'short.example', { ageMs: 0, ttlSeconds: 10, staleSeconds: 0 });
  const octets = snapshotOf(cache);
  equal(octets.includes('past'), false, 'what is of no use is not written');
  const after = restored(octets, later(10_000));
  deepEqual(namesIn(after).sort(), ['fresh', 'stale']);
  const stale = found(after, 'stale.example');
  deepEqual([stale?.isFresh(40), stale?.staleUntilMs], [false, 40 + 20_000]);
  ok(found(after, 'fresh.example')?.isFresh(40));
});

test('a clock that was set back a little stood still; by more, ages are unknown and nothing is used', () => {
  const cache = roomy();
  keep(cache, 'www.example', { ageMs: 10_000 });
  const octets = snapshotOf(cache);
  const after = restored(octets, later(-4_000));
  deepEqual(answerOf(found(after, 'www.example'), 'www.example', 40).answers, ['www.example 50 A 192.0.2.7']);
  match(take(octets, new SnapshotReader(roomy(), laterBlocks, later(-6_000))) ?? '', /future/);
});

suite('what is not as it was written is not used at all, and throws nothing', () => {
  const cache = roomy();
  keep(cache, 'one.example');
  keep(cache, 'two.example', { prefix: 'ab' });
  const octets = snapshotOf(cache);

  test('any octet changed', () => {
    for (let at = 0; at < octets.length; at += 1) {
      for (const change of [0x01, 0x80, 0xff]) {
        const damaged = Buffer.from(octets);
        damaged[at] = (damaged[at] as number) ^ change;
        const reader = new SnapshotReader(roomy(), laterBlocks, later(0));
        notEqual(take(damaged, reader), undefined, `octet ${at} changed by ${change}`);
      }
    }
  });

  test('cut off anywhere, or followed by something', () => {
    for (let length = 0; length < octets.length; length += 1) {
      const reader = new SnapshotReader(roomy(), laterBlocks, later(0));
      match(take(octets.subarray(0, length), reader) ?? '', /cut off/, `${length} octets`);
    }
    const reader = new SnapshotReader(roomy(), laterBlocks, later(0));
    match(take(Buffer.concat([octets, Buffer.of(0)]), reader) ?? '', /follow/);
  });

  test('a piece of it twice, or left out', () => {
    const frames: Buffer[] = [];
    for (const frame of writeSnapshot(cache, blocks, written, never)) if (frame) frames.push(Buffer.from(frame));
    const [start, answers, end] = frames as [Buffer, Buffer, Buffer];
    for (const order of [
      [start, end],
      [answers, end],
      [start, answers, answers, end],
      [start, start, answers, end],
      [start, answers, end, end],
    ]) {
      const reader = new SnapshotReader(roomy(), laterBlocks, later(0));
      notEqual(take(Buffer.concat(order), reader), undefined);
    }
  });

  test('something else, or of another version', () => {
    const foreign = (text: string) => take(Buffer.from(text), new SnapshotReader(roomy(), laterBlocks, later(0)));
    match(foreign('{ "entries": [] }') ?? '', /no snapshot/);
    const version = octets.indexOf('snapshot\n') + 9;
    const newer = resealed(octets, (copy) => copy.writeUInt16BE(formatVersion + 1, version));
    const trouble = take(newer, new SnapshotReader(roomy(), laterBlocks, later(0)));
    equal(trouble, `its format is version ${formatVersion + 1}, not ${formatVersion}`);
  });

  test('octets that lie although their checksums are right', () => {
    // Each octet of the content in turn takes values that lengths, counts and pointers are made of.
    for (let at = 0; at < octets.length; at += 1) {
      for (const value of [0, 1, 0xc0, 0xff]) {
        const lying = resealed(octets, (copy) => {
          copy[at] = value;
        });
        const target = roomy();
        const reader = new SnapshotReader(target, laterBlocks, later(0));
        take(lying, reader);
        store(reader);
        ok(target.bytes <= target.maxBytes);
      }
    }
  });

  test('a key that is too short to be one is left out, whatever follows it', () => {
    const keyAt = octets.indexOf('one') - 1;
    const lying = resealed(octets, (copy) => {
      const keyLength = copy.readUInt16BE(keyAt - 16);
      copy.writeUInt16BE(1, keyAt - 16);
      copy.writeUInt16BE(copy.readUInt16BE(keyAt - 14) + keyLength - 1, keyAt - 14);
      // The message begins inside what was the key, and says that it has one question and no records.
      copy.writeUInt16BE(1, keyAt + 1 + 4);
      copy.fill(0, keyAt + 1 + 6, keyAt + 1 + 12);
    });
    deepEqual(namesIn(restored(lying, later(0))), ['two']);
  });

  test('an answer to another question than its key’s is left out', () => {
    const at = octets.lastIndexOf('one');
    const lying = resealed(octets, (copy) => copy.write('eno', at));
    const after = restored(lying, later(0));
    deepEqual(namesIn(after), ['two']);
  });
});

/** Changed by `change`, with checksums that are right again. Frame lengths are those of the original. */
function resealed(octets: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(octets);
  change(copy);
  for (let at = 0; at < octets.length; ) {
    const end = at + 8 + octets.readUInt32BE(at);
    copy.writeUInt32BE(crc32(copy.subarray(at + 8, end)), at + 4);
    at = end;
  }
  return copy;
}

test('the order of use survives, and a smaller budget keeps what was used last, without pushing anything out', () => {
  const cache = roomy();
  for (let name = 0; name < 600; name += 1) keep(cache, `n${name}.example`);
  cache.partition('aa').lookup(questionFor('n3.example'), false);
  const octets = snapshotOf(cache);
  const whole = restored(octets, later(0));
  deepEqual(namesIn(whole), namesIn(cache));
  equal(namesIn(whole)[0], 'n3');

  const size = found(whole, 'n599.example')?.size ?? 0;
  const small = restored(octets, later(0), new ResponseCache(size * 10));
  equal(small.evictions, 0);
  ok(small.bytes <= small.maxBytes);
  deepEqual(namesIn(small).slice(0, 3), ['n3', 'n599', 'n598']);
  equal(small.size, 10);
});

test('answers of blocks that do not exist are left out', () => {
  const cache = roomy();
  keep(cache, 'www.example');
  keep(cache, 'www.example', { prefix: 'ab' });
  const octets = snapshotOf(cache);
  const after = roomy();
  const reader = new SnapshotReader(after, new Map([['corp block', 'aa']]), later(0));
  equal(take(octets, reader), undefined);
  equal(store(reader), 1);
  deepEqual([found(after, 'www.example', 'aa') !== undefined, after.size], [true, 1]);
});

test('what is cached already stays: it is newer', () => {
  const cache = roomy();
  keep(cache, 'www.example', { data: '192.0.2.1' });
  keep(cache, 'other.example');
  const octets = snapshotOf(cache);
  const after = roomy();
  keep(after, 'www.example', { prefix: 'zz', data: '192.0.2.2' });
  const reader = new SnapshotReader(after, laterBlocks, later(0));
  equal(take(octets, reader), undefined);
  equal(store(reader), 1);
  match(answerOf(found(after, 'www.example'), 'www.example', written.nowMs).answers[0] ?? '', /192\.0\.2\.2$/);
});

test('a snapshot that ends early is whole, and has what was used last', () => {
  const cache = roomy();
  for (let name = 0; name < 600; name += 1) keep(cache, `n${name}.example`);
  let steps = 0;
  const after = restored(
    snapshotOf(cache, () => ++steps > 1),
    later(0),
  );
  deepEqual(namesIn(after), namesIn(cache).slice(0, 256));
});

test('a late snapshot gives what has come', () => {
  const cache = roomy();
  for (let name = 0; name < 600; name += 1) keep(cache, `n${name}.example`);
  const octets = snapshotOf(cache);
  const after = roomy();
  const reader = new SnapshotReader(after, laterBlocks, later(0));
  equal(reader.push(octets.subarray(0, octets.length - 100)), undefined);
  equal(store(reader), 512);
  deepEqual(namesIn(after), namesIn(cache).slice(0, 512));
});

test('while a snapshot is written the cache is used, and nothing is left out but what is dropped', () => {
  const cache = new ResponseCache(16 << 20);
  const part = cache.partition('aa');
  const count = 10_000;
  for (let name = 0; name < count; name += 1) keep(cache, `n${name}.example`);
  const frames: Buffer[] = [];
  let longest = 0;
  let turn = 0;
  for (const frame of writeSnapshot(cache, blocks, written, never)) {
    if (frame !== undefined) frames.push(Buffer.from(frame));
    longest = Math.max(longest, frame?.length ?? 0);
    // Those on which the walk may stand.
    for (let name = 0; name < count; name += 97) part.lookup(questionFor(`n${(name + turn) % count}.example`), false);
    if (turn === 5) part.drop(questionFor('n50.example'), false);
    keep(cache, `new${turn}.example`);
    turn += 1;
  }
  ok(longest < 256 * 300, `${longest} octets in one step`);
  const after = restored(Buffer.concat(frames), later(0), new ResponseCache(16 << 20));
  const came = new Set(namesIn(after));
  for (let name = 0; name < count; name += 1) {
    equal(came.has(`n${name}`), name !== 50, `n${name}`);
  }
});

test('an answer with signatures comes back for those who ask for them, and for nobody else', () => {
  const cache = roomy();
  const signed = { ...questionFor('www.example'), questionFlags: 2 };
  const { nameHash } = questionAt(Buffer.concat([octetsOf(signed), Buffer.of(2)]), 0, signed.questionLength);
  const asked = { ...signed, nameHash, hash: mixed(nameHash, type.A) };
  cache.partition('aa').store(asked, false, entryFor('www.example', written.nowMs, 60, 0));
  const after = restored(snapshotOf(cache), later(0));
  ok(after.peek('zz', asked) !== undefined);
  equal(found(after, 'www.example'), undefined);
});
