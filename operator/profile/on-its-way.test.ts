import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeClock } from '../../kube/clock.fake.ts';
import { OnItsWay } from './on-its-way.ts';

let clock: FakeClock;
let sent: OnItsWay;

beforeEach(() => {
  clock = new FakeClock();
  sent = new OnItsWay(clock);
});

test('what was written is on its way until the store shows another version, and not any more when the first comes back', async () => {
  await sent.send('a', 'v1', async () => {});
  assert.deepEqual([sent.has('a', 'v1'), sent.has('b', 'v1')], [true, false]);
  assert.deepEqual([sent.has('a', 'v2'), sent.has('a', 'v1')], [false, false]);
});

test('it is on its way while the request is: the watch may be quicker than the answer', async () => {
  await sent.send('a', undefined, async () => assert.ok(sent.has('a', undefined)));
});

test('a request that fails has sent nothing', async () => {
  await assert.rejects(
    sent.send('a', 'v1', () => Promise.reject(new Error('refused'))),
    /refused/,
  );
  assert.equal(sent.has('a', 'v1'), false);
});

test('what never comes is given up, and so is everything by whoever begins anew', async () => {
  await sent.send('a', 'v1', async () => {});
  await sent.send('b', 'v1', async () => {});
  sent.clear();
  assert.equal(sent.has('b', 'v1'), false);
  await sent.send('a', 'v1', async () => {});
  clock.advance(sent.lookAgainMs - 1);
  assert.equal(sent.has('a', 'v1'), true);
  clock.advance(1);
  assert.equal(sent.has('a', 'v1'), false);
});

test('what has come is not on its way any more, though there may be nothing again as there was before', async () => {
  await sent.send('a', undefined, async () => {});
  sent.arrived('b');
  assert.equal(sent.has('a', undefined), true);
  sent.arrived('a');
  assert.equal(sent.has('a', undefined), false);
});
