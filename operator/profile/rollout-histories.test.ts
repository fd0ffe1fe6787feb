/** Rollouts by seed: whatever nodes, people and operators do, what a rollout promises holds after every step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import { carries, Fleet } from '../../test/fake/fleet.ts';
import { packetsOfRun, Random, seedOfRun } from '../../test/fuzz/random.ts';
import { AWAY_MS } from './trial.ts';

const histories = packetsOfRun(400, 20_000);
/** Every node may be a batch of its own, may be taken back, and may take its time. */
const TICKS_TO_END = 3_000;

/** Until nothing happens any more; false where that never comes. */
function settle(fleet: Fleet, each = (): void => {}): boolean {
  for (let tick = 0; tick < TICKS_TO_END; tick += 1) {
    each();
    fleet.tick();
    if (!fleet.look() && !fleet.skip()) return true;
  }
  return false;
}

function live(fleet: Fleet, random: Random, ticks: number): void {
  for (let tick = 0; tick < ticks; tick += 1) {
    fleet.tick();
    if (random.once(12)) fleet.edit(`r${random.below(6)}`, random.pick([0, 0, 2, 20, 100]));
    if (random.once(25)) fleet.pause(!fleet.settings.paused);
    if (random.once(15)) fleet.join();
    if (random.once(20)) fleet.changeFacts();
    const member = random.pick(fleet.members);
    if (random.once(4)) {
      if (member.awaySinceMs === undefined) fleet.goAway(member);
      else fleet.comeBack(member);
    }
    if (random.once(4)) fleet.blink(random.pick(fleet.members));
    if (random.once(40)) random.pick(fleet.members).ails = random.pick(['unable', 'silent', undefined] as const);
    fleet.look();
  }
}

test(`over ${histories} histories nothing forbidden happens, and every rollout ends`, () => {
  for (let at = 0; at < histories; at += 1) {
    const random = new Random(seedOfRun() + at);
    const fleet = new Fleet(random, 1 + random.below(40));
    fleet.deadliness = random.pick([0, 0, 3, 10]);
    if (random.once(3)) fleet.faults = ['bad', 'unable', 'silent', 'downs'];
    live(fleet, random, 60);
    fleet.pause(false);
    const someStay = random.once(3);
    for (const member of fleet.members) if (!someStay) fleet.comeBack(member);
    if (someStay && random.once(2)) {
      for (const member of fleet.members.slice(2)) fleet.goAway(member);
      fleet.edit('r6', 0);
    }
    assert.ok(settle(fleet), `seed ${random.seed} does not end: ${fleet.outcome}`);
    assert.deepEqual(fleet.offences, [], `seed ${random.seed}`);
    const phase = fleet.state?.phase;
    const here = fleet.members.filter(({ awaySinceMs }) => awaySinceMs === undefined);
    const [isDone, isBack] = [fleet.target, fleet.state?.good].map((revision) =>
      here.every((member) => carries(member) === revision),
    );
    if (phase === 'Done') assert.ok(isDone, `seed ${random.seed}: ${fleet.outcome}`);
    if (phase === 'RolledBack') assert.ok(isBack, `seed ${random.seed}`);
    const isEnd = phase === 'Done' || phase === 'RolledBack' || phase === 'Halted';
    // A first revision that no node ever took has nothing to end with, nor has one for which every node is away.
    const isOpen = fleet.state?.good === undefined || here.length === 0;
    assert.ok(isEnd || isOpen, `seed ${random.seed} ends as ${fleet.outcome}`);
  }
});

const order: readonly RolloutPhase[] = ['Done', 'Canary', 'Batch', 'RollingBack', 'RolledBack'];

test(`over ${histories} rollouts phases come in their order, and killing the operator changes nothing of the end`, () => {
  for (let at = 0; at < histories; at += 1) {
    const seed = seedOfRun() + at;
    const run = (deadliness: number): Fleet => {
      const random = new Random(seed);
      const fleet = new Fleet(random, 2 + random.below(30));
      assert.ok(settle(fleet));
      fleet.phases.length = 0;
      fleet.edit('r1', [0, 0, 3, 30][seed % 4] ?? 0);
      fleet.deadliness = deadliness;
      assert.ok(settle(fleet), `seed ${seed} does not end`);
      assert.deepEqual(fleet.offences, [], `seed ${seed}`);
      return fleet;
    };
    const undisturbed = run(0);
    const killed = run(3);
    assert.equal(killed.outcome, undisturbed.outcome, `seed ${seed}`);
    for (const { phases } of [undisturbed, killed]) {
      const ranks = phases.map((phase) => (phase === 'Halted' ? 3 : phase === 'Done' ? 5 : order.indexOf(phase)));
      assert.deepEqual(ranks, [...new Set(ranks)].sort(), `seed ${seed}: ${phases.join(' ')}`);
    }
  }
});

/** A fleet that serves, and in which some nodes have been ill for long. */
function established(random: Random, size: number): Fleet {
  const fleet = new Fleet(random, size);
  assert.ok(settle(fleet));
  assert.equal(fleet.state?.phase, 'Done');
  const isPlague = random.once(8);
  for (const member of fleet.members.slice(Number(!isPlague))) {
    if (isPlague || random.once(8)) member.ails = random.pick(['unable', 'silent'] as const);
  }
  fleet.changeFacts();
  assert.ok(settle(fleet));
  return fleet;
}

test(`over ${histories} edits what is good gets through: past the sick, through blips, and while facts change`, () => {
  for (let at = 0; at < histories; at += 1) {
    const random = new Random(seedOfRun() + at);
    const fleet = established(random, 2 + random.below(30));
    const factsEvery = random.pick([0, 0, 2, 6, 13]);
    const blips = random.pick([0, 1, 3]);
    fleet.edit('r1', 0);
    let tick = 0;
    const suffer = (): void => {
      tick += 1;
      if (fleet.state?.phase === 'Done' && fleet.state.target === 'r1') return;
      if (factsEvery > 0 && tick % factsEvery === 0) fleet.changeFacts();
      if (blips === 0) return;
      if (random.once(blips * 4)) fleet.goAway(random.pick(fleet.members), 60_000);
      if (random.once(blips * 2)) fleet.blink(random.pick(fleet.members));
    };
    assert.ok(settle(fleet, suffer), `seed ${random.seed} does not end: ${fleet.outcome}`);
    assert.deepEqual(fleet.offences, [], `seed ${random.seed}`);
    const { phase, reason, message } = fleet.state ?? {};
    assert.equal(phase, 'Done', `seed ${random.seed}: ${reason} ${message}`);
    assert.equal(fleet.state?.good, 'r1');
  }
});

test(`over ${histories} edits what takes nodes down, or keeps them from serving, does so to few`, () => {
  for (let at = 0; at < histories; at += 1) {
    const random = new Random(seedOfRun() + at);
    const fleet = established(random, 4 + random.below(30));
    fleet.settings = { ...fleet.settings, autoRollback: true };
    fleet.faults = random.pick([['downs'], ['later'], ['unable'], ['downs', 'unable']] as const);
    fleet.edit('r1', random.pick([100, 100, 60]));
    // While most nodes are away for a moment nothing is learned from those that are there.
    const isAlone = random.once(3);
    const forMs = random.pick([30_000, AWAY_MS - 60_000]);
    if (isAlone) for (const member of fleet.members.slice(2)) fleet.goAway(member, forMs);
    assert.ok(settle(fleet), `seed ${random.seed} does not end: ${fleet.outcome}`);
    assert.deepEqual(fleet.offences, [], `seed ${random.seed}`);
  }
});
