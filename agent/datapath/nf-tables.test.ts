import assert from 'node:assert/strict';
import { test } from 'node:test';
import { elementMessages } from './nf-tables.ts';
import { addressKey, backend, numberKey } from './set-element.ts';

const ip = 2;
const where = (set: string) => `02000000${'0d0001006c6f63616c646e7300000000'}${set}`;
const alive = '0a000200616c697665000000';

// As `nft --debug=mnl` 1.0.6 shows them, less the number of the set in the transaction, which only new sets need.
test('a flush is a removal that names no element', () => {
  const [flush, ...more] = elementMessages(ip, 'localdns', { set: 'alive', flush: true, elements: [] });
  assert.deepEqual([flush?.type, flush?.payload.toString('hex')], [0x0a0e, where(alive)]);
  assert.deepEqual(more, []);
});

test('an element of a set has its time in milliseconds, then its key', () => {
  const elements = [{ key: addressKey('10.96.0.10'), timeoutMs: 1500 }];
  const [add] = elementMessages(ip, 'localdns', { set: 'alive', flush: false, elements });
  const element = '1c000180' + '0c00040000000000000005dc' + '0c000180' + '080001000a60000a';
  assert.deepEqual([add?.type, add?.flags], [0x0a0c, 0x400]);
  assert.equal(add?.payload.toString('hex'), `${where(alive)}20000380${element}`);
});

test('an element of a map has its key, then its value', () => {
  const elements = [{ key: numberKey(4), data: backend('10.244.1.6', 5353) }];
  const [add] = elementMessages(ip, 'localdns', { set: 'alive', flush: false, elements });
  const element = '20000180' + '0c000180' + '0800010004000000' + '10000280' + '0c0001000af4010614e90000';
  assert.equal(add?.payload.toString('hex'), `${where(alive)}24000380${element}`);
});

test('more elements than the length of an attribute can tell are spread over messages', () => {
  const elements = Array.from({ length: 1201 }, (_, n) => ({
    key: numberKey(n),
    data: backend('fd00::1', 53),
    timeoutMs: 1,
  }));
  const messages = elementMessages(ip, 'localdns', { set: 'alive', flush: true, elements });
  assert.deepEqual(
    messages.map(({ type }) => type),
    [0x0a0e, 0x0a0c, 0x0a0c, 0x0a0c],
  );
  assert.ok(messages.every(({ payload }) => payload.length < 0x10000));
});
