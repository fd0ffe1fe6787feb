/** Rollouts by seed: whatever nodes, people and operators do, what a rollout promises holds after every step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import { Fleet } from '../../test/fake/fleet.ts';
import { packetsOfRun, Random, seedOfRun } from '../../test/fuzz/random.ts';

const histories = packetsOfRun(400, 20_000);
/** Every node may be a batch of its own, may be taken back, and may take its time. */
const TICKS_TO_END = 1_200;

/** Until nothing happens any more; false where that never comes. */
function settle(fleet: Fleet): boolean {
  for (let tick = 0, still = 0; tick < TICKS_TO_END; tick += 1) {
    fleet.tick();
    still = fleet.look() ? 0 : still + 1;
    if (still > 8) return true;
  }
  return false;
}

function live(fleet: Fleet, random: Random, ticks: number): void {
  for (let tick = 0; tick < ticks; tick += 1) {
    fleet.tick();
    if (random.once(12)) fleet.edit(`r${random.below(6)}`, random.pick([0, 0, 2, 20, 100]));
    if (random.once(25)) fleet.pause(!fleet.settings.paused);
    if (random.once(15)) fleet.join();
    const member = random.pick(fleet.members);
    if (random.once(4)) member.isReachable = !member.isReachable;
    fleet.look();
  }
}

test(`over ${histories} histories nothing forbidden happens, and every rollout ends`, () => {
  for (let at = 0; at < histories; at += 1) {
    const random = new Random(seedOfRun() + at);
    const fleet = new Fleet(random, 1 + random.below(40));
    fleet.deadliness = random.pick([0, 0, 3, 10]);
    live(fleet, random, 60);
    fleet.pause(false);
    for (const member of fleet.members) member.isReachable = true;
    assert.ok(settle(fleet), `seed ${random.seed} does not end: ${fleet.outcome}`);
    assert.deepEqual(fleet.offences, [], `seed ${random.seed}`);
    const phase = fleet.state?.phase;
    if (phase === 'Done')
      assert.ok(
        fleet.members.every(({ carries }) => carries === fleet.target),
        `seed ${random.seed}`,
      );
    if (phase === 'RolledBack') {
      assert.ok(
        fleet.members.every(({ carries }) => carries === fleet.state?.good),
        `seed ${random.seed}`,
      );
    }
    const isEnd = phase === 'Done' || phase === 'RolledBack' || phase === 'Halted';
    // A first revision that no node ever took has nothing to end with.
    assert.ok(isEnd || fleet.state?.good === undefined, `seed ${random.seed} ends as ${fleet.outcome}`);
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
