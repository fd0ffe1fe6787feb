import assert from 'node:assert/strict';
import { test } from 'node:test';
import { revisionOf } from '../../api/v1alpha1/node-config.ts';
import { FakeApiServer, operatorKinds } from '../../kube/api-server.fake.ts';
import { KubeClient } from '../../kube/client.ts';
import { systemClock as clock } from '../../kube/clock.ts';
import { eventually } from '../../test/tools/eventually.ts';
import { Configurations } from './configurations.ts';
import { World } from './world.ts';

const config = (name: string, chars = 0): { name: string; filler: string } => ({ name, filler: 'x'.repeat(chars) });

/** A node that carried the one is seen with the other, as the store tells of it. */
function carry(configurations: Configurations, old: unknown, now: unknown): void {
  const revision = (of: unknown): string | undefined => (of === undefined ? undefined : revisionOf(of));
  if (now !== undefined) assert.ok(configurations.isIntact(now, revisionOf(now)));
  configurations.note(revision(old), revision(now));
}
const isKnown = (configurations: Configurations, of: unknown): boolean =>
  configurations.get(revisionOf(of)) !== undefined;

test('what a node carries is known, however many others come and go, and however large they are', () => {
  const known = new Configurations();
  const stays = config('stays', 60_000);
  carry(known, undefined, stays);
  let before: unknown;
  for (let at = 0; at < 500; at += 1) {
    const next = config(`n${at}`, 60_000);
    carry(known, before, next);
    before = next;
  }
  assert.deepEqual(known.get(revisionOf(stays)), stays);
});

/** Of others more come and go than there is room for. */
function flood(configurations: Configurations): void {
  for (let at = 0; at < 200; at += 1) carry(configurations, undefined, config(`flood ${at}`, 60_000));
  for (let at = 0; at < 200; at += 1) carry(configurations, config(`flood ${at}`, 60_000), undefined);
}

test('so it is where one of its nodes leaves it and another does not, and where one takes it up again', () => {
  const known = new Configurations();
  const [shared, again, other] = [config('shared'), config('again'), config('other')];
  carry(known, undefined, shared);
  carry(known, undefined, shared);
  carry(known, shared, other);
  carry(known, undefined, again);
  carry(known, again, other);
  carry(known, other, again);
  flood(known);
  assert.ok(isKnown(known, shared) && isKnown(known, again));
  carry(known, shared, other);
  flood(known);
  assert.ok(!isKnown(known, shared));
});

test('a list is read before its nodes are in the store, and takes those out first that are gone', () => {
  const known = new Configurations();
  const one = config('one');
  carry(known, undefined, one);
  assert.ok(known.isIntact(one, revisionOf(one)));
  known.note(revisionOf(one), undefined);
  known.note(undefined, revisionOf(one));
  assert.deepEqual(known.get(revisionOf(one)), one);
  const many = Array.from({ length: 1_000 }, (_, at) => config(`n${at}`, 4_000));
  for (const each of many) assert.ok(known.isIntact(each, revisionOf(each)));
  for (const each of many) known.note(undefined, revisionOf(each));
  assert.ok(many.every((each) => isKnown(known, each)));
});

test('of what no node carries the newest is known, and no more than a few megabytes', () => {
  const known = new Configurations();
  const all = Array.from({ length: 300 }, (_, at) => config(`n${at}`, 60_000));
  for (const each of all) carry(known, undefined, each);
  assert.ok(all.every((each) => isKnown(known, each)));
  for (const each of all) carry(known, each, undefined);
  const spare = all.filter((each) => isKnown(known, each));
  assert.deepEqual([spare.length, spare.at(-1)], [139, all.at(-1)]);
});

test('what somebody has made of a configuration is not taken for it, and what it was is known while the node has it', () => {
  const known = new Configurations();
  const [one, other] = [config('one'), config('other')];
  carry(known, undefined, one);
  assert.equal(known.isIntact(other, revisionOf(one)), false);
  known.note(revisionOf(one), revisionOf(one));
  assert.deepEqual(known.get(revisionOf(one)), one);
  assert.equal(known.get(revisionOf(other)), undefined);
  // However its fields are ordered.
  assert.ok(known.isIntact({ filler: '', name: 'one' }, revisionOf(one)));
  flood(known);
  assert.deepEqual(known.get(revisionOf(one)), one);
});

test('an operator knows what stands in each LocalDnsNode, and forgets by and by what stands in none', async (t) => {
  const server = new FakeApiServer(operatorKinds);
  const url = await server.start();
  const access = () => ({ server: url, origin: '', tls: {} });
  const client = new KubeClient({ access, fieldManager: 'test', userAgent: 'test' });
  const world = new World({ client, clock, namespace: 'localdns-system', onTrouble: () => {} });
  t.after(async () => {
    await world.stop();
    client.close();
    await server.stop();
  });
  const put = (name: string, given: unknown): void => {
    server.put('localdnsnodes', {
      metadata: { name },
      spec: { profile: 'p', revision: revisionOf(given), config: given },
    });
  };
  const stays = config('stays', 1_000_000);
  put('stays', stays);
  put('changes', config('n0', 1_000_000));
  world.written.start();
  await world.written.synced;
  for (let at = 1; at <= 12; at += 1) {
    const next = config(`n${at}`, 1_000_000);
    put('changes', next);
    await eventually('it is seen', 5_000, () => world.written.get('changes')?.revision === revisionOf(next));
  }
  assert.deepEqual(world.configurations.get(revisionOf(stays)), stays);
  assert.ok(isKnown(world.configurations, config('n12', 1_000_000)));
  assert.ok(!isKnown(world.configurations, config('n0', 1_000_000)));
});
