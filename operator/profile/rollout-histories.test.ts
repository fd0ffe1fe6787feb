/** Rollouts by seed: whatever nodes, people and operators do, what a rollout promises holds after every step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import { Fleet } from '../../test/fake/fleet.ts';
import { carries, isServing, isSettled } from '../../test/fake/fleet-member.ts';
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
    if (random.once(25)) fleet.reword(`s${tick}`);
    if (random.once(25)) fleet.pause(!fleet.settings.paused);
    if (random.once(15)) fleet.join();
    if (random.once(15)) for (let more = 1 + random.below(8); more > 0; more -= 1) fleet.takeOver();
    if (random.once(20)) fleet.changeFacts();
    const member = random.pick(fleet.members);
    if (random.once(4)) {
      if (member.awaySinceMs === undefined) fleet.goAway(member);
      else fleet.comeBack(member);
    }
    if (random.once(4)) fleet.blink(random.pick(fleet.members), random.pick([5_000, 5_000, 60_000]));
    if (random.once(10)) random.pick(fleet.members).pace = random.pick([1, 2, 3]);
    if (random.once(20) && fleet.members.length > 1) fleet.remove(random.pick(fleet.members));
    if (random.once(20)) fleet.die();
    if (random.once(20)) fleet.lost = random.once(2) ? fleet.state?.good : undefined;
    if (random.once(60)) fleet.withdraw(random.once(2));
    if (random.once(40)) fleet.replaceAll();
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
      here.every((member) => carries(member) === revision || (phase === 'RolledBack' && member.isServedByOther)),
    );
    if (phase === 'Done')
      assert.ok(isDone || fleet.state?.reason !== undefined, `seed ${random.seed}: ${fleet.outcome}`);
    if (phase === 'RolledBack') assert.ok(isBack, `seed ${random.seed}`);
    const isEnd = phase === 'Done' || phase === 'RolledBack' || phase === 'Halted';
    // What no node takes that was not served before has nothing to end with, nor has what every node is away for; what a silent agent said
    // last is no news of it.
    const areNew = here.every(({ written }) => written?.trial?.joined === true);
    const isFirst = fleet.state?.good === undefined || fleet.isGoodLost || areNew;
    const isTaken = here.some((member) => isServing(member) && member.ails !== 'silent');
    const isOpen = here.length === 0 || (isFirst && isDone && !isTaken);
    assert.ok(isEnd || isOpen, `seed ${random.seed} ends as ${fleet.outcome}`);
  }
});

test(`over ${histories} histories an edit gets to all where nobody was served, and what was good is lost, or comes back`, () => {
  for (let at = 0; at < histories; at += 1) {
    const random = new Random(seedOfRun() + at);
    const fleet = new Fleet(random, 1 + random.below(30));
    assert.ok(settle(fleet));
    fleet.withdraw(random.once(2));
    fleet.lost = 'r0';
    fleet.deadliness = random.pick([0, 0, 5]);
    fleet.edit('r1', 0);
    const [backAfter, blipsEvery, joinsEvery] = [random.pick([0, 0, 10]), random.pick([0, 3]), random.pick([0, 9])];
    let tick = 0;
    const suffer = (): void => {
      tick += 1;
      if (backAfter > 0 && random.once(backAfter)) fleet.lost = fleet.lost === undefined ? 'r0' : undefined;
      if (tick > 100) return;
      if (blipsEvery > 0 && random.once(blipsEvery)) fleet.blink(random.pick(fleet.members));
      if (joinsEvery > 0 && random.once(joinsEvery)) fleet.join();
      if (joinsEvery > 0 && random.once(joinsEvery)) fleet.takeOver();
    };
    assert.ok(settle(fleet, suffer), `seed ${random.seed} does not end: ${fleet.outcome}`);
    assert.deepEqual(fleet.offences, [], `seed ${random.seed}`);
    const isAll = fleet.members.every((member) => carries(member) === 'r1' && isServing(member));
    assert.ok(isAll && fleet.state?.phase === 'Done', `seed ${random.seed}: ${fleet.outcome}`);
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
  // Who does not follow is found out by and by.
  for (let tick = 0; tick < 12; tick += 1) fleet.tick();
  assert.ok(settle(fleet));
  return fleet;
}

test(`over ${histories} edits what is good gets through: past the sick, through blips, and while facts change`, () => {
  for (let at = 0; at < histories; at += 1) {
    const random = new Random(seedOfRun() + at);
    const fleet = established(random, 2 + random.below(30));
    const factsEvery = random.pick([0, 0, 1, 2, 6, 13]);
    const [blips, joinsEvery, diesEvery] = [random.pick([0, 1, 3]), random.pick([0, 1, 3, 6]), random.pick([0, 20])];
    // A machine that is away again and again, each time for another reason, has not proved anything.
    const cordonsEvery = blips === 0 ? random.pick([0, 9, 30]) : 0;
    for (const member of fleet.members) member.pace = random.pick([1, 1, 2, 3]);
    fleet.edit('r1', 0);
    let tick = 0;
    const isDue = (every: number): boolean => every > 0 && tick % every === 0;
    const suffer = (): void => {
      tick += 1;
      if (fleet.state?.phase === 'Done' && fleet.state.target === 'r1') return;
      if (isDue(factsEvery)) fleet.changeFacts();
      if (isDue(diesEvery)) fleet.die();
      const here = fleet.members.filter(({ awaySinceMs }) => awaySinceMs === undefined);
      const isIll = new Set(fleet.state?.silent);
      if (isDue(cordonsEvery) && here.length > fleet.members.length / 2) {
        const member = random.pick(here);
        if (!isIll.has(member.name)) fleet.maintain(member, random.pick([60_000, 400_000]));
      }
      // A machine that lives no longer than a trial proves nothing.
      if (isDue(joinsEvery * Math.ceil(60 / fleet.members.length))) {
        // As autoscalers do: one that is well goes, and another comes, which is not ready at once.
        const idle = here.filter(({ name }) => !isIll.has(name));
        if (idle.length > 1) fleet.remove(random.pick(idle));
        const born = fleet.join();
        if (random.once(2)) fleet.goAway(born, 30_000);
      }
      const proven = fleet.members.filter((member) => carries(member) === 'r1' && isSettled(member, fleet.nowMs));
      const isCalm = fleet.members.every(({ stoppedUntilMs }) => stoppedUntilMs <= fleet.nowMs);
      if (isCalm && proven.length > 0 && random.once(5)) {
        fleet.blink(random.pick(proven), random.pick([13_000, 60_000, 400_000]));
      }
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
    const fleet = established(random, random.once(3) ? 1 + random.below(3) : 4 + random.below(30));
    fleet.settings = { ...fleet.settings, autoRollback: true };
    fleet.faults = random.pick([['downs'], ['later'], ['unable'], ['downs', 'unable']] as const);
    fleet.edit('r1', random.pick([100, 100, 60]));
    fleet.repairsMs = random.pick([undefined, 10_000, 60_000, 240_000, 400_000]);
    fleet.gapMs = random.pick([0, 0, 20_000, AWAY_MS]);
    // What happens while no operator looks is not known: that a machine falls, and is replaced at once.
    fleet.deadliness = fleet.repairsMs === 10_000 ? 0 : random.pick([0, 0, 5]);
    // While most nodes are away for a moment nothing is learned from those that are there.
    const isAlone = random.once(3);
    const forMs = random.pick([30_000, AWAY_MS - 60_000]);
    if (isAlone) for (const member of fleet.members.slice(2)) fleet.goAway(member, forMs);
    const endRepairs = (): void => {
      if (fleet.state?.phase === 'Done' && fleet.state.target === 'r1') fleet.repairsMs = undefined;
    };
    assert.ok(settle(fleet, endRepairs), `seed ${random.seed} does not end: ${fleet.outcome}`);
    assert.deepEqual(fleet.offences, [], `seed ${random.seed}`);
  }
});

test(`over ${histories} take-overs what fails nodes that another profile serves does so to few`, () => {
  for (let at = 0; at < histories; at += 1) {
    const random = new Random(seedOfRun() + at);
    const fleet = new Fleet(random, 1 + random.below(3));
    // A profile that has not rolled out anything, one that is through, and one in the middle of it.
    const begun = random.below(3);
    if (begun > 0) assert.ok(settle(fleet));
    if (begun > 1) fleet.edit('r1', 0);
    for (let looks = begun > 1 ? random.below(6) : 0; looks > 0; looks -= 1) {
      fleet.tick();
      fleet.look();
    }
    fleet.faults = random.pick([['bad'], ['unable'], ['silent'], ['bad', 'unable', 'silent'], ['downs']] as const);
    fleet.deadliness = random.pick([0, 5]);
    const isPaused = random.once(4);
    if (isPaused) fleet.pause(true);
    const taken = Array.from({ length: 4 + random.below(30) }, () => fleet.takeOver());
    fleet.share(fleet.target, random.pick([0, 20, 100]), taken);
    assert.ok(settle(fleet), `seed ${random.seed} does not end: ${fleet.outcome}`);
    assert.ok(!isPaused || taken.every(({ isServedByOther }) => isServedByOther), `seed ${random.seed}`);
    fleet.pause(false);
    assert.ok(settle(fleet), `seed ${random.seed} does not end: ${fleet.outcome}`);
    assert.deepEqual(fleet.offences, [], `seed ${random.seed}`);
    const { phase, reason } = fleet.state ?? {};
    const isAll = taken.every((member) => carries(member) === fleet.target);
    assert.ok(
      isAll ? phase === 'Done' || reason !== undefined : reason !== undefined,
      `seed ${random.seed}: ${fleet.outcome}`,
    );
  }
});

test(`over ${histories} rollouts that are over what fails where it comes late does so to few, and says so`, () => {
  for (let at = 0; at < histories; at += 1) {
    const random = new Random(seedOfRun() + at);
    const fleet = new Fleet(random, 4 + random.below(30));
    assert.ok(settle(fleet));
    const late = fleet.members.slice(2 + random.below(fleet.members.length - 2));
    for (const member of late) fleet.goAway(member);
    fleet.edit('r1', 0);
    assert.ok(settle(fleet));
    assert.deepEqual([fleet.state?.phase, fleet.state?.good], ['Done', 'r1'], `seed ${random.seed}`);
    fleet.faults = random.pick([['bad'], ['unable'], ['bad', 'unable', 'silent'], ['downs']] as const);
    fleet.share('r1', random.pick([0, 20, 100]), late);
    fleet.repairsMs = random.pick([undefined, 10_000, 60_000, 400_000]);
    fleet.deadliness = fleet.repairsMs === 10_000 ? 0 : random.pick([0, 5]);
    for (const member of late) {
      for (let ticks = random.below(4); ticks > 0; ticks -= 1) {
        fleet.tick();
        fleet.look();
      }
      fleet.comeBack(member);
    }
    // What goes down as it joins would do so for ever.
    const repairedMs = fleet.nowMs + 3_600_000;
    const endRepairs = (): void => {
      if (fleet.nowMs >= repairedMs) fleet.repairsMs = undefined;
    };
    assert.ok(settle(fleet, endRepairs), `seed ${random.seed} does not end: ${fleet.outcome}`);
    assert.deepEqual(fleet.offences, [], `seed ${random.seed}`);
    const { phase, reason, good } = fleet.state ?? {};
    assert.deepEqual([phase, good], ['Done', 'r1'], `seed ${random.seed}`);
    const isAll = fleet.members.every((member) => member.awaySinceMs !== undefined || carries(member) === 'r1');
    assert.ok(isAll || reason !== undefined, `seed ${random.seed}: ${fleet.outcome}`);
  }
});

for (const everyMs of [20_000, 50_000, 100_000]) {
  for (const fault of ['silent', 'unable'] as const) {
    const dying = (fleet: Fleet, forMs: number): void => {
      const sinceMs = fleet.nowMs;
      while (fleet.nowMs < sinceMs + forMs) {
        fleet.tick();
        fleet.look();
        if ((fleet.nowMs - sinceMs) % everyMs === 0) fleet.die();
      }
    };

    test(`an operator that dies every ${everyMs / 1000} s finds a canary that is ${fault}, and hardly writes`, () => {
      const fleet = new Fleet(new Random(1), 8);
      fleet.settings = {
        ...fleet.settings,
        maxUnavailable: 1,
        canary: { nodes: 1, soakSeconds: 60 },
        autoRollback: true,
      };
      assert.ok(settle(fleet));
      fleet.faults = [fault];
      fleet.edit('r1', 100);
      fleet.stateWrites = 0;
      dying(fleet, 1_200_000);
      const reason = fault === 'silent' ? 'NodesSilent' : 'NotServing';
      assert.deepEqual([fleet.state?.phase, fleet.state?.reason], ['RolledBack', reason]);
      assert.deepEqual(fleet.offences, []);
      assert.ok(fleet.stateWrites <= 5, `${fleet.stateWrites} writes`);
    });

    test(`so it is with a node that is ${fault} where it comes late: every ${everyMs / 1000} s`, () => {
      const fleet = new Fleet(new Random(1), 8);
      fleet.settings = { ...fleet.settings, maxUnavailable: 1, autoRollback: true };
      assert.ok(settle(fleet));
      const late = fleet.members.slice(4);
      for (const member of late) fleet.goAway(member);
      fleet.edit('r1', 0);
      assert.ok(settle(fleet));
      fleet.faults = [fault];
      fleet.share('r1', 100, late);
      for (const member of late) fleet.comeBack(member);
      fleet.stateWrites = 0;
      dying(fleet, 3_600_000);
      assert.notEqual(fleet.state?.reason, undefined);
      assert.deepEqual([fleet.hurt, fleet.offences], [fault === 'silent' ? 0 : 1, []]);
      assert.ok(fleet.stateWrites <= 5, `${fleet.stateWrites} writes`);
    });
  }
}

for (const [maxUnavailable, atMost] of [
  [1, 120_000],
  [3, 60_000],
] as const) {
  test(`who joined in a batch and serves ill is back after an edit long before its canary is over: ${maxUnavailable} at a time`, () => {
    const fleet = new Fleet(new Random(1), 8);
    const canary = { nodes: 1, soakSeconds: 300 };
    fleet.settings = { ...fleet.settings, maxUnavailable, canary, autoRollback: false };
    assert.ok(settle(fleet));
    fleet.faults = ['bad'];
    fleet.edit('r1', 0);
    const inBatch = (): boolean => fleet.state?.phase === 'Batch';
    while (!inBatch()) {
      fleet.tick();
      fleet.look();
    }
    const born = Array.from({ length: 6 }, () => fleet.join());
    fleet.share('r1', 100, born);
    fleet.look();
    const isIll = (): boolean => born.some((member) => carries(member) === 'r1');
    assert.ok(born.every((member) => carries(member) === 'r1'));
    // The agents have found it out, and somebody is quicker than the operator.
    for (let tick = 0; tick < 6; tick += 1) fleet.tick();
    fleet.edit('r2', 0);
    const sinceMs = fleet.nowMs;
    while (isIll() && fleet.nowMs < sinceMs + 1_000_000) {
      fleet.tick();
      fleet.look();
    }
    assert.ok(fleet.nowMs - sinceMs <= atMost, `${(fleet.nowMs - sinceMs) / 1000} s`);
    assert.ok(settle(fleet));
    assert.deepEqual([fleet.state?.phase, fleet.state?.good, fleet.offences], ['Done', 'r2', []]);
  });
}
