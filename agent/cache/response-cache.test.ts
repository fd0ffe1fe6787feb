import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  collectedOf,
  entryFor,
  firstLabelOf,
  octetsOf,
  block as partOf,
  questionFor,
} from '../../test/fake/cache-entry.ts';
import { type RecordWalk, walkRecords } from '../wire/records.ts';
import { askForAnyType } from './by-name.ts';
import { Entry } from './entry.ts';
import { blockOf, hashIn, ResponseCache } from './response-cache.ts';

const size = entryFor('0').size;

test('blocks do not see each other’s answers, and equal prefixes see the same ones', () => {
  const cache = new ResponseCache(1 << 20);
  const [one, other, again] = [partOf(cache, 'aa'), partOf(cache, 'ab'), partOf(cache, 'aa')];
  one.store('key');
  assert.equal(other.lookup('key'), undefined);
  assert.equal(firstLabelOf(again.lookup('key')), 'key');
  other.drop('key');
  assert.equal(firstLabelOf(one.lookup('key')), 'key');
  again.drop('key');
  assert.equal(one.lookup('key'), undefined);
});

test('the budget is in octets and over all blocks; what was used least recently goes first, and is counted', () => {
  const cache = new ResponseCache(size * 3);
  const [one, other] = [partOf(cache, 'aa'), partOf(cache, 'ab')];
  one.store('0');
  one.store('1');
  other.store('2');
  one.lookup('0');
  other.store('3');
  assert.deepEqual(
    [one.lookup('0'), one.lookup('1'), other.lookup('2'), other.lookup('3')].map((found) => found !== undefined),
    [true, false, true, true],
  );
  assert.equal(cache.evictions, 1);
  assert.ok(cache.bytes <= size * 3);
});

test('an answer is charged with more than its octets', () => {
  const kept = entryFor('key');
  assert.ok(kept.size > kept.messageLength && kept.messageLength > 12);
});

test('an answer larger than the whole budget is not kept, and costs no other one', () => {
  const cache = new ResponseCache(size);
  const part = partOf(cache, 'aa');
  part.store('k');
  const long = 'k'.repeat(63);
  assert.ok(entryFor(long).size > size);
  part.store(long);
  assert.equal(part.lookup(long), undefined);
  assert.notEqual(part.lookup('k'), undefined);
});

test('what blocks that are gone have cached is forgotten', () => {
  const cache = new ResponseCache(1 << 20);
  partOf(cache, 'aa').store('key');
  partOf(cache, 'ab').store('key');
  cache.retain(new Set(['ab']));
  assert.equal(cache.size, 1);
  assert.notEqual(partOf(cache, 'ab').lookup('key'), undefined);
});

test('another budget keeps what was used last, as far as it fits, also for those who hold a partition', () => {
  const cache = new ResponseCache(size * 4);
  const block = partOf(cache, 'aa');
  for (const key of ['0', '1', '2', '3']) block.store(key);
  block.lookup('0');
  cache.resize(size * 2);
  const held = () => ['0', '1', '2', '3'].filter((key) => block.lookup(key) !== undefined);
  assert.deepEqual(held(), ['0', '3']);
  assert.equal(cache.maxBytes, size * 2);
  cache.resize(size * 8);
  assert.deepEqual(held(), ['0', '3']);
  block.store('1');
  assert.deepEqual(held(), ['0', '1', '3']);
});

test('what is protected is dropped, renewed, forgotten and kept over another budget as what is not', () => {
  const cache = new ResponseCache(size * 10);
  const block = partOf(cache, 'aa');
  const use = (key: string, times: number) => {
    for (let time = 0; time < times; time += 1) block.lookup(key);
  };
  const held = () => '0123456789abc'.split('').filter((key) => block.peek(key) !== undefined);
  for (const key of '012') {
    block.store(key);
    use(key, 2);
  }
  for (const key of '3456789') block.store(key);
  assert.equal(cache.bytes, size * 10);
  // Renewed, it is as protected as before, and there once.
  block.store('0');
  assert.equal(cache.size, 10);
  for (const key of 'abc') block.store(key);
  assert.deepEqual(held(), [...'0126789abc']);
  block.drop('1');
  assert.deepEqual(held(), [...'026789abc']);
  cache.resize(size * 4);
  assert.deepEqual(held(), [...'02bc']);
  assert.ok(cache.bytes <= size * 4);
  cache.resize(size * 20);
  for (const key of 'defghijklmno') {
    block.store(key);
    use(key, 2);
  }
  assert.equal(cache.size, 16);
  cache.retain(new Set(['ab']));
  assert.deepEqual([cache.size, cache.bytes], [0, 0]);
});

test('what is protected makes room for what is asked for more, which it has time to be again; a stale answer is not past use', () => {
  const cache = new ResponseCache(size * 5);
  const block = partOf(cache, 'aa');
  const stale = (key: string, nowMs: number) => entryFor(key, nowMs, 60, 3600);
  for (const key of '01234') {
    block.store(key, stale(key, 0));
    block.lookup(key);
    block.lookup(key);
  }
  assert.equal(cache.size, 5);
  // Four are protected; 0, for which there was no room, makes room last of all that is not.
  block.store('5', stale('5', 0));
  assert.equal(block.peek('0'), undefined);
  block.store('6', stale('6', 61_000));
  assert.deepEqual(
    [...'123456'].filter((key) => block.peek(key) !== undefined),
    [...'12346'],
  );
});

test('what is kept about a name is found by that alone, and beside what is kept under its question', () => {
  const part = new ResponseCache(1 << 20).partition('aa');
  const [asked, ofName] = [questionFor('www.example'), entryFor('www.example')];
  const message = Buffer.alloc(ofName.messageLength);
  ofName.copyMessage(message, 0);
  askForAnyType(message, 12 + asked.questionLength);
  const walk = walkRecords(message, 12 + asked.questionLength, 1);
  const kept = Entry.of(message, walk as RecordWalk, 0, 30, 0);
  const known = () => [part.lookup(asked, false)?.ttlSeconds, part.lookup(asked, true)?.ttlSeconds];
  part.store(asked, true, kept);
  assert.deepEqual(known(), [undefined, 30]);
  part.store(asked, false, ofName);
  assert.deepEqual(known(), [60, 30]);
  part.drop(asked, false);
  assert.deepEqual(known(), [undefined, 30]);
});

test('questions that share a hash are told apart by their octets', () => {
  const cache = new ResponseCache(1 << 20);
  const part = cache.partition('aa');
  const alike = (name: string) => ({ ...questionFor(name), nameHash: 7 });
  for (const name of ['one', 'two']) part.store(alike(name), false, entryFor(name));
  assert.deepEqual(
    ['one', 'TWO', 'ten', 'on', 'once'].map((name) => firstLabelOf(part.lookup(alike(name), false))),
    ['one', 'two', 'none', 'none', 'none'],
  );
  const asked = questionFor('one');
  for (const changed of [
    [0, 28, 0, 1],
    [1, 1, 0, 1],
    [0, 1, 0, 3],
  ]) {
    const question = Buffer.concat([octetsOf(asked).subarray(0, -4), Buffer.from(changed)]);
    assert.equal(
      part.lookup({ ...asked, nameHash: 7, questionIn: question, questionAt: 0 }, false),
      undefined,
      `${changed}`,
    );
  }
  for (const questionFlags of [1, 2]) assert.equal(part.lookup({ ...alike('one'), questionFlags }, false), undefined);
  part.drop(alike('one'), false);
  assert.deepEqual(
    ['one', 'two'].map((name) => firstLabelOf(part.lookup(alike(name), false))),
    ['none', 'two'],
  );
});

test('of questions that somebody has made to share a hash a few are kept', () => {
  const cache = new ResponseCache(1 << 20);
  const part = cache.partition('aa');
  for (let name = 0; name < 1_000; name += 1) {
    part.store({ ...questionFor(`n${name}`), nameHash: 7 }, false, entryFor(`n${name}`));
  }
  assert.ok(cache.size <= 32, `${cache.size} entries`);
  assert.notEqual(part.lookup({ ...questionFor('n999'), nameHash: 7 }, false), undefined);
  assert.equal(cache.evictions, 1_000 - cache.size);
});

test('all are found while the table grows, and after all but some were dropped', () => {
  const cache = new ResponseCache(16 << 20);
  const part = partOf(cache, 'aa');
  const count = 5_000;
  for (let name = 0; name < count; name += 1) part.store(`n${name}`);
  for (let name = 0; name < count; name += 1) if (name % 7 !== 0) part.drop(`n${name}`);
  for (let name = 0; name < count; name += 1) {
    assert.equal(part.lookup(`n${name}`) !== undefined, name % 7 === 0, `n${name}`);
  }
  assert.equal(cache.size, Math.ceil(count / 7));
});

test('a hash that two blocks share leads neither to the other’s answer', () => {
  const cache = new ResponseCache(1 << 20);
  const asked = questionFor('one');
  cache.partition('aa').store(asked, false, entryFor('one'));
  const nameHash = asked.nameHash ^ hashIn(blockOf('aa'), asked) ^ hashIn(blockOf('ab'), asked);
  assert.equal(cache.partition('ab').lookup({ ...asked, nameHash }, false), undefined);
  assert.equal(firstLabelOf(cache.partition('aa').lookup(asked, false)), 'one');
});

test('a budget below what is protected makes room for what comes then', () => {
  const cache = new ResponseCache(size * 20);
  const block = partOf(cache, 'aa');
  for (const key of '0123456789') {
    block.store(key);
    block.lookup(key);
    block.lookup(key);
  }
  cache.resize(size * 5);
  assert.deepEqual([cache.size, cache.bytes], [5, size * 5]);
  block.store('a');
  assert.deepEqual(
    [...'56789a'].filter((key) => block.peek(key) !== undefined),
    [...'6789a'],
  );
});

test('what was collected and is dropped before anybody looks at it is not there, nor is what has its place then', () => {
  const cache = new ResponseCache(size * 2);
  const block = partOf(cache, 'aa');
  for (const key of '01') block.store(key);
  const collected = collectedOf(cache);
  block.drop('0');
  assert.deepEqual([firstLabelOf(collected.at(0)), firstLabelOf(collected.at(1))], ['1', 'none']);
  block.store('2');
  assert.deepEqual([firstLabelOf(collected.at(0)), firstLabelOf(collected.at(1))], ['1', 'none']);
  cache.resize(size * 4);
  assert.equal(firstLabelOf(collected.at(0)), '1');
});

test('octets of another answer are never taken for an answer that stood in their place', () => {
  const cache = new ResponseCache(1 << 20);
  const part = partOf(cache, 'aa');
  part.store('gone');
  const gone = part.lookup('gone') as Entry;
  const collected = collectedOf(cache);
  assert.ok(gone.isThere);
  part.drop('gone');
  // Its only cell becomes the last one of this, where the number that it was stored under stands all over.
  const stamps = Buffer.from(new Int32Array(76).fill(gone.stamp).buffer);
  part.store('long', Entry.of(stamps, { end: stamps.length, additionals: 0 }, 0, 60, 0));
  const words = gone.cells.words.slice();
  assert.equal(gone.isThere, false);
  gone.refreshAfterMs = 1e6;
  assert.deepEqual(gone.cells.words, words);
  assert.ok(collected.at(0) === undefined);
});
