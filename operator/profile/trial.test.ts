import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeHealth } from '../../api/v1alpha1/node.ts';
import type { AgentReport, WrittenFacts } from './facts.ts';
import type { Sighting } from './sightings.ts';
import { APPLY_MS, AWAY_MS, SETTLE_MS, type Standing, standingOf } from './trial.ts';

const trial = { soakSeconds: 60, probes: [] };
const figures = { queries: 1000, servFailPermille: 10, p99Micros: 20_000 };
const health: NodeHealth = { revision: 'r', soakSeconds: 60, ...figures, before: figures, measuredAt: '' };
const serving: AgentReport = {
  ...{ appliedRevision: 'r', isServing: true, isRefused: false },
  ...{ measures: true, health, failure: undefined },
};

/** By an operator, when the node had long stopped. */
const justBegun: Partial<Sighting> = { sinceMs: 300_000, seenMs: 300_000, downSinceMs: 300_000 };
const behind: Partial<AgentReport> = { appliedRevision: 'old', health: undefined };

interface Case {
  title: string;
  report?: Partial<AgentReport>;
  measured?: Partial<NodeHealth>;
  more?: { trial?: WrittenFacts['trial']; isIntact?: boolean; revision?: string };
  factor?: number;
  seen?: Partial<Sighting>;
  awaySinceMs?: number;
  hereSinceMs?: number;
  nowMs?: number;
  is: Standing | Standing['kind'] | `bad ${string}`;
}

const cases: Case[] = [
  { title: 'serves no worse than before', is: 'settled' },
  {
    title: 'refuses its configuration',
    report: { isRefused: true, failure: 'too new' },
    is: { kind: 'bad', reason: 'ConfigRefused', message: 'too new' },
  },
  {
    title: 'refuses a format that it has only now said it does not read',
    report: { isRefused: true, appliedRevision: '', configVersions: [1] },
    more: { revision: 'v2-r' },
    is: 'pending',
  },
  {
    title: 'refuses what somebody else wrote',
    report: { isRefused: true, health: undefined },
    more: { isIntact: false },
    is: 'pending',
  },
  { title: 'has not applied it yet', report: behind, is: { kind: 'pending', untilMs: SETTLE_MS } },
  {
    title: 'has not applied it for half a minute',
    report: behind,
    nowMs: SETTLE_MS,
    is: { kind: 'pending', untilMs: APPLY_MS, isMissing: true },
  },
  { title: 'has not applied it for two minutes', report: behind, nowMs: APPLY_MS, is: 'lost' },
  {
    title: 'has not applied it for long, as an operator finds that has just begun',
    report: behind,
    seen: { seenMs: 1e6 },
    nowMs: 1e6 + 59_999,
    is: { kind: 'pending', untilMs: 1e6 + 60_000, isMissing: true },
  },
  {
    title: 'has not applied it for long, as an operator finds that has looked for a minute',
    report: behind,
    seen: { seenMs: 1e6 },
    nowMs: 1e6 + 60_000,
    is: 'lost',
  },
  {
    title: 'has not applied it for half a minute, off trial',
    report: { appliedRevision: 'old' },
    more: { trial: undefined },
    nowMs: SETTLE_MS,
    is: 'lost',
  },
  {
    title: 'takes up what it was given, off trial',
    report: { appliedRevision: 'old' },
    more: { trial: undefined },
    seen: { behindSinceMs: 20_000 },
    nowMs: SETTLE_MS - 1,
    is: { kind: 'pending', untilMs: SETTLE_MS },
  },
  {
    title: 'follows facts at its own pace, off trial',
    report: { appliedRevision: 'old' },
    more: { trial: undefined },
    seen: { behindSinceMs: 20_000 },
    nowMs: SETTLE_MS,
    is: 'settled',
  },
  { title: 'does not serve for a moment', report: { isServing: false }, nowMs: 9_999, is: 'pending' },
  {
    title: 'does not serve, as an operator finds that has just begun',
    report: { isServing: false },
    seen: { seenMs: 50_000 },
    nowMs: 59_999,
    is: { kind: 'pending', untilMs: 60_000 },
  },
  {
    title: 'proved itself and stops serving in its trial, or soon after',
    report: { isServing: false },
    seen: { downSinceMs: 209_999 },
    nowMs: 219_999,
    is: 'bad NotServing',
  },
  {
    title: 'proved itself long ago and does not serve now',
    report: { isServing: false, failure: 'port 53 is taken' },
    seen: { downSinceMs: 210_000 },
    nowMs: 1e6,
    is: { kind: 'down', sinceMs: 210_000, message: 'port 53 is taken' },
  },
  {
    title: 'proved itself long ago and does not serve now, as an operator finds that has just begun',
    report: { isServing: false },
    seen: justBegun,
    nowMs: 300_000,
    is: 'down',
  },
  {
    title: 'measured when it had stopped, as an operator finds that has just begun',
    report: { isServing: false, changedMs: 60_000 },
    measured: { measuredAt: '1970-01-01T00:01:00Z' },
    seen: justBegun,
    nowMs: 310_000,
    is: 'bad NotServing',
  },
  {
    title: 'stopped half a minute after it had measured, as an operator finds that has just begun',
    report: { isServing: false, changedMs: 90_000 },
    measured: { measuredAt: '1970-01-01T00:01:00Z' },
    seen: justBegun,
    nowMs: 310_000,
    is: 'down',
  },
  {
    title: 'proved itself with the facts of before',
    report: { appliedRevision: 'older' },
    measured: { revision: 'old', profileRevision: 'p-1', attempt: 2 },
    more: { trial: { ...trial, attempt: 2 } },
    seen: { behindSinceMs: 20_000 },
    nowMs: SETTLE_MS,
    is: 'settled',
  },
  {
    title: 'proved itself with the facts of before, as an operator finds that has just begun',
    report: { appliedRevision: 'older' },
    measured: { revision: 'old', profileRevision: 'p-1', attempt: 2 },
    more: { trial: { ...trial, attempt: 2 } },
    nowMs: SETTLE_MS - 1,
    is: { kind: 'pending', untilMs: SETTLE_MS, isProven: true },
  },
  {
    title: 'proved itself, and follows facts no more',
    report: { appliedRevision: 'older' },
    measured: { revision: 'old', profileRevision: 'p-1', attempt: 2 },
    more: { trial: { ...trial, attempt: 2 } },
    nowMs: SETTLE_MS,
    is: 'down',
  },
  {
    title: 'proved another revision of the profile in the same attempt',
    measured: { revision: 'old', profileRevision: 'p-2', attempt: 2 },
    more: { trial: { ...trial, attempt: 2 } },
    is: 'pending',
  },
  {
    title: 'proved another revision of the profile, and does not say of which attempt',
    measured: { revision: 'old', profileRevision: 'p-1' },
    is: 'pending',
  },
  {
    title: 'does not serve',
    report: { isServing: false, failure: 'port 53 is taken' },
    nowMs: 10_000,
    is: { kind: 'bad', reason: 'NotServing', message: 'port 53 is taken' },
  },
  {
    title: 'does not serve for a moment, late in its trial',
    report: { isServing: false, health: undefined },
    seen: { downSinceMs: 136_000 },
    nowMs: 145_999,
    is: { kind: 'pending', untilMs: 146_000 },
  },
  {
    title: 'does not serve, late in its trial',
    report: { isServing: false },
    seen: { downSinceMs: 136_000 },
    nowMs: 146_000,
    is: 'bad NotServing',
  },
  { title: 'went away in its trial, though it says that all is well', awaySinceMs: 1, is: 'pending' },
  {
    title: 'went away in its trial a while ago',
    awaySinceMs: 1_000,
    nowMs: AWAY_MS + 999,
    is: { kind: 'pending', untilMs: AWAY_MS + 1_000, isMissing: true },
  },
  { title: 'went away in its trial, and is no more', awaySinceMs: 1_000, nowMs: AWAY_MS + 1_000, is: 'lost' },
  {
    title: 'was found to be away only when its trial was over',
    awaySinceMs: 60_000 + 149_999,
    nowMs: 1_000_000,
    is: 'lost',
  },
  { title: 'went away long after its trial', awaySinceMs: 60_000 + 150_000, nowMs: 1_000_000, is: 'settled' },
  {
    title: 'went away long after its trial, and said so',
    report: { isServing: false, appliedRevision: '' },
    awaySinceMs: 60_000 + 150_000,
    nowMs: 1_000_000,
    is: 'settled',
  },
  {
    title: 'is away in its trial by a clock that is far ahead',
    awaySinceMs: 1e12,
    is: { kind: 'pending', untilMs: 60_000 + 150_000 + AWAY_MS, isMissing: true },
  },
  {
    title: 'has come back a moment ago, and its agent has not yet',
    report: behind,
    hereSinceMs: 300_000,
    nowMs: 300_000 + SETTLE_MS,
    is: { kind: 'pending', untilMs: 360_000, isMissing: true },
  },
  {
    title: 'has come back a moment ago, and does not serve yet',
    report: { isServing: false, health: undefined },
    hereSinceMs: 300_000,
    nowMs: 309_999,
    is: { kind: 'pending', untilMs: 310_000 },
  },
  {
    title: 'has come back by a clock that is ahead',
    report: { isServing: false },
    hereSinceMs: 1e9,
    nowMs: 300_000,
    is: { kind: 'down', sinceMs: 300_000, message: 'it does not serve' },
  },
  {
    title: 'went away long after its trial, as an operator finds that has just begun',
    seen: { sinceMs: 200_000, seenMs: 200_000 },
    awaySinceMs: 60_000 + 150_000,
    nowMs: 220_000,
    is: 'settled',
  },
  { title: 'is away, and is not on trial', more: { trial: undefined }, awaySinceMs: 1, is: 'settled' },
  { title: 'is off trial and serves', report: { health: undefined }, more: { trial: undefined }, is: 'settled' },
  { title: 'soaks', report: { health: undefined }, nowMs: 60_000, is: 'pending' },
  { title: 'was measured with another configuration', measured: { revision: 'old' }, is: 'pending' },
  {
    title: 'was measured in an attempt before this one',
    more: { trial: { ...trial, attempt: 2 } },
    measured: { attempt: 1 },
    is: 'pending',
  },
  {
    title: 'was measured in this attempt',
    more: { trial: { ...trial, attempt: 2 } },
    measured: { attempt: 2 },
    is: 'settled',
  },
  { title: 'knows no attempts', more: { trial: { ...trial, attempt: 2 } }, is: 'settled' },
  {
    title: 'measured nothing though it should have',
    report: { health: undefined },
    nowMs: 2 * 60_000 + APPLY_MS + 30_000,
    is: 'lost',
  },
  {
    title: 'measured nothing though it should have, as an operator finds that has just begun',
    report: { health: undefined },
    seen: { seenMs: 1e6 },
    nowMs: 1e6 + 59_999,
    is: { kind: 'pending', untilMs: 1e6 + 60_000, isWell: true },
  },
  {
    title: 'was replaced late in its trial, and serves',
    report: { health: undefined },
    nowMs: 60_000 + APPLY_MS + 30_000,
    is: { kind: 'pending', untilMs: 270_000, isWell: true },
  },
  {
    title: 'began anew a moment ago, long after its trial, serves, and never told',
    report: { health: undefined },
    seen: { heardMs: 1e6 },
    nowMs: 1e6,
    is: 'lost',
  },
  {
    title: 'begins anew again and again, and serves',
    report: { health: undefined },
    seen: { heardMs: 539_000 },
    nowMs: 539_999,
    is: { kind: 'pending', untilMs: 540_000, isWell: true },
  },
  {
    title: 'follows facts that never rest, serves, and never told',
    report: { appliedRevision: 'old', health: undefined },
    seen: { heardMs: 539_000, behindSinceMs: 539_000 },
    nowMs: 540_000,
    is: 'lost',
  },
  {
    title: 'follows facts that never rest, and does not serve',
    report: { appliedRevision: 'old', health: undefined, isServing: false },
    seen: { heardMs: 539_000, behindSinceMs: 539_000 },
    nowMs: 540_000,
    is: 'bad NotServing',
  },
  {
    title: 'is of a version that measures nothing, and has served so long',
    report: { health: undefined, measures: false },
    nowMs: 60_000,
    is: 'settled',
  },
  {
    title: 'resolves no probe',
    measured: {
      probes: [
        { name: 'a', ok: true },
        { name: 'b', ok: false, message: 'SERVFAIL' },
      ],
    },
    is: { kind: 'bad', reason: 'ProbeFailed', message: 'b: SERVFAIL' },
  },
  {
    title: 'resolves no probe, and was asked nothing else',
    measured: { queries: 0, probes: [{ name: 'b', ok: false }] },
    is: 'bad ProbeFailed',
  },
  {
    title: 'fails more often',
    measured: { servFailPermille: 35 },
    is: { kind: 'bad', reason: 'MoreServFail', message: '3.5 % of its answers are SERVFAIL, 1 % before' },
  },
  { title: 'fails more often, but not by much', measured: { servFailPermille: 29 }, is: 'settled' },
  {
    title: 'fails more often than before, and less than it may',
    measured: { servFailPermille: 35 },
    factor: 400,
    is: 'settled',
  },
  { title: 'fails a few of very few', measured: { queries: 49, servFailPermille: 500 }, is: 'settled' },
  {
    title: 'is slower',
    measured: { p99Micros: 41_000 },
    is: { kind: 'bad', reason: 'Slower', message: '99 of 100 answers within 41 ms, 20 ms before' },
  },
  { title: 'is slower, for the few who waited', measured: { p99Micros: 41_000, waited: 99 }, is: 'settled' },
  {
    title: 'is slower, for the few who waited before',
    measured: { p99Micros: 41_000, waited: 1000, before: { ...figures, waited: 99 } },
    is: 'settled',
  },
  { title: 'is slower, for enough who waited', measured: { p99Micros: 41_000, waited: 100 }, is: 'bad Slower' },
  {
    title: 'is slower by less than a person could tell',
    measured: { p99Micros: 9_000, before: { ...figures, p99Micros: 1_000 } },
    is: 'settled',
  },
  {
    title: 'has no past and fails half of all',
    measured: { before: undefined, servFailPermille: 500 },
    is: 'bad MoreServFail',
  },
  { title: 'has no past and fails some', measured: { before: undefined, servFailPermille: 499 }, is: 'settled' },
  {
    title: 'has a past of few queries',
    measured: { before: { ...figures, queries: 3, servFailPermille: 0 }, servFailPermille: 100 },
    is: 'settled',
  },
];

for (const {
  title,
  report,
  measured,
  more,
  factor: healthFactor = 200,
  seen,
  awaySinceMs,
  hereSinceMs,
  nowMs = 0,
  is,
} of cases) {
  test(`a node that ${title}: ${typeof is === 'string' ? is : is.kind}`, () => {
    const told = { ...serving, ...(measured && { health: { ...health, ...measured } }), ...report };
    const facts = {
      revision: 'r',
      profileRevision: 'p-1',
      trial,
      writtenAtMs: 0,
      isIntact: true,
      ...more,
      report: told,
    };
    const seenFirst = { sinceMs: 0, seenMs: 0, heardMs: 0, awaited: [] };
    const sighting = { ...seenFirst, behindSinceMs: 0, downSinceMs: 0, ...seen };
    const standing = standingOf(facts, { sighting, awaySinceMs, hereSinceMs, healthFactor, nowMs });
    if (typeof is !== 'string') assert.deepEqual(standing, is);
    else assert.equal(standing.kind === 'bad' && is !== 'bad' ? `bad ${standing.reason}` : standing.kind, is);
  });
}
