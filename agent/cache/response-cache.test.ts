import assert from 'node:assert/strict';
import { test } from 'node:test';
import { a, query, questionName, reply, type } from '../../test/fake/octets.ts';
import { type RecordWalk, walkRecords } from '../wire/records.ts';
import { Entry } from './entry.ts';
import { ResponseCache } from './response-cache.ts';

const asked = query('a.example');

function entry(): Entry {
  const message = reply(asked, { answers: [a(questionName, 60, '192.0.2.7')] });
  const walk = walkRecords(message, asked.length, type.A);
  assert.ok(walk !== undefined);
  return new Entry(message, walk, 0, 60, 0);
}

test('blocks do not see each other’s answers, and equal prefixes see the same ones', () => {
  const cache = new ResponseCache(1 << 20);
  const [one, other, again] = [cache.partition('aa'), cache.partition('ab'), cache.partition('aa')];
  const kept = entry();
  one.store('key', kept);
  assert.equal(other.lookup('key'), undefined);
  assert.equal(again.lookup('key'), kept);
  other.drop('key');
  assert.equal(one.lookup('key'), kept);
  again.drop('key');
  assert.equal(one.lookup('key'), undefined);
});

test('the budget is in octets and over all blocks; what was used least recently goes first, and is counted', () => {
  const size = entry().size('aa0');
  const cache = new ResponseCache(size * 3);
  const [one, other] = [cache.partition('aa'), cache.partition('ab')];
  one.store('0', entry());
  one.store('1', entry());
  other.store('2', entry());
  one.lookup('0');
  other.store('3', entry());
  assert.deepEqual(
    [one.lookup('0'), one.lookup('1'), other.lookup('2'), other.lookup('3')].map((found) => found !== undefined),
    [true, false, true, true],
  );
  assert.equal(cache.evictions, 1);
  assert.ok(cache.bytes <= size * 3);
});

test('an answer is charged with more than its octets', () => {
  const kept = entry();
  assert.ok(kept.size('key') > kept.size('') && kept.size('') > 12);
});

test('an answer larger than the whole budget is not kept, and costs no other one', () => {
  const cache = new ResponseCache(entry().size('aak'));
  const part = cache.partition('aa');
  part.store('k', entry());
  const large = entry();
  part.store('key-that-is-longer', large);
  assert.equal(part.lookup('key-that-is-longer'), undefined);
  assert.notEqual(part.lookup('k'), undefined);
});

test('what blocks that are gone have cached is forgotten', () => {
  const cache = new ResponseCache(1 << 20);
  cache.partition('aa').store('key', entry());
  cache.partition('ab').store('key', entry());
  cache.retain(new Set(['ab']));
  assert.equal(cache.size, 1);
  assert.notEqual(cache.partition('ab').lookup('key'), undefined);
});

test('another budget keeps what was used last, as far as it fits, also for those who hold a partition', () => {
  const size = entry().size('aa0');
  const cache = new ResponseCache(size * 4);
  const block = cache.partition('aa');
  for (const key of ['0', '1', '2', '3']) block.store(key, entry());
  block.lookup('0');
  cache.resize(size * 2);
  const held = () => ['0', '1', '2', '3'].filter((key) => block.lookup(key) !== undefined);
  assert.deepEqual(held(), ['0', '3']);
  assert.equal(cache.maxBytes, size * 2);
  cache.resize(size * 8);
  assert.deepEqual(held(), ['0', '3']);
  block.store('1', entry());
  assert.deepEqual(held(), ['0', '1', '3']);
});

test('what is protected is dropped, renewed, forgotten and kept over another budget as what is not', () => {
  const size = entry().size('aa0');
  const cache = new ResponseCache(size * 10);
  const block = cache.partition('aa');
  const use = (key: string, times: number) => {
    for (let time = 0; time < times; time += 1) block.lookup(key);
  };
  const held = () => '0123456789abc'.split('').filter((key) => cache.peek(`aa${key}`) !== undefined);
  for (const key of '012') {
    block.store(key, entry());
    use(key, 2);
  }
  for (const key of '3456789') block.store(key, entry());
  assert.equal(cache.bytes, size * 10);
  // Renewed, it is as protected as before, and there once.
  block.store('0', entry());
  assert.equal(cache.size, 10);
  for (const key of 'abc') block.store(key, entry());
  assert.deepEqual(held(), [...'0126789abc']);
  block.drop('1');
  assert.deepEqual(held(), [...'026789abc']);
  cache.resize(size * 4);
  assert.deepEqual(held(), [...'02bc']);
  assert.ok(cache.bytes <= size * 4);
  cache.resize(size * 20);
  for (const key of 'defghijklmno') {
    block.store(key, entry());
    use(key, 2);
  }
  assert.equal(cache.size, 16);
  cache.retain(new Set(['ab']));
  assert.deepEqual([cache.size, cache.bytes], [0, 0]);
});

test('what is protected makes room for what is asked for more, which it has time to be again; a stale answer is not past use', () => {
  const size = entry().size('aa0');
  const cache = new ResponseCache(size * 5);
  const block = cache.partition('aa');
  const stale = (nowMs: number) => {
    const message = reply(asked, { answers: [a(questionName, 60, '192.0.2.7')] });
    return new Entry(message, walkRecords(message, asked.length, type.A) as RecordWalk, nowMs, 60, 3600);
  };
  for (const key of '01234') {
    block.store(key, stale(0));
    block.lookup(key);
    block.lookup(key);
  }
  assert.equal(cache.size, 5);
  // Four are protected; 0, for which there was no room, makes room last of all that is not.
  block.store('5', stale(0));
  assert.equal(cache.peek('aa0'), undefined);
  block.store('6', stale(61_000));
  assert.deepEqual(
    [...'123456'].filter((key) => cache.peek(`aa${key}`) !== undefined),
    [...'12346'],
  );
});
