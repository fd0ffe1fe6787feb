import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answerer, steerAway, steerToSelf } from './steering.ts';

/** The sockets on one address, as the kernel keeps them; where no socket has the index, a hash of the port chooses. */
function group(...owners: string[]) {
  let index = -1;
  let port = 0;
  const attached: number[] = [];
  return {
    owners,
    attached,
    attach: (to: number) => {
      attached.push(to);
      index = to;
    },
    ask: (self: string) => async (): Promise<Answerer> => {
      port += 1;
      return (owners[index] ?? owners[port % owners.length]) === self ? 'self' : 'other';
    },
  };
}

test('an agent finds its own place, alone and behind older ones', async () => {
  for (const owners of [['us'], ['old', 'us'], ['older', 'old', 'us'], ['old', 'us', 'new']]) {
    const { attach, ask, attached } = group(...owners);
    assert.ok(await steerToSelf(attach, ask('us')), owners.join());
    assert.equal(attached.at(-1), owners.indexOf('us'), owners.join());
  }
});

test('a place that answers now and then is the hash of the kernel, and not ours', async () => {
  const { attach, ask, attached } = group('old');
  let asked = 0;
  const askSelf = async (): Promise<Answerer> => {
    asked += 1;
    return attached.at(-1) !== 0 && asked % 4 !== 0 ? 'self' : 'other';
  };
  assert.equal(await steerToSelf(attach, askSelf), false);
  assert.equal(await steerToSelf(attach, ask('us')), false);
});

test('where an older agent leaves meanwhile, its place is found in a second round', async () => {
  const places = group('leaving', 'old', 'us');
  let asked = 0;
  const askSelf = () => {
    asked += 1;
    // Gone after the first place was tried: the last socket takes its place, which is passed already.
    if (asked === 5) places.owners.splice(0, 3, 'us', 'old');
    return places.ask('us')();
  };
  assert.ok(await steerToSelf(places.attach, askSelf));
  assert.equal(places.attached.at(-1), 0);
});

test('where no place is ours, the oldest agent serves on', async () => {
  const { attach, ask, attached } = group('old', 'other');
  assert.equal(await steerToSelf(attach, ask('us')), false);
  assert.equal(attached.at(-1), 0);
});

test('an agent that ends leads what comes to another one, wherever its own place is', async () => {
  for (const owners of [
    ['us', 'other'],
    ['other', 'us'],
    ['us', 'other', 'third'],
  ]) {
    const { attach, ask, attached } = group(...owners);
    attach(owners.indexOf('us'));
    await steerAway(attach, ask('us'));
    assert.notEqual(owners[attached.at(-1) ?? -1] ?? 'us', 'us', owners.join());
  }
});

test('what is led to the successor stays there when its predecessor ends', async () => {
  const { attach, ask, attached } = group('us', 'successor');
  attach(1);
  await steerAway(attach, ask('us'));
  assert.deepEqual(attached, [1]);
});

test('an agent that is asked nothing any more changes nothing', async () => {
  const { attach, attached } = group('us', 'other');
  await steerAway(attach, async () => 'nobody');
  assert.deepEqual(attached, []);
});
