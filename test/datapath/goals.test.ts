/** The judge of events: what it lets pass, and what it does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  answered,
  asked,
  connectionsEndAtOnce,
  connectionsSurvive,
  fast,
  fastAfter,
  type Goal,
  lostAtMost,
  lostOnlyAtTheEnd,
  lostOnlyCrossing,
  lostOnlyUntilLapsed,
  lostOnlyWhatTheDyingHeld,
  lostOnlyWhatWasHeld,
  nothingLost,
  rightAnswers,
  untracked,
} from './goals.ts';
import type { Outcome } from './ordeal.ts';
import { Results } from './results.ts';
import type { Account } from './traffic.ts';

const atMs = 1_000_000;
const way = { client: 'pod0', transport: 'udp', server: '10.96.0.10' } as const;
const clean: Account = {
  ...{ sent: 1_000, sentBy: new Map([['pod0', 1_000]]), answered: 1_000, connections: 2, worstMs: 3 },
  ...{ lost: [], slow: [], cuts: [], answers: new Map([['www.example NOERROR 192.0.2.7', 1_000]]) },
};
const usual: Outcome = {
  ...clean,
  atMs,
  untilMs: atMs + 20,
  loadMs: 3_000,
  tracked: [],
  noise: { ...clean, worstMs: 7 },
};

const lostAt = (...times: number[]): Outcome => ({
  ...usual,
  lost: times.map((ms) => ({ ...way, sentAtMs: atMs + ms })),
});
const slowAt = (...times: number[]): Outcome => ({
  ...usual,
  slow: times.map((ms) => ({ ...way, sentAtMs: atMs + ms, ms: 70 })),
});
const cutAt = (...times: number[]): Outcome => ({
  ...usual,
  cuts: times.map((ms) => ({ ...way, atMs: atMs + ms, how: 'ECONNRESET', unanswered: 1 })),
});
const isMet = (goal: Goal, outcome: Outcome) => goal.failure(outcome) === undefined;

test('where nothing happens, every goal is met', () => {
  const goals = [nothingLost, lostAtMost(0), lostOnlyWhatWasHeld, lostOnlyUntilLapsed, fast, connectionsSurvive];
  for (const goal of [...goals, untracked, rightAnswers, asked(300), answered('.example', ['NOERROR 192.0.2.7'])]) {
    assert.equal(goal.failure(usual), undefined, goal.words);
  }
});

test('one lost query misses the goal of none, and its moment is told', () => {
  assert.equal(nothingLost.failure(lostAt(12)), '1 lost: sent 12 (udp 10.96.0.10) ms after the event');
  assert.deepEqual([isMet(lostAtMost(2), lostAt(1, 2)), isMet(lostAtMost(2), lostAt(1, 2, 3))], [true, false]);
});

test('a dying process holds what was sent shortly before and until it was gone', () => {
  assert.ok(isMet(lostOnlyWhatWasHeld, lostAt(-50, 0, 25)));
  assert.match(lostOnlyWhatWasHeld.failure(lostAt(-51, 10)) ?? '', /^1 more lost: sent -51 /);
  assert.match(lostOnlyWhatWasHeld.failure(lostAt(10, 26)) ?? '', /^1 more lost: sent 26 /);
});

test('until interception has lapsed queries may be lost, and not later', () => {
  assert.deepEqual(
    [lostAt(1_600), lostAt(1_601)].map((outcome) => isMet(lostOnlyUntilLapsed, outcome)),
    [true, false],
  );
});

test('a slow answer misses the goal, with what a client saw that asks past the node', () => {
  const missed = '1 slow: 70 ms at -3 (udp 10.96.0.10); past the node the slowest took 7 ms';
  assert.equal(fast.failure(slowAt(-3)), missed);
  assert.ok(isMet(fast, slowAt(-51)));
  assert.deepEqual(
    [slowAt(1_599), slowAt(1_600)].map((outcome) => isMet(fastAfter(1_600), outcome)),
    [true, false],
  );
});

test('connections survive, or end with the process that held them', () => {
  assert.equal(isMet(connectionsSurvive, cutAt(5)), false);
  assert.ok(isMet(connectionsEndAtOnce, cutAt(5, 70)));
  assert.match(connectionsEndAtOnce.failure(cutAt(5, 71)) ?? '', /^1 ended late: ECONNRESET at 71 /);
  assert.equal(connectionsEndAtOnce.failure(cutAt(5)), 'only 1 of 2 ended');
});

test('a query may cross the end of its connection, and no other be lost', () => {
  const overTcp = { ...cutAt(5), lost: [{ ...way, transport: 'tcp', sentAtMs: atMs + 4 } as const] };
  assert.ok(isMet(lostOnlyCrossing, overTcp));
  assert.match(lostOnlyCrossing.failure({ ...overTcp, cuts: [] }) ?? '', /^1 lost: sent 4 \(tcp/);
  assert.match(lostOnlyCrossing.failure({ ...overTcp, ...lostAt(4), cuts: overTcp.cuts }) ?? '', /^1 lost over UDP/);
  const cuts = overTcp.cuts.map((cut) => ({ ...cut, unanswered: 2 }));
  assert.match(lostOnlyCrossing.failure({ ...overTcp, cuts }) ?? '', /^ended with more under way: ECONNRESET at 5/);
});

test('a client that asks often loses what is on its way when its connection ends', () => {
  const lostOverTcp = (...times: number[]) => ({
    ...cutAt(130),
    lost: times.map((ms) => ({ ...way, transport: 'tcp', sentAtMs: atMs + ms }) as const),
  });
  assert.ok(isMet(lostOnlyAtTheEnd, lostOverTcp(31, 130)));
  assert.match(lostOnlyAtTheEnd.failure(lostOverTcp(30, 31, 131)) ?? '', /^2 more lost: sent 30 \(tcp .* 131 \(tcp/);
  assert.match(lostOnlyAtTheEnd.failure({ ...lostAt(29), cuts: cutAt(30).cuts }) ?? '', /^1 more lost: sent 29 \(udp/);
});

test('each of several dying processes holds what was sent before it was gone, and not after', () => {
  const goal = lostOnlyWhatTheDyingHeld([{ atMs }, { atMs: atMs + 5_000, untilMs: atMs + 5_040 }]);
  assert.ok(isMet(goal, lostAt(-499, 19, 4_501, 5_059)));
  assert.match(goal.failure(lostAt(-500, 0, 20, 4_500, 5_060)) ?? '', /^4 more lost: sent -500 .* 20 .* 4500 .* 5060 /);
});

test('a tracked connection misses the goal', () => {
  const tracked = [{ protocol: 'udp', source: 'a', destination: 'b', answeredBy: 'b', isAnswer: false }];
  assert.match(untracked.failure({ ...usual, tracked }) ?? '', /^1 tracked: /);
});

test('other answers than the right ones miss the goal', () => {
  const failed = { ...usual, answers: new Map([['www.example SERVFAIL', 2]]) };
  assert.equal(rightAnswers.failure(failed), 'answered 2 × www.example SERVFAIL');
  assert.equal(answered('.example', ['NOERROR 192.0.2.8']).failure(usual), 'answered www.example NOERROR 192.0.2.7');
});

test('a client that asked too seldom proves nothing', () => {
  const sentBy = new Map([
    ['pod0', 900],
    ['pod1', 899],
  ]);
  assert.equal(asked(300).failure({ ...usual, sentBy }), 'pod1 asked 299.7 a second');
  assert.equal(asked(300).failure({ ...usual, sentBy: new Map() }), 'nobody asked');
});

test('every goal that was missed is noted with the event', () => {
  const failures = new Results().note('an event', 'nftables', lostAt(10), [nothingLost, fast, lostAtMost(0)]);
  assert.equal(failures.length, 2);
});
