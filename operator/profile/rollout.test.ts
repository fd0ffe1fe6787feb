import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultedRollout } from '../../api/v1alpha1/rollout-settings.ts';
import { planRollout } from './rollout.ts';
import type { RolloutNode } from './rollout-node.ts';
import type { RolloutState } from './rollout-state.ts';
import type { Standing } from './trial.ts';

const settled: Standing = { kind: 'settled' };
const pending: Standing = { kind: 'pending', untilMs: 60_000 };
const lost: Standing = { kind: 'lost' };
const bad: Standing = { kind: 'bad', reason: 'ProbeFailed', message: 'a.example: SERVFAIL' };
const unable: Standing = { kind: 'bad', reason: 'NotServing', message: 'port 53 is taken' };

const at = (name: string, carries: string | undefined, more: Partial<RolloutNode> = {}): RolloutNode => ({
  name,
  zone: 'z',
  pool: 'p',
  carries,
  isReachable: true,
  isServing: carries !== undefined,
  isJudged: carries === 'new',
  standing: settled,
  isSame: false,
  ...more,
});
const many = (count: number, carries: string | undefined, more: Partial<RolloutNode> = {}, first = 0): RolloutNode[] =>
  Array.from({ length: count }, (_, index) => at(`n${String(first + index).padStart(4, '0')}`, carries, more));

const done: RolloutState = { phase: 'Done', target: 'old', good: 'old', startedAt: 's' };
const canary: RolloutState = { phase: 'Canary', target: 'new', good: 'old', startedAt: 's' };
const batch: RolloutState = { ...canary, phase: 'Batch' };
const first: RolloutState = { phase: 'Canary', target: 'new', startedAt: 's' };
const halted: RolloutState = { ...canary, phase: 'Halted', attempt: 3, reason: 'ProbeFailed', message: 'm' };
const again: RolloutState = { ...canary, phase: 'Paused', attempt: 4 };
const rollingBack: RolloutState = { ...canary, phase: 'RollingBack', reason: 'ProbeFailed', message: 'm' };

const over: RolloutState = { phase: 'Done', target: 'new', good: 'new', startedAt: 's' };
const down: Standing = { kind: 'down', sinceMs: 0, message: 'port 53 is taken' };
const longDown: Standing = { ...down, sinceMs: -10_000 };

const away = { isReachable: false, awaySinceMs: 0 };
const byOther = { isServedByOther: true, isServing: true };

interface Case {
  title: string;
  nodes: RolloutNode[];
  before?: RolloutState;
  settings?: Parameters<typeof defaultedRollout>[0];
  target?: string;
  isGoodLost?: boolean;
  isTargetLost?: boolean;
  phase: string;
  /** `node=revision`, with a `?` where it is a trial, and a `!` where it joins. */
  give: string[];
  reason?: string;
  good?: string;
}

const cases: Case[] = [
  { title: 'nobody to serve is nothing to roll out', nodes: [], phase: 'Idle', give: [] },
  {
    title: 'the only node of a cluster is served at once',
    nodes: [at('a', undefined)],
    phase: 'Canary',
    give: ['a=new?'],
  },
  {
    title: 'the very first revision has a canary, too',
    nodes: many(30, undefined),
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'while the canary soaks, the others wait',
    nodes: [at('a', 'new', { standing: pending }), ...many(3, 'old')],
    before: canary,
    phase: 'Canary',
    give: [],
  },
  {
    title: 'once it is proven, a batch follows, no larger than allowed',
    nodes: [at('a', 'new'), ...many(29, 'old')],
    before: canary,
    phase: 'Batch',
    give: ['n0000=new?', 'n0001=new?', 'n0002=new?'],
  },
  {
    title: 'a batch that is not over lets no other begin',
    nodes: [...many(3, 'new'), at('x', 'new', { standing: pending }), ...many(26, 'old', {}, 3)],
    before: batch,
    phase: 'Batch',
    give: [],
  },
  {
    title: 'with every node proven it is done, and the target is what a rollback returns to',
    nodes: many(5, 'new'),
    before: batch,
    phase: 'Done',
    give: [],
    good: 'new',
  },
  {
    title: 'several canaries are no more than may be on trial',
    nodes: many(20, 'old'),
    before: done,
    settings: { canary: { nodes: 5 } },
    phase: 'Canary',
    give: ['n0000=new?', 'n0001=new?'],
  },
  {
    title: 'so many proven are enough',
    nodes: [...many(2, 'new'), ...many(18, 'old', {}, 2)],
    before: canary,
    settings: { canary: { nodes: 5 } },
    phase: 'Batch',
    give: ['n0002=new?', 'n0003=new?'],
  },
  {
    title: 'without canaries a batch begins',
    nodes: many(10, 'old'),
    before: done,
    settings: { canary: { nodes: 0 } },
    phase: 'Batch',
    give: ['n0000=new?'],
  },
  {
    title: 'a canary is a node that serves',
    nodes: [at('a', 'old', { isServing: false }), at('b', 'old')],
    before: done,
    phase: 'Canary',
    give: ['b=new?'],
  },
  {
    title: 'and that nobody takes out of the cluster',
    nodes: [at('a', 'old', { isLeaving: true }), at('b', 'old')],
    before: done,
    phase: 'Canary',
    give: ['b=new?'],
  },
  {
    title: 'unless there is no other',
    nodes: [at('a', 'old', { isLeaving: true }), at('b', 'old', { isServing: false })],
    before: done,
    phase: 'Canary',
    give: ['a=new?'],
  },
  {
    title: 'such a node comes last in the batches, too',
    nodes: [at('a', 'old', { isLeaving: true, isServing: false }), at('b', 'new'), ...many(19, 'old')],
    before: canary,
    phase: 'Batch',
    give: ['n0000=new?', 'n0001=new?'],
  },
  {
    title: 'a batch begins with nodes that have nothing to lose, and they are not judged by it',
    nodes: [at('c', 'new'), ...many(18, 'old'), at('x', 'old', { isServing: false })],
    before: canary,
    phase: 'Batch',
    give: ['x=new', 'n0000=new?'],
  },
  {
    title: 'a node that joins meanwhile gets what is known to be good',
    nodes: [at('a', 'new', { standing: pending }), at('b', 'old'), at('new', undefined)],
    before: canary,
    phase: 'Canary',
    give: ['new=old'],
  },
  {
    title: 'a node that joins afterwards gets the target',
    nodes: [at('a', 'old'), at('b', undefined)],
    before: done,
    target: 'old',
    phase: 'Done',
    give: ['b=old'],
  },
  {
    title: 'a canary that fails takes the change back',
    nodes: [at('a', 'new', { standing: bad }), ...many(3, 'old')],
    before: canary,
    phase: 'RollingBack',
    give: ['a=old'],
  },
  {
    title: 'a batch that fails takes it back from all: at once where it hurts, the rest some at a time',
    nodes: [at('a', 'new', { standing: bad }), ...many(15, 'new'), ...many(14, 'old', {}, 15)],
    before: batch,
    phase: 'RollingBack',
    give: ['a=old', 'n0000=old', 'n0001=old'],
  },
  {
    title: 'a rollback waits for its batch, too',
    nodes: [...many(3, 'old', { standing: pending }), ...many(27, 'new', {}, 3)],
    before: rollingBack,
    phase: 'RollingBack',
    give: [],
  },
  { title: 'a rollback ends', nodes: many(3, 'old'), before: rollingBack, phase: 'RolledBack', give: [] },
  {
    title: 'what failed is not tried again, however well all nodes are',
    nodes: many(3, 'old'),
    before: { ...rollingBack, phase: 'RolledBack' },
    phase: 'RolledBack',
    give: [],
  },
  {
    title: 'a node that was away while all others went back follows them',
    nodes: [at('a', 'new'), ...many(3, 'old')],
    before: { ...rollingBack, phase: 'RolledBack' },
    phase: 'RolledBack',
    give: ['a=old'],
  },
  {
    title: 'without autoRollback it halts, and nodes keep what they have',
    nodes: [at('a', 'new', { standing: bad }), ...many(3, 'old')],
    before: canary,
    settings: { autoRollback: false },
    phase: 'Halted',
    give: [],
  },
  {
    title: 'there is nothing to return to from the first revision',
    nodes: [at('a', 'new', { standing: bad }), at('b', undefined)],
    before: first,
    phase: 'Halted',
    give: [],
  },
  {
    title: 'a node that is unable to serve does not keep the first revision from the others',
    nodes: [at('a', 'new', { standing: unable, isServing: false }), at('b', undefined), at('c', undefined)],
    before: first,
    phase: 'Canary',
    give: ['b=new?'],
  },
  {
    title: 'more of these than may be on trial do',
    nodes: [...many(2, 'new', { standing: unable, isServing: false }), at('c', undefined)],
    before: first,
    phase: 'Halted',
    give: [],
  },
  {
    title: 'a node that did not serve before fails nothing',
    nodes: [at('a', 'new', { standing: unable, isServing: false, isJudged: false }), at('b', 'new')],
    before: batch,
    phase: 'Done',
    give: [],
    good: 'new',
  },
  {
    title: 'not even where all are so, and it ends there, too',
    nodes: [
      at('a', 'new', { standing: unable, isServing: false, isJudged: false }),
      at('b', 'new', { standing: lost, isServing: false, isJudged: false }),
    ],
    before: batch,
    phase: 'Done',
    give: [],
    good: 'new',
  },
  {
    title: 'beside nodes that are ill by themselves the only one that tries it speaks for all',
    nodes: [
      at('a', 'new', { standing: unable, isServing: false, isJudged: false }),
      at('b', 'new', { standing: lost }),
    ],
    before: batch,
    settings: { maxUnavailable: 2 },
    phase: 'RollingBack',
    give: ['a=old', 'b=old'],
  },
  {
    title: 'a refusal counts, whatever the node was before',
    nodes: [
      at('a', 'new', { standing: { kind: 'bad', reason: 'ConfigRefused', message: 'm' }, isJudged: false }),
      at('b', 'old'),
    ],
    before: batch,
    phase: 'RollingBack',
    give: ['a=old'],
  },
  {
    title: 'nodes that fall silent are borne with, but for as many as may be on trial',
    nodes: [at('a', 'new', { standing: lost }), at('b', 'new'), ...many(18, 'old')],
    before: batch,
    phase: 'Batch',
    give: ['n0000=new?'],
  },
  {
    title: 'who is taken out of the cluster falls silent by that',
    nodes: [at('a', 'new', { standing: lost, ...away, isLeaving: true }), ...many(39, 'old')],
    before: canary,
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'and keeps nobody from taking its place',
    nodes: [at('a', 'new', { standing: lost, ...away, isLeaving: true }), ...many(3, 'old')],
    before: canary,
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'so do as many as may be on trial, and no more: the revision may be what takes them down',
    nodes: [
      at('a', 'new', { standing: lost, ...away, isLeaving: true }),
      at('b', 'new', { standing: lost, ...away, isLeaving: true }),
      ...many(3, 'old'),
    ],
    before: canary,
    phase: 'Canary',
    give: [],
  },
  {
    title: 'one that is ready goes nowhere, though it is to get no more pods',
    nodes: [at('a', 'new', { standing: lost, isLeaving: true }), ...many(3, 'old')],
    before: canary,
    phase: 'RollingBack',
    give: ['a=old'],
  },
  {
    title: 'unless it was silent before',
    nodes: [at('a', 'new', { standing: lost, ...away, isLeaving: true }), ...many(39, 'old')],
    before: { ...canary, silent: ['a'] },
    phase: 'RolledBack',
    give: [],
  },
  {
    title: 'a canary that falls silent is followed by no other',
    nodes: [at('a', 'new', { standing: lost }), ...many(39, 'old')],
    before: canary,
    phase: 'RollingBack',
    give: ['a=old'],
  },
  {
    title: 'one of two canaries is borne with',
    nodes: [at('a', 'new', { standing: lost }), at('b', 'new', { standing: pending }), ...many(38, 'old')],
    before: canary,
    settings: { canary: { nodes: 2 } },
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'so many that fall silent are a failure',
    nodes: [at('a', 'new', { standing: lost }), at('b', 'new', { standing: lost }), ...many(18, 'old')],
    before: batch,
    phase: 'RollingBack',
    give: ['a=old', 'b=old'],
  },
  {
    title: 'an agent that does not come up keeps the first revision from nobody',
    nodes: [at('a', 'new', { standing: lost, isServing: false }), at('b', undefined)],
    before: first,
    phase: 'Canary',
    give: ['b=new?'],
  },
  {
    title: 'a node that is away does not block',
    nodes: [
      at('a', 'new', { ...away, isJudged: false }),
      at('b', 'new'),
      at('c', 'old', { isReachable: false, awaySinceMs: -300_000 }),
    ],
    before: batch,
    phase: 'Done',
    give: [],
    good: 'new',
  },
  {
    title: 'a canary that goes away is waited for, or what takes nodes down would go on to the next',
    nodes: [at('a', 'new', { standing: pending, ...away }), ...many(29, 'old')],
    before: canary,
    phase: 'Canary',
    give: [],
  },
  {
    title: 'one that stays away is as silent as any other',
    nodes: [at('a', 'new', { standing: lost, ...away }), at('b', 'old')],
    before: canary,
    phase: 'RolledBack',
    give: [],
  },
  {
    title: 'so it is with the first revision, though an agent that is silent is no fault of it',
    nodes: [at('a', 'new', { standing: lost, ...away }), at('b', undefined)],
    before: first,
    phase: 'Halted',
    give: [],
  },
  {
    title: 'a node that goes away in its batch keeps its place, and its batch goes on without it',
    nodes: [at('a', 'new', { standing: pending, ...away }), at('b', 'new'), ...many(28, 'old')],
    before: batch,
    phase: 'Batch',
    give: ['n0000=new?', 'n0001=new?'],
  },
  {
    title: 'the last node of all is waited for, too',
    nodes: [at('a', 'new', { standing: pending, ...away }), ...many(29, 'new')],
    before: batch,
    phase: 'Batch',
    give: [],
  },
  {
    title: 'nodes that are away for a moment have not proved anything',
    nodes: [at('a', 'new'), at('b', 'new'), at('c', 'old', { isReachable: false, awaySinceMs: -299_999 })],
    before: batch,
    phase: 'Batch',
    give: [],
  },
  {
    title: 'nodes that are away for ever keep it open for nobody, however many they are',
    nodes: [at('a', 'new'), ...many(9, 'old', { isReachable: false, awaySinceMs: -1e9 })],
    before: canary,
    phase: 'Done',
    give: [],
    good: 'new',
  },
  {
    title: 'so it is with the first revision',
    nodes: [at('a', 'new'), at('b', undefined, { isReachable: false, awaySinceMs: -300_000 })],
    before: first,
    phase: 'Done',
    give: [],
    good: 'new',
  },
  {
    title: 'nodes that went away with the target are no proof of it',
    nodes: [at('a', 'new'), ...many(2, 'new', { standing: lost, isReachable: false, awaySinceMs: -1e9 })],
    before: batch,
    phase: 'RollingBack',
    give: ['a=old'],
  },
  {
    title: 'what an edit has superseded on a node that is away leaves no room for another',
    nodes: [at('a', 'mid', { isJudged: true, standing: pending, ...away }), ...many(3, 'old')],
    before: { ...canary, target: 'mid' },
    phase: 'Canary',
    give: [],
  },
  {
    title: 'a node that returns late is judged by what it makes of the target',
    nodes: [...many(3, 'new'), at('x', 'old')],
    before: over,
    phase: 'Done',
    give: ['x=new?'],
  },
  {
    title: 'but for one that does not serve, or for which nothing changes',
    nodes: [
      ...many(3, 'new'),
      at('x', 'old', { isServing: false }),
      at('y', 'old', { isSame: true }),
      at('z', 'old', { standing: lost }),
    ],
    before: over,
    settings: { maxUnavailable: 3 },
    phase: 'Done',
    give: ['y=new', 'x=new', 'z=new'],
  },
  {
    title: 'nodes that return late hold up each other',
    nodes: [...many(18, 'new'), at('w', 'new', { standing: pending, isLate: true }), ...many(3, 'old', {}, 30)],
    before: over,
    phase: 'Done',
    give: ['n0030=new?'],
  },
  {
    title: 'one of them that is lost keeps its place',
    nodes: [...many(18, 'new'), at('w', 'new', { standing: lost, isLate: true }), ...many(3, 'old', {}, 30)],
    before: over,
    phase: 'Done',
    give: ['n0030=new?'],
  },
  {
    title: 'so do those that are not there any more',
    nodes: [...many(18, 'new'), ...many(3, 'old', {}, 30)],
    before: { ...over, silent: ['w'] },
    phase: 'Done',
    give: ['n0030=new?'],
  },
  {
    title: 'whomever else an edit left in between',
    nodes: [...many(18, 'new'), ...many(3, 'mid', { isJudged: true, standing: pending }, 30)],
    before: { ...over, gone: 1 },
    phase: 'Done',
    give: ['n0030=new?'],
  },
  {
    title: 'and so many of these are the end of it',
    nodes: [...many(18, 'new'), at('w', 'new', { standing: lost, isLate: true }), ...many(3, 'old', {}, 30)],
    before: { ...over, silent: ['v'] },
    phase: 'Done',
    give: [],
    reason: 'NodesSilent',
  },
  {
    title: 'who comes in a pause waits for the end of it',
    nodes: [...many(3, 'new'), at('x', 'old'), at('k', undefined)],
    before: over,
    settings: { paused: true },
    phase: 'Done',
    give: ['k=new'],
  },
  {
    title: 'what went late a day ago is forgotten',
    nodes: [...many(18, 'new'), at('x', 'old')],
    before: { ...over, gone: 2, goneAt: '1969-12-31T00:00:00Z', reason: 'NodesSilent', message: 'm' },
    phase: 'Done',
    give: ['x=new?'],
  },
  {
    title: 'and not before',
    nodes: [...many(18, 'new'), at('x', 'old')],
    before: { ...over, gone: 2, goneAt: '1969-12-31T00:00:01Z' },
    phase: 'Done',
    give: [],
    reason: 'NodesSilent',
  },
  {
    title: 'nor is what went in a rollout that is under way',
    nodes: [...many(18, 'new'), at('x', 'old')],
    before: { ...batch, gone: 2, goneAt: '1969-12-31T00:00:00Z' },
    phase: 'RollingBack',
    give: ['n0000=old'],
    reason: 'NodesSilent',
  },
  {
    title: 'who joins, or is born, holds up none of them',
    nodes: [
      ...many(18, 'new'),
      at('j', 'new', { standing: pending, isServing: false, hasJoined: true }),
      at('k', undefined),
      at('x', 'old'),
    ],
    before: over,
    settings: { maxUnavailable: 1 },
    phase: 'Done',
    give: ['k=new', 'x=new?'],
  },
  {
    title: 'where nobody has proved it, who joined is waited for',
    nodes: [
      at('a', 'new', { standing: lost, isServing: false, isJudged: false }),
      at('j', 'new', { standing: pending, isServing: false, hasJoined: true }),
    ],
    before: batch,
    phase: 'Batch',
    give: [],
  },
  {
    title: 'where one of them fails the others keep what they have, and it says so',
    nodes: [
      ...many(18, 'new'),
      at('w', 'new', { standing: bad, isLate: true }),
      ...many(3, 'old', {}, 30),
      at('k', undefined),
    ],
    before: over,
    phase: 'Done',
    give: ['k=new?'],
    reason: 'ProbeFailed',
  },
  {
    title:
      'nor does it go to any number of those that nobody serves: they try it where there is room beside who has failed',
    nodes: [...many(18, 'new'), at('w', 'new', { standing: bad, isLate: true }), ...many(40, undefined, {}, 30)],
    before: over,
    settings: { maxUnavailable: 3 },
    phase: 'Done',
    give: ['n0030=new?', 'n0031=new?'],
    reason: 'ProbeFailed',
  },
  {
    title: 'or one after the other, where what has failed fills all the room',
    nodes: [...many(18, 'new'), at('w', 'new', { standing: bad, isLate: true }), ...many(4, undefined, {}, 30)],
    before: over,
    settings: { maxUnavailable: 1 },
    phase: 'Done',
    give: ['n0030=new?'],
    reason: 'ProbeFailed',
  },
  {
    title: 'unless it has failed on one of these',
    nodes: [
      ...many(18, 'new'),
      at('w', 'new', { standing: bad, isLate: true, wasServed: false }),
      ...many(4, undefined, {}, 30),
    ],
    before: over,
    settings: { maxUnavailable: 1 },
    phase: 'Done',
    give: [],
    reason: 'ProbeFailed',
  },
  {
    title: 'and who has no agent at all is in nobody else’s way',
    nodes: [
      ...many(18, 'new'),
      at('w', 'new', { standing: bad, isLate: true }),
      at('v', 'new', { standing: lost, isServing: false, isLate: true, wasServed: false }),
      at('u', 'new', { standing: unable, isServing: false, isLate: true, wasServed: false }),
      ...many(4, undefined, {}, 30),
    ],
    before: over,
    settings: { maxUnavailable: 1 },
    phase: 'Done',
    give: ['n0030=new?'],
    reason: 'ProbeFailed',
  },
  {
    title: 'who went away by it is',
    nodes: [
      ...many(18, 'new'),
      at('w', 'new', { standing: bad, isLate: true }),
      at('v', 'new', { ...away, standing: lost, isLate: true, wasServed: false }),
      ...many(4, undefined, {}, 30),
    ],
    before: over,
    settings: { maxUnavailable: 1 },
    phase: 'Done',
    give: [],
    reason: 'ProbeFailed',
  },
  {
    title: 'what is tried anew is tried by them, too',
    nodes: [...many(18, 'new'), at('w', 'new', { standing: bad, isLate: true }), ...many(4, undefined, {}, 30)],
    before: { ...over, phase: 'Paused', attempt: 2, reason: 'ProbeFailed', message: 'm' },
    settings: { maxUnavailable: 1 },
    phase: 'Done',
    give: ['w=new?', 'n0030=new?'],
  },
  {
    title: 'when it is forgotten, too: they have waited for that',
    nodes: [...many(18, 'new'), ...many(4, undefined, {}, 30)],
    before: { ...over, reason: 'NodesSilent', message: 'm', gone: 1, goneAt: '1969-12-30T00:00:00Z' },
    settings: { maxUnavailable: 2 },
    phase: 'Done',
    give: ['n0030=new?', 'n0031=new?'],
    reason: 'NodesSilent',
  },
  {
    title: 'and beside machines that are gone by it',
    nodes: [...many(18, 'new'), ...many(4, undefined, {}, 30)],
    before: { ...over, reason: 'NodesSilent', gone: 1, goneAt: '1970-01-01T00:00:00Z' },
    settings: { maxUnavailable: 1 },
    phase: 'Done',
    give: [],
    reason: 'NodesSilent',
  },
  {
    title: 'in a pause nobody is given what has failed so',
    nodes: [...many(18, 'new'), at('w', 'new', { standing: bad, isLate: true }), at('k', undefined)],
    before: { ...over, reason: 'ProbeFailed', message: 'm' },
    settings: { paused: true },
    phase: 'Paused',
    give: [],
    reason: 'ProbeFailed',
  },
  {
    title: 'in a pause as many join at a time as may be out',
    nodes: [
      ...many(3, 'new'),
      at('c', 'new', { standing: pending, isServing: false, isJudged: false }),
      ...many(9, undefined, {}, 30),
    ],
    before: over,
    settings: { paused: true, maxUnavailable: 3 },
    phase: 'Done',
    give: ['n0030=new', 'n0031=new'],
  },
  {
    title: 'whatever is on trial',
    nodes: [at('a', 'new', { standing: pending }), at('b', 'old'), at('k', undefined)],
    before: canary,
    settings: { paused: true, maxUnavailable: 1 },
    phase: 'Paused',
    give: ['k=old'],
  },
  {
    title: 'and who went away by it keeps its place for as long as it may come back',
    nodes: [
      at('a', 'new', { ...away, isJudged: false }),
      at('b', 'new', { ...away, awaySinceMs: -400_000, isJudged: false }),
      ...many(9, undefined, {}, 30),
    ],
    before: over,
    settings: { paused: true, maxUnavailable: 2 },
    phase: 'Done',
    give: ['n0030=new'],
  },
  {
    title: 'so it is where the rollout has halted',
    nodes: [
      at('a', 'new', { standing: bad }),
      at('c', 'old', { standing: pending, isServing: false }),
      ...many(9, undefined, {}, 30),
    ],
    before: halted,
    settings: { autoRollback: false, maxUnavailable: 2 },
    phase: 'Halted',
    give: ['n0030=old'],
    reason: 'ProbeFailed',
  },
  {
    title: 'and where it was rolled back',
    nodes: [at('b', 'old'), at('c', 'old', { standing: pending, isServing: false }), ...many(9, undefined, {}, 30)],
    before: { ...rollingBack, phase: 'RolledBack' },
    settings: { maxUnavailable: 2 },
    phase: 'RolledBack',
    give: ['n0030=old'],
    reason: 'ProbeFailed',
  },
  {
    title: 'a pause does not hide why it has failed',
    nodes: [at('a', 'new', { standing: bad }), at('b', 'old')],
    before: rollingBack,
    settings: { paused: true },
    phase: 'Paused',
    give: [],
    reason: 'ProbeFailed',
  },
  {
    title: 'a pool that was empty for a moment has not forgotten what the revision did to the machine before',
    nodes: [at('b', undefined)],
    before: { phase: 'Idle', target: 'new', good: 'old', attempt: 2, gone: 1, goneAt: '1970-01-01T00:00:00Z' },
    settings: { maxUnavailable: 1 },
    phase: 'RollingBack',
    give: ['b=old'],
    reason: 'NodesSilent',
  },
  {
    title: 'a proven node that stops says nothing about them',
    nodes: [
      ...many(18, 'new', { standing: { ...down, sinceMs: -400_000 }, isServing: false, isLate: true }),
      at('a', 'new'),
      at('x', 'old'),
    ],
    before: over,
    settings: { maxUnavailable: 1 },
    phase: 'Done',
    give: ['x=new?'],
  },
  {
    title: 'nor do those of the rollout, whatever becomes of them: they were borne with, or had proved it',
    nodes: [
      at('a', 'new', { standing: unable, isServing: false }),
      at('b', 'new', { standing: lost, ...away }),
      at('c', 'new', { standing: { ...pending, isMissing: true }, ...away, awaySinceMs: -400_000, isJudged: true }),
      at('d', 'new', { standing: unable, isServing: false, attempt: 1 }),
      ...many(16, 'new'),
      at('x', 'old'),
    ],
    before: { ...over, attempt: 2 },
    settings: { maxUnavailable: 5 },
    phase: 'Done',
    give: ['x=new?'],
  },
  {
    title: 'a pause lets them try it anew',
    nodes: [...many(18, 'new'), at('w', 'new', { standing: bad, isLate: true }), at('x', 'old')],
    before: { ...over, phase: 'Paused', attempt: 2, reason: 'ProbeFailed', message: 'm' },
    settings: { maxUnavailable: 2 },
    phase: 'Done',
    give: ['x=new?', 'w=new?'],
  },
  {
    title: 'a node of which is not known yet whether it is well waits for its turn, and it is not over without it',
    nodes: [at('c', 'new'), at('a', 'old', { standing: pending, isServing: false }), at('b', 'old')],
    before: batch,
    settings: { maxUnavailable: 2 },
    phase: 'Batch',
    give: ['b=new?'],
  },
  {
    title: 'so it is: the last one',
    nodes: [at('c', 'new'), at('a', 'old', { standing: pending, isServing: false })],
    before: batch,
    phase: 'Batch',
    give: [],
  },
  {
    title: 'a node that joins once the canary has proved it gets the target, whatever else is under way',
    nodes: [
      ...many(3, 'new', { standing: pending }),
      ...many(27, 'old', {}, 3),
      at('j', undefined),
      at('k', undefined, away),
    ],
    before: batch,
    phase: 'Batch',
    give: ['j=new!'],
  },
  {
    title: 'it holds up nobody, nor does one that is born',
    nodes: [
      at('a', 'new'),
      at('j', 'new', { standing: pending, hasJoined: true }),
      at('k', undefined, away),
      at('l', undefined),
    ],
    before: batch,
    phase: 'Done',
    give: ['l=new!'],
    good: 'new',
  },
  {
    title: 'nor does it take the place of another',
    nodes: [
      at('a', 'new'),
      ...many(2, 'new', { standing: pending, hasJoined: true, isServing: false }, 90),
      ...many(2, 'old'),
    ],
    before: batch,
    settings: { maxUnavailable: 1 },
    phase: 'Batch',
    give: ['n0000=new?'],
  },
  {
    title: 'whom another profile served waits for its turn, and is judged',
    nodes: [
      ...many(3, 'new'),
      ...many(16, 'old', {}, 3),
      at('x', undefined, { isServedByOther: true, isServing: true, zone: 'y' }),
    ],
    before: batch,
    settings: { maxUnavailable: 2 },
    phase: 'Batch',
    give: ['x=new?', 'n0003=new?'],
  },
  {
    title: 'and until then it keeps it open',
    nodes: [...many(3, 'new'), ...many(20, undefined, { isServedByOther: true, isServing: true }, 3)],
    before: batch,
    phase: 'Batch',
    give: ['n0003=new?', 'n0004=new?'],
  },
  {
    title: 'those first that have nothing to lose',
    nodes: [
      at('a', 'new'),
      at('x', undefined, { isServedByOther: true, isServing: true }),
      at('y', 'old', { isServing: false }),
    ],
    before: batch,
    phase: 'Batch',
    give: ['y=new'],
  },
  {
    title: 'while the canary tries it, it keeps what it has',
    nodes: [at('a', 'new', { standing: pending }), at('x', undefined, byOther)],
    before: canary,
    phase: 'Canary',
    give: [],
  },
  {
    title: 'so it does where the canary has just proved it, until there is room',
    nodes: [at('a', 'new'), at('b', 'old'), at('x', undefined, byOther), at('z', undefined)],
    before: canary,
    settings: { maxUnavailable: 1 },
    phase: 'Batch',
    give: ['z=old', 'b=new?'],
  },
  {
    title: 'it is the canary where nobody else can be',
    nodes: [at('b', 'old', { isServing: false }), ...many(30, undefined, byOther)],
    before: done,
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'and only there',
    nodes: [at('x', 'old'), ...many(30, undefined, byOther)],
    before: done,
    phase: 'Canary',
    give: ['x=new?'],
  },
  {
    title: 'whom another profile serves comes to a rollout that is over some at a time, and on trial',
    nodes: [at('a', 'new'), ...many(19, undefined, byOther), at('z', undefined)],
    before: over,
    phase: 'Done',
    give: ['z=new', 'n0000=new?', 'n0001=new?'],
  },
  {
    title: 'no other follows before they have proved it',
    nodes: [
      at('a', 'new', { standing: pending, isLate: true, wasServed: true }),
      at('b', 'new'),
      ...many(8, undefined, byOther),
    ],
    before: over,
    phase: 'Done',
    give: [],
  },
  {
    title: 'where one fails those that come after it keep what they have',
    nodes: [at('a', 'new', { standing: unable, isLate: true, wasServed: true }), ...many(20, undefined, byOther)],
    before: over,
    phase: 'Done',
    reason: 'NotServing',
    give: [],
  },
  {
    title: 'a paused profile takes over nobody',
    nodes: [at('a', 'new'), at('x', undefined, byOther), at('z', undefined)],
    before: over,
    settings: { paused: true },
    phase: 'Done',
    give: ['z=new'],
  },
  {
    title: 'nor does one that has halted',
    nodes: [at('a', 'new', { standing: bad }), at('x', undefined, byOther), at('z', undefined)],
    before: halted,
    settings: { autoRollback: false },
    phase: 'Halted',
    give: ['z=old'],
  },
  {
    title: 'one that has rolled back takes over with what is good, on trial and when there is room',
    nodes: [at('a', 'old'), ...many(19, undefined, byOther)],
    before: { ...rollingBack, phase: 'RolledBack' },
    phase: 'RolledBack',
    give: ['n0000=old?', 'n0001=old?'],
  },
  {
    title: 'first of all those return that had the other',
    nodes: [...many(3, 'new'), ...many(26, undefined, byOther, 3)],
    before: rollingBack,
    settings: { maxUnavailable: 4 },
    phase: 'RollingBack',
    give: ['n0000=old', 'n0001=old', 'n0002=old', 'n0003=old?'],
  },
  {
    title: 'and nobody is taken over while so many are ill by it',
    nodes: [
      at('a', 'old', { standing: unable, isServing: false }),
      at('b', 'old', { standing: lost }),
      ...many(18, undefined, byOther),
    ],
    before: { ...rollingBack, phase: 'RolledBack' },
    phase: 'RolledBack',
    give: [],
  },
  {
    title: 'a rollback does not wait for these',
    nodes: [at('a', 'old', { standing: unable, isServing: false, isJudged: true }), ...many(9, undefined, byOther)],
    before: rollingBack,
    phase: 'RolledBack',
    give: [],
  },
  {
    title: 'what another profile gave it, and what it does not serve by, is not tried on it',
    nodes: [at('a', 'old'), ...many(9, undefined, { ...byOther, isServing: false })],
    before: { ...rollingBack, phase: 'RolledBack' },
    phase: 'RolledBack',
    give: ['n0000=old'],
  },
  {
    title: 'what is edited back is given to others first, and to these when that is over',
    nodes: [at('a', 'new'), ...many(39, undefined, byOther)],
    before: { ...batch, target: 'older', good: 'new' },
    target: 'new',
    phase: 'Done',
    give: [],
  },
  {
    title: 'a first revision that takes over nodes has its canary among those that nobody served',
    nodes: [at('x', undefined, byOther), at('z', undefined)],
    phase: 'Canary',
    give: ['z=new?'],
  },
  {
    title: 'one that was served before, and is silent by the first revision, ends it',
    nodes: [at('a', 'new', { standing: lost, wasServed: true }), ...many(30, undefined, byOther)],
    before: first,
    phase: 'Halted',
    reason: 'NodesSilent',
    give: [],
  },
  {
    title: 'so does one that does not serve by it',
    nodes: [at('a', 'new', { standing: unable, isServing: false, wasServed: true }), ...many(30, undefined, byOther)],
    before: first,
    phase: 'Halted',
    reason: 'NotServing',
    give: [],
  },
  {
    title: 'and where there is no other, fewer than may be on trial do',
    nodes: [at('a', 'new', { standing: lost, wasServed: true })],
    before: { ...first, phase: 'Batch' },
    settings: { maxUnavailable: 5, canary: { nodes: 0 } },
    phase: 'Halted',
    reason: 'NodesSilent',
    give: [],
  },
  {
    title: 'one that nobody served before, and that goes away by it, does not end it where there is no other',
    nodes: [at('a', 'new', { standing: lost, ...away })],
    before: { ...first, phase: 'Batch' },
    settings: { maxUnavailable: 5 },
    phase: 'Batch',
    give: [],
  },
  {
    title: 'one that nobody served before does not, whatever others were',
    nodes: [
      at('a', 'new', { standing: unable, isServing: false }),
      at('b', 'new', { standing: lost }),
      at('c', 'new', { wasServed: true }),
      ...many(30, undefined, byOther),
    ],
    before: first,
    phase: 'Batch',
    give: ['n0000=new?', 'n0001=new?', 'n0002=new?'],
  },
  {
    title: 'one that was served before, and is silent by the first revision, keeps its place in a batch',
    nodes: [at('a', 'new'), at('b', 'new', { standing: lost, wasServed: true }), ...many(28, undefined, byOther)],
    before: { ...first, phase: 'Batch' },
    phase: 'Batch',
    give: ['n0000=new?', 'n0001=new?'],
  },
  {
    title: 'that it fails is its own affair, as of few',
    nodes: [at('a', 'new', { standing: bad, hasJoined: true }), ...many(18, 'new'), at('b', 'old')],
    before: batch,
    phase: 'Batch',
    give: ['b=new?'],
  },
  {
    title: 'that so many of them fail is not',
    nodes: [...many(3, 'new', { standing: bad, hasJoined: true }), ...many(18, 'new', {}, 3), at('b', 'old')],
    before: batch,
    phase: 'RollingBack',
    give: ['n0000=old', 'n0001=old'],
    reason: 'NotServing',
  },
  {
    title: 'so are those that have proved it, and of which is not known whether they are heard of still',
    nodes: many(5, 'new', { standing: { kind: 'pending', untilMs: 60_000, isProven: true } }),
    before: rollingBack,
    settings: { maxUnavailable: 2 },
    phase: 'RollingBack',
    give: ['n0000=old', 'n0001=old'],
  },
  {
    title: 'so are those that joined, and of which nothing is heard',
    nodes: many(5, 'new', { standing: lost, hasJoined: true }),
    before: rollingBack,
    settings: { maxUnavailable: 2 },
    phase: 'RollingBack',
    give: ['n0000=old', 'n0001=old'],
  },
  {
    title: 'those that serve are taken back some at a time, though they are on trial still',
    nodes: many(5, 'new', { standing: pending, hasJoined: true }),
    before: rollingBack,
    settings: { maxUnavailable: 2 },
    phase: 'RollingBack',
    give: ['n0000=old', 'n0001=old'],
  },
  {
    title: 'nor is that it refuses it',
    nodes: [
      at('a', 'new', { standing: { kind: 'bad', reason: 'ConfigRefused', message: 'm' }, hasJoined: true }),
      ...many(29, 'old'),
    ],
    before: batch,
    phase: 'RollingBack',
    give: ['a=old'],
    reason: 'ConfigRefused',
  },
  {
    title: 'that its agent does not come up is no word about the target, that it goes away is',
    nodes: [at('a', 'new', { standing: lost, hasJoined: true }), at('b', 'new'), at('c', 'old')],
    before: batch,
    phase: 'Batch',
    give: ['c=new?'],
  },
  {
    title: 'so it is: it goes away',
    nodes: [at('a', 'new', { standing: lost, hasJoined: true, ...away }), at('b', 'new'), at('c', 'old')],
    before: batch,
    phase: 'RollingBack',
    give: ['b=old'],
    reason: 'NodesSilent',
  },
  {
    title: 'of the first revision those join that were not there when it began',
    nodes: [
      at('a', 'new', { standing: pending }),
      at('b', undefined, { createdAtMs: 1_000 }),
      at('c', undefined, { createdAtMs: 1_001 }),
    ],
    before: { ...first, phase: 'Batch', startedAt: '1970-01-01T00:00:01Z' },
    phase: 'Batch',
    give: ['c=new!'],
  },
  {
    title: 'a proven node that stops serving takes the place of one that may be on trial',
    nodes: [at('a', 'new', { standing: down, isServing: false }), ...many(3, 'old')],
    before: batch,
    phase: 'Batch',
    give: [],
  },
  {
    title: 'but not for ever',
    nodes: [at('a', 'new', { standing: { ...down, sinceMs: -300_000 }, isServing: false }), ...many(3, 'old')],
    before: batch,
    phase: 'Batch',
    give: ['n0000=new?'],
  },
  {
    title: 'one canary that has stopped since is proof still',
    nodes: [at('a', 'new', { standing: { ...down, sinceMs: -300_000 }, isServing: false }), at('b', 'old')],
    before: canary,
    phase: 'Batch',
    give: ['b=new?'],
  },
  {
    title: 'as many as may be on trial are borne with',
    nodes: [...many(2, 'new', { standing: longDown, isServing: false }), ...many(18, 'old', {}, 2)],
    before: batch,
    phase: 'Batch',
    give: [],
  },
  {
    title: 'more that stop are the revision',
    nodes: [...many(3, 'new', { standing: longDown, isServing: false }), ...many(17, 'old', {}, 3)],
    before: batch,
    phase: 'RollingBack',
    give: ['n0000=old', 'n0001=old', 'n0002=old'],
    reason: 'NotServing',
  },
  {
    title: 'unless it is for a moment',
    nodes: [...many(3, 'new', { standing: down, isServing: false }), ...many(17, 'old', {}, 3)],
    before: batch,
    phase: 'Batch',
    give: [],
  },
  {
    title: 'what takes a canary down that is then replaced is the target still',
    nodes: [at('joined', undefined), ...many(39, 'old')],
    before: { ...canary, silent: ['a'] },
    phase: 'RollingBack',
    give: ['joined=old'],
    reason: 'NodesSilent',
  },
  {
    title: 'what is gone keeps its place',
    nodes: [...many(10, 'new'), ...many(20, 'old', {}, 10)],
    before: { ...batch, gone: 2 },
    phase: 'Batch',
    give: ['n0010=new?'],
  },
  {
    title: 'so are those that went in batches before',
    nodes: [at('a', 'new', { standing: lost }), ...many(29, 'new')],
    before: { ...batch, gone: 2 },
    phase: 'RollingBack',
    give: ['a=old', 'n0000=old', 'n0001=old'],
    reason: 'NodesSilent',
  },
  {
    title: 'a node that is ill by what is good is no canary, and keeps nobody from being one',
    nodes: [
      at('a', 'old', { standing: unable, isServing: false, isJudged: true }),
      at('b', 'old', { standing: lost, isJudged: true }),
      at('c', 'old'),
    ],
    before: done,
    phase: 'Canary',
    give: ['c=new?'],
  },
  {
    title: 'in a batch it is given the target, and not judged by it',
    nodes: [
      at('a', 'old', { standing: unable, isServing: false, isJudged: true }),
      at('b', 'old', { standing: lost, isJudged: true }),
      at('c', 'new'),
    ],
    before: batch,
    settings: { maxUnavailable: 2 },
    phase: 'Batch',
    give: ['a=new', 'b=new'],
  },
  {
    title: 'where all are ill there is no canary, and none is waited for',
    nodes: many(4, 'old', { standing: unable, isServing: false, isJudged: true }),
    before: done,
    settings: { maxUnavailable: 2 },
    phase: 'Canary',
    give: ['n0000=new', 'n0001=new'],
  },
  {
    title: 'who was ill before is not given it once more in a later attempt',
    nodes: [
      at('a', 'new', { standing: unable, isServing: false, isJudged: false }),
      at('b', 'new', { standing: lost, isJudged: false }),
      at('c', 'new', { attempt: 4 }),
      at('d', 'old'),
    ],
    before: { ...again, phase: 'Batch' },
    phase: 'Batch',
    give: ['d=new?'],
  },
  {
    title: 'an edit in the middle begins with the node that is on trial already',
    nodes: [at('a', 'old'), at('b', 'mid', { isJudged: true, standing: pending }), at('c', 'old')],
    before: { ...canary, target: 'mid' },
    phase: 'Canary',
    give: ['b=new?'],
  },
  {
    title: 'what it finds broken, and does not need, goes back to what is good',
    nodes: [
      at('a', 'mid', { isJudged: true, standing: bad }),
      at('b', 'mid', { isJudged: true, standing: bad }),
      ...many(18, 'old'),
    ],
    before: { ...batch, target: 'mid' },
    phase: 'Canary',
    give: ['a=new?', 'b=old'],
  },
  {
    title: 'one that joined, and serves though it is broken, waits for room, and no canary takes that',
    nodes: [
      at('a', 'mid', { isJudged: true, standing: bad, hasJoined: true }),
      at('b', 'mid', { isJudged: true, standing: pending }),
      ...many(18, 'old'),
    ],
    before: { ...batch, target: 'mid' },
    settings: { maxUnavailable: 1 },
    phase: 'Canary',
    give: ['b=old'],
  },
  {
    title: 'those of them for which there is no room beside a canary return before it, some at a time',
    nodes: [...many(3, 'mid', { isJudged: true, standing: bad, hasJoined: true }), ...many(18, 'old', {}, 3)],
    before: { ...batch, target: 'mid' },
    settings: { maxUnavailable: 2 },
    phase: 'Canary',
    give: ['n0000=old', 'n0001=old'],
  },
  {
    title: 'what was tried before leaves its place to them, too',
    nodes: [
      at('a', 'mid', { isJudged: true, standing: bad, hasJoined: true }),
      at('b', 'new', { standing: bad, attempt: 3 }),
      at('c', 'mid', { isJudged: true, standing: lost }),
      ...many(18, 'old'),
    ],
    before: again,
    settings: { maxUnavailable: 2 },
    phase: 'Canary',
    give: ['b=old', 'c=old'],
  },
  {
    title: 'where there is room for all, one of them is the canary and the others return beside it',
    nodes: [...many(3, 'mid', { isJudged: true, standing: bad, hasJoined: true }), ...many(18, 'old', {}, 3)],
    before: { ...batch, target: 'mid' },
    settings: { maxUnavailable: 3 },
    phase: 'Canary',
    give: ['n0000=new?', 'n0001=old', 'n0002=old'],
  },
  {
    title: 'once it is proven they come first, and as many at a time as others do',
    nodes: [
      at('a', 'new'),
      ...many(3, 'mid', { isJudged: true, standing: bad, hasJoined: true }),
      ...many(18, 'old', {}, 3),
    ],
    before: batch,
    settings: { maxUnavailable: 2 },
    phase: 'Batch',
    give: ['n0000=new?', 'n0001=new?'],
  },
  {
    title: 'after those that do not serve at all, though that may be no fault of what they carry',
    nodes: [
      at('a', 'mid', { isJudged: true, standing: bad, hasJoined: true }),
      at('b', 'mid', { isJudged: true, standing: { ...pending, isProven: true }, isServing: false }),
      at('c', 'new'),
      ...many(18, 'old'),
    ],
    before: batch,
    settings: { maxUnavailable: 1 },
    phase: 'Batch',
    give: ['b=new'],
  },
  {
    title: 'while it soaks, no more of them return than there is room for',
    nodes: [
      at('a', 'new', { standing: pending }),
      ...many(3, 'mid', { isJudged: true, standing: bad, hasJoined: true }),
      ...many(18, 'old', {}, 3),
    ],
    before: canary,
    settings: { maxUnavailable: 2 },
    phase: 'Canary',
    give: ['n0000=old'],
  },
  {
    title: 'which there is where nobody else is out',
    nodes: [at('b', 'mid', { isJudged: true, standing: bad, hasJoined: true }), ...many(18, 'old')],
    before: { ...batch, target: 'mid' },
    settings: { maxUnavailable: 1 },
    phase: 'Canary',
    give: ['b=new?'],
  },
  {
    title: 'of those that joined, and of which nothing is heard any more, no more at a time return than of others',
    nodes: many(5, 'new', { hasJoined: true, standing: down }),
    before: rollingBack,
    settings: { maxUnavailable: 2 },
    phase: 'RollingBack',
    give: ['n0000=old', 'n0001=old'],
  },
  {
    title: 'an edit back to what was good needs no trial',
    nodes: [at('a', 'mid', { isJudged: true, standing: pending }), at('b', 'old')],
    before: { ...canary, target: 'mid' },
    target: 'old',
    phase: 'Batch',
    give: ['a=old'],
  },
  {
    title: 'an edit after a failure is a rollout of its own',
    nodes: many(3, 'old'),
    before: { ...rollingBack, phase: 'RolledBack', target: 'mid' },
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'nodes for which nothing changes are told at once',
    nodes: many(30, 'old', { isSame: true }),
    before: done,
    phase: 'Canary',
    give: many(30, 'old').map(({ name }) => `${name}=new`),
  },
  {
    title: 'but those that have failed with the same by another name, or are still to tell, go on to be judged',
    nodes: [
      at('a', 'mid', { isSame: true, isJudged: true, standing: bad, isServing: false }),
      at('b', 'mid', { isSame: true, isJudged: true, standing: pending }),
      at('c', 'mid', { isSame: true, isJudged: true }),
      ...many(27, 'old'),
    ],
    before: { ...batch, target: 'mid' },
    settings: { maxUnavailable: 2, canary: { nodes: 2 } },
    phase: 'Canary',
    give: ['c=new', 'a=new?', 'b=new?'],
  },
  {
    title: 'a batch that meets none but new nodes is over when one of them has proved it, and not before',
    nodes: many(3, undefined),
    before: batch,
    phase: 'Batch',
    give: many(3, undefined).map(({ name }) => `${name}=new!`),
    good: 'old',
  },
  {
    title: 'so it is while they try it',
    nodes: many(3, 'new', { standing: pending, hasJoined: true }),
    before: batch,
    phase: 'Batch',
    give: [],
    good: 'old',
  },
  {
    title: 'where none of them resolves anything it has failed, however many may be unavailable',
    nodes: many(3, 'new', { standing: bad, hasJoined: true }),
    before: batch,
    settings: { maxUnavailable: '100%' },
    phase: 'RollingBack',
    give: ['n0000=old', 'n0001=old', 'n0002=old'],
    reason: 'ProbeFailed',
  },
  {
    title: 'where none of them can serve by itself the next may do well',
    nodes: many(3, 'new', { standing: unable, hasJoined: true, isServing: false }),
    before: batch,
    settings: { maxUnavailable: '100%' },
    phase: 'Batch',
    give: [],
    good: 'old',
  },
  {
    title: 'and so may one of those who are still to tell',
    nodes: [at('a', 'new', { standing: bad, hasJoined: true }), at('b', 'new', { standing: pending, hasJoined: true })],
    before: batch,
    settings: { maxUnavailable: '100%' },
    phase: 'Batch',
    give: [],
    good: 'old',
  },
  {
    title: 'and when one has, the others are not waited for',
    nodes: [at('a', 'new', { hasJoined: true }), ...many(3, 'new', { standing: pending, hasJoined: true })],
    before: batch,
    phase: 'Done',
    give: [],
    good: 'new',
  },
  {
    title: 'paused, every node keeps what it has, and a new one gets what is good',
    nodes: [at('a', 'new', { standing: bad }), at('b', 'old'), at('c', undefined)],
    before: canary,
    settings: { paused: true },
    phase: 'Paused',
    give: ['c=old'],
  },
  {
    title: 'a pause that ends tries anew what had failed',
    nodes: many(3, 'old'),
    before: { ...canary, phase: 'Paused' },
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'where it had halted, what failed is tried anew: how it fared then counts no more',
    nodes: [at('a', 'new', { standing: bad, attempt: 3 }), ...many(3, 'old')],
    before: again,
    phase: 'Canary',
    give: ['a=new?'],
  },
  {
    title: 'so is who fell silent, and who refused it off trial',
    nodes: [
      at('a', 'new', { standing: lost, attempt: 3 }),
      at('b', 'new', {
        standing: { kind: 'bad', reason: 'ConfigRefused', message: 'm' },
        ...{ isJudged: false, isServing: false },
      }),
    ],
    before: { ...again, phase: 'Batch' },
    settings: { maxUnavailable: 2 },
    phase: 'Batch',
    give: ['a=new?', 'b=new?'],
  },
  {
    title: 'who has failed in an earlier attempt, and is away for long, keeps no place from this one',
    nodes: [
      at('a', 'new', { standing: lost, attempt: 3, isServing: false, isReachable: false, awaySinceMs: -300_000 }),
      at('b', 'new', { standing: bad, attempt: 3, isServing: false, isReachable: false, awaySinceMs: -300_000 }),
      ...many(3, 'old'),
    ],
    before: again,
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'who went away by this one does',
    nodes: [
      at('a', 'new', { standing: lost, attempt: 4, isServing: false, isReachable: false, awaySinceMs: -300_000 }),
      ...many(5, 'old'),
    ],
    before: { ...again, phase: 'Batch' },
    settings: { maxUnavailable: 3 },
    phase: 'Batch',
    give: ['n0000=new?', 'n0001=new?'],
  },
  {
    title: 'while he may come back he does, too',
    nodes: [
      at('a', 'new', { standing: bad, attempt: 3, isServing: false, isReachable: false, awaySinceMs: -299_000 }),
      ...many(3, 'old'),
    ],
    before: again,
    phase: 'Canary',
    give: [],
  },
  {
    title: 'and where he is there, and silent, he tries it anew himself',
    nodes: [
      at('a', 'new', { standing: lost, attempt: 3, isServing: false, awaySinceMs: undefined }),
      ...many(3, 'old'),
    ],
    before: again,
    phase: 'Canary',
    give: ['a=new?'],
  },
  {
    title: 'how it fares in this attempt counts',
    nodes: [at('a', 'new', { standing: bad, attempt: 4 }), ...many(3, 'old')],
    before: again,
    phase: 'RollingBack',
    give: ['a=old'],
  },
  {
    title: 'who did well then does well now',
    nodes: [at('a', 'new', { attempt: 3 }), ...many(3, 'old')],
    before: again,
    phase: 'Batch',
    give: ['n0000=new?'],
  },
  {
    title: 'the first revision is tried anew, too',
    nodes: [at('a', 'new', { standing: bad, attempt: 3 }), ...many(3, undefined)],
    before: { phase: 'Paused', target: 'new', startedAt: 's', attempt: 4 },
    phase: 'Canary',
    give: ['a=new?'],
  },
  {
    title: 'those that wait for their turn stay where they are',
    nodes: [
      at('a', 'new', { standing: pending, attempt: 4 }),
      at('b', 'new', { standing: bad, attempt: 3 }),
      ...many(3, 'old'),
    ],
    before: again,
    phase: 'Canary',
    give: [],
  },
  {
    title:
      'who does not serve by what is good takes no place, though another profile served it: the edit that helps it must get through',
    nodes: [
      at('a', 'old', { isJudged: true, isLate: true, wasServed: true, isServing: false, standing: unable }),
      ...many(3, 'old'),
    ],
    before: { ...done, reason: 'NotServing', message: 'a: port 53 is taken' },
    settings: { maxUnavailable: 1 },
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'where what is good is lost, and nobody is served, the target is tried as a first revision is: by a canary',
    nodes: many(30, undefined),
    before: canary,
    isGoodLost: true,
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'and then by batches',
    nodes: [at('a', 'new', { wasServed: false }), ...many(29, undefined)],
    before: canary,
    isGoodLost: true,
    phase: 'Batch',
    give: ['n0000=new?', 'n0001=new?', 'n0002=new?'],
  },
  {
    title: 'beside which those come at once that are born since',
    nodes: [
      at('a', 'new', { wasServed: false, standing: pending }),
      at('b', undefined),
      at('c', undefined, { createdAtMs: 1 }),
    ],
    before: { ...batch, startedAt: '1970-01-01T00:00:00Z' },
    isGoodLost: true,
    phase: 'Batch',
    give: ['c=new!'],
  },
  {
    title:
      'who is served by what is lost is no canary before one that nobody serves, and keeps it until its turn comes',
    nodes: [...many(5, 'old'), at('x', undefined)],
    before: canary,
    isGoodLost: true,
    phase: 'Canary',
    give: ['x=new?'],
  },
  {
    title: 'where all are served by it one of them is',
    nodes: many(5, 'old'),
    before: canary,
    isGoodLost: true,
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'who does not serve by it is given the target, and is not judged by that',
    nodes: [at('a', 'old', { isServing: false, standing: unable })],
    before: canary,
    isGoodLost: true,
    phase: 'Canary',
    give: ['a=new'],
  },
  {
    title: 'one that nobody served is borne with where it does not serve, and the next tries it',
    nodes: [at('a', 'new', { wasServed: false, isServing: false, standing: unable }), ...many(3, undefined)],
    before: canary,
    isGoodLost: true,
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'so it is when what is good is there again: those that nobody serves get that',
    nodes: [
      at('a', 'new', { wasServed: false, isServing: false, standing: unable }),
      at('x', undefined),
      ...many(3, 'old'),
    ],
    before: canary,
    phase: 'Canary',
    give: ['x=old', 'n0000=new?'],
  },
  {
    title: 'but not as many as that',
    nodes: [...many(2, 'new', { wasServed: false, isServing: false, standing: unable }), ...many(3, 'old', {}, 2)],
    before: canary,
    phase: 'RollingBack',
    give: ['n0000=old', 'n0001=old'],
    reason: 'NotServing',
  },
  {
    title: 'nor where it resolves nothing',
    nodes: [at('a', 'new', { wasServed: false, standing: bad }), ...many(3, undefined)],
    before: canary,
    isGoodLost: true,
    phase: 'Halted',
    give: [],
    reason: 'ProbeFailed',
  },
  {
    title: 'who was served by what was good is judged when that is lost as before',
    nodes: [at('a', 'new', { isServing: false, standing: unable }), ...many(3, 'old')],
    before: canary,
    isGoodLost: true,
    phase: 'Halted',
    give: [],
    reason: 'NotServing',
  },
  {
    title: 'where nobody has proved the target, and nobody was served before, the rollout is not over',
    nodes: [at('a', 'new', { wasServed: false, isServing: false, standing: unable })],
    before: canary,
    isGoodLost: true,
    phase: 'Canary',
    give: [],
  },
  {
    title: 'nor is it when what is good is there again',
    nodes: [at('a', 'new', { wasServed: false, isServing: false, standing: unable })],
    before: canary,
    phase: 'Canary',
    give: [],
  },
  {
    title: 'what does ill by what an edit has superseded cannot return to what is lost, and stays until its turn comes',
    nodes: [at('a', 'mid', { isJudged: true, standing: bad }), at('b', 'new', { standing: pending }), at('c', 'old')],
    before: canary,
    isGoodLost: true,
    phase: 'Canary',
    give: [],
  },
  {
    title: 'and where more do so than there is room for, a canary begins all the same: no other way leads out of it',
    nodes: [...many(2, 'mid', { isJudged: true, hasJoined: true, standing: bad }), at('x', 'old')],
    before: canary,
    isGoodLost: true,
    phase: 'Canary',
    give: ['n0000=new?'],
  },
  {
    title: 'what is lost is given to nobody while a rollout is paused',
    nodes: [at('a', 'old'), at('x', undefined)],
    before: canary,
    settings: { paused: true },
    isGoodLost: true,
    phase: 'Paused',
    give: [],
  },
  {
    title: 'nor where it has halted',
    nodes: [at('a', 'new', { standing: bad }), at('x', undefined)],
    before: halted,
    settings: { autoRollback: false },
    isGoodLost: true,
    phase: 'Halted',
    give: [],
  },
  {
    title: 'nobody returns to it',
    nodes: [at('a', 'new', { standing: bad }), at('b', 'old'), at('x', undefined)],
    before: rollingBack,
    isGoodLost: true,
    phase: 'Halted',
    give: [],
  },
  {
    title: 'what has rolled back stays so where all have what is lost',
    nodes: many(3, 'old'),
    before: { ...rollingBack, phase: 'RolledBack' },
    isGoodLost: true,
    phase: 'RolledBack',
    give: [],
  },
  {
    title: 'and has halted where somebody would have to be given it',
    nodes: [...many(3, 'old'), at('x', undefined)],
    before: { ...rollingBack, phase: 'RolledBack' },
    isGoodLost: true,
    phase: 'Halted',
    give: [],
  },
  {
    title: 'what was accepted last and is lost is not on its way, and those that nobody serves get what is good',
    nodes: [at('a', 'old'), at('x', undefined)],
    before: canary,
    isTargetLost: true,
    phase: 'Idle',
    give: ['x=old'],
  },
  {
    title: 'as many of them at a time as may be out',
    nodes: [at('a', 'old'), ...many(4, undefined)],
    before: canary,
    settings: { maxUnavailable: 3 },
    isTargetLost: true,
    phase: 'Idle',
    give: ['n0000=old', 'n0001=old', 'n0002=old'],
  },
  {
    title: 'nor is it where an edit went back to it',
    nodes: [at('a', 'new'), at('x', undefined)],
    before: { ...batch, target: 'old' },
    target: 'old',
    isGoodLost: true,
    isTargetLost: true,
    phase: 'Idle',
    give: [],
  },
  {
    title: 'who tries it has still to tell what he makes of it',
    nodes: [at('a', 'new', { standing: pending }), at('b', 'old')],
    before: canary,
    isTargetLost: true,
    phase: 'Canary',
    give: [],
  },
  {
    title: 'once all have told, one that is silent to an operator that has just begun opens nothing',
    nodes: [at('a', 'new', { standing: pending }), at('b', 'new')],
    before: { ...batch, phase: 'Idle' },
    isTargetLost: true,
    phase: 'Idle',
    give: [],
  },
  {
    title: 'and where he does ill by it he returns',
    nodes: [at('a', 'new', { standing: bad }), at('b', 'old')],
    before: canary,
    isTargetLost: true,
    phase: 'RollingBack',
    give: ['a=old'],
  },
  {
    title: 'what is over and lost is given to nobody who comes late',
    nodes: [at('a', 'new'), at('b', 'old'), at('x', undefined)],
    before: over,
    isGoodLost: true,
    isTargetLost: true,
    phase: 'Done',
    give: [],
  },
  {
    title: 'nor is it where it failed on somebody who came late',
    nodes: [at('a', 'new', { standing: bad, isLate: true }), at('x', undefined)],
    before: over,
    isGoodLost: true,
    isTargetLost: true,
    phase: 'Done',
    give: [],
    reason: 'ProbeFailed',
  },
];

for (const { title, nodes, before, settings, target = 'new', phase, give, good, reason, ...lost } of cases) {
  test(title, () => {
    const step = planRollout({ target, settings: defaultedRollout(settings), nodes, before, ...lost, nowMs: 0 });
    assert.equal(step.state.phase, phase);
    assert.deepEqual(
      step.give.map(
        ({ node, revision, isTrial, hasJoined }) => `${node}=${revision}${hasJoined ? '!' : isTrial ? '?' : ''}`,
      ),
      give,
    );
    if (reason !== undefined) assert.equal(step.state.reason, reason);
    if (step.state.phase === 'Done') assert.equal(step.state.reason, reason);
    assert.equal(step.state.good, good ?? before?.good);
    assert.equal(step.state.target, target);
  });
}

test('a trial says who was served before where that does not go without saying', () => {
  const marks = (before: RolloutState | undefined, nodes: RolloutNode[], isGoodLost = false) => {
    const settings = defaultedRollout({ maxUnavailable: '100%', canary: { nodes: 0 } });
    const { give } = planRollout({ target: 'new', settings, nodes, before, isGoodLost, nowMs: 0 });
    return Object.fromEntries(give.map(({ node, wasServed }) => [node, wasServed]));
  };
  const hurt = { isJudged: true, isServing: false, standing: unable };
  const nodes = [
    at('new', undefined),
    at('other', undefined, byOther),
    at('silent', undefined, { ...byOther, standing: lost }),
    at('left', undefined, { isServing: true }),
    at('well', 'mid', { isJudged: true }),
    at('ill', 'mid', hurt),
    at('hurt', 'mid', { ...hurt, wasServed: true }),
    at('never', 'mid', { ...hurt, wasServed: false }),
    at('healed', 'mid', { isJudged: true, wasServed: false }),
  ];
  const isOf = { new: undefined, other: true, silent: undefined, left: true, well: true };
  assert.deepEqual(marks(undefined, nodes), { ...isOf, ill: undefined, hurt: true, never: undefined, healed: true });
  const later = { other: true, silent: undefined, well: undefined, ill: undefined, hurt: undefined };
  const known = { ...later, never: false, healed: undefined };
  assert.deepEqual(marks({ ...batch, phase: 'Canary' }, nodes), { ...known, new: undefined, left: undefined });
  assert.deepEqual(marks(canary, nodes, true), { ...known, new: false, left: undefined });
});

test('each target is an attempt of its own, and so is what is tried anew after it had failed', () => {
  const look = (before: RolloutState | undefined, settings = {}, target = 'new', nodes = many(3, 'old')) =>
    planRollout({ target, settings: defaultedRollout(settings), nodes, before, nowMs: 0 }).state.attempt;
  const paused = { paused: true };
  assert.equal(look(undefined), 1);
  assert.equal(look({ ...done, attempt: 6 }), 7);
  assert.equal(look({ ...canary, attempt: 7 }), 7);
  assert.equal(look({ ...canary, attempt: 7 }, paused), 7);
  assert.equal(look(halted), 3);
  assert.equal(look(halted, paused), 4);
  assert.equal(look({ ...rollingBack, attempt: 3 }, paused), 4);
  assert.equal(look(again, paused), 4);
  assert.equal(look(again), 4);
  assert.equal(look(halted, {}, 'newer'), 4);
  // Of what an operator has begun that did not count.
  assert.equal(look(canary), 1);
  assert.equal(look(rollingBack, paused), 2);
  // With nobody to serve, the count goes on.
  assert.equal(look({ ...canary, attempt: 7 }, {}, 'new', []), 7);
  assert.equal(look({ phase: 'Idle', target: 'new', attempt: 7 }), 8);
});

test('who was silent as it went is not forgotten', () => {
  const missing: Standing = { kind: 'pending', untilMs: 60_000, isMissing: true };
  const look = (before: RolloutState, nodes: RolloutNode[], settings = {}) => {
    const { silent, gone } = planRollout({
      ...{ target: 'new', settings: defaultedRollout({ maxUnavailable: 5, ...settings }), nodes, before, nowMs: 0 },
    }).state;
    return [silent, gone] as const;
  };
  const on = (standing: Standing, more: Partial<RolloutNode> = {}): RolloutNode[] => [
    at('a', 'new', { standing, ...more }),
    at('b', 'new'),
    at('c', 'old'),
  ];
  const tryingA = { ...batch, attempt: 2, silent: ['a'] };
  const two = { attempt: 2 };
  assert.deepEqual(look(batch, on(missing)), [['a'], undefined]);
  assert.deepEqual(look(batch, on(lost)), [['a'], undefined]);
  // Who is borne with is so when it is gone, too.
  assert.deepEqual(look(batch, on(bad, { hasJoined: true })), [undefined, undefined]);
  assert.deepEqual(look({ ...batch, silent: ['a'] }, on(unable, { hasJoined: true })), [undefined, undefined]);
  assert.deepEqual(look(first, on(unable)), [undefined, undefined]);
  assert.deepEqual(look(first, on(missing)), [undefined, undefined]);
  assert.deepEqual(look(first, on(missing, away)), [['a'], undefined]);
  assert.deepEqual(look(batch, on(bad), { paused: true }), [['a'], undefined]);
  assert.deepEqual(look(batch, on(missing, { hasJoined: true })), [undefined, undefined]);
  assert.deepEqual(look(batch, on(missing, { hasJoined: true, isReachable: false })), [['a'], undefined]);
  assert.deepEqual(look(batch, on(pending)), [undefined, undefined]);
  assert.deepEqual(look(batch, on(settled)), [undefined, undefined]);
  assert.deepEqual(look(batch, on(down)), [undefined, undefined]);
  // Whom somebody takes out of the cluster, unless it had been silent before.
  const takenOut = { ...away, isLeaving: true };
  assert.deepEqual(look(batch, on(missing, takenOut)), [undefined, undefined]);
  assert.deepEqual(look(tryingA, on(missing, { ...takenOut, ...two })), [['a'], undefined]);
  // One that is ready, and whose agent is silent, is not on its way out.
  assert.deepEqual(look(batch, on(missing, { isLeaving: true })), [['a'], undefined]);
  // Nothing is known of it yet, as at a start; it serves again; it is well again; it is gone; another machine has its name.
  assert.deepEqual(look(tryingA, on(pending, two)), [['a'], undefined]);
  assert.deepEqual(look(tryingA, on(pending, { ...two, hasJoined: true })), [undefined, undefined]);
  assert.deepEqual(look(tryingA, on({ ...pending, isWell: true }, two)), [undefined, undefined]);
  assert.deepEqual(look(tryingA, on(settled, two)), [undefined, undefined]);
  assert.deepEqual(look(tryingA, [at('b', 'new', two), at('c', 'old')]), [undefined, 1]);
  assert.deepEqual(look({ ...tryingA, gone: 2 }, [at('a', undefined), at('b', 'new', two), at('c', 'old')]), [
    undefined,
    3,
  ]);
  // Of those that come when it is over, until a pause tries it anew.
  const ended = { ...over, attempt: 2, silent: ['a'] };
  assert.deepEqual(look(over, on(missing)), [undefined, undefined]);
  assert.deepEqual(look(over, on(missing, { isLate: true })), [['a'], undefined]);
  assert.deepEqual(look(ended, [at('b', 'new', two)]), [undefined, 1]);
  const failed = { ...ended, reason: 'NodesSilent', message: 'm', gone: 1 };
  assert.deepEqual(look(failed, [at('b', 'new', two)]), [undefined, 2]);
  assert.deepEqual(look(failed, [at('b', 'new', two)], { paused: true }), [undefined, undefined]);
  // What went in the rollout itself is not counted on.
  assert.deepEqual(look({ ...batch, gone: 1 }, [at('b', 'new')]), [undefined, undefined]);
  // Of a pause; of another attempt.
  assert.deepEqual(look(tryingA, [at('b', 'new', two)], { paused: true }), [undefined, 1]);
  assert.deepEqual(look({ ...halted, silent: ['a'] }, on(settled), { paused: true }), [undefined, undefined]);
  const crowd = many(60, 'new', { standing: missing });
  assert.equal(look(batch, crowd, { maxUnavailable: '100%' })[0]?.length, 50);
});

test('that those who come late failed stands there until a pause', () => {
  const look = (before: RolloutState, settings = {}, standing: Standing = bad) => {
    const nodes = [...many(3, 'new', { attempt: 3 }), at('x', 'new', { standing, attempt: 3, isLate: true })];
    const { state } = planRollout({ target: 'new', settings: defaultedRollout(settings), nodes, before, nowMs: 0 });
    return [state.phase, state.reason, state.attempt];
  };
  const ended = { ...over, attempt: 3 };
  const failed = { ...ended, reason: 'ProbeFailed', message: 'm' };
  assert.deepEqual(look(ended), ['Done', 'ProbeFailed', 3]);
  assert.deepEqual(look(failed), ['Done', 'ProbeFailed', 3]);
  assert.deepEqual(look(failed, {}, settled), ['Done', undefined, 3]);
  // As at the start of an operator.
  assert.deepEqual(look(failed, {}, pending), ['Done', 'ProbeFailed', 3]);
  assert.deepEqual(look(failed, {}, down), ['Done', 'ProbeFailed', 3]);
  assert.deepEqual(look(ended, {}, pending), ['Done', undefined, 3]);
  assert.deepEqual(look({ ...failed, phase: 'Paused', attempt: 4 }, {}, pending), ['Done', undefined, 4]);
  assert.deepEqual(look(failed, { paused: true }), ['Paused', 'ProbeFailed', 4]);
  assert.deepEqual(look({ ...failed, phase: 'Paused', attempt: 4 }, { paused: true }), ['Paused', 'ProbeFailed', 4]);
  assert.deepEqual(look({ ...failed, phase: 'Paused', attempt: 4 }), ['Done', undefined, 4]);
  // Nothing is under way that could be paused; those who come late are held, and are tried when it ends.
  assert.deepEqual(look(ended, { paused: true }), ['Done', undefined, 3]);
  assert.deepEqual(look(ended, { paused: true }, pending), ['Done', undefined, 3]);
});

test('batch after batch goes round the zones, and so does a rollback', () => {
  const zones = (before: RolloutState, settings: object, to: string): string => {
    let state = before;
    const nodes = many(9, to === 'new' ? 'old' : 'new').map((node, index) => ({
      ...node,
      zone: `z${Math.floor(index / 3)}`,
    }));
    const order: string[] = [];
    for (let look = 0; look < 40; look += 1) {
      const step = planRollout({ target: 'new', settings: defaultedRollout(settings), nodes, before: state, nowMs: 0 });
      state = step.state;
      for (const { node, revision } of look % 2 === 0 ? [] : step.give) {
        const taken = nodes.find(({ name }) => name === node) ?? assert.fail();
        order.push(taken.zone);
        nodes.splice(nodes.indexOf(taken), 1, { ...taken, carries: revision, isJudged: revision === 'new' });
      }
    }
    return order.join(' ');
  };
  const round = 'z0 z1 z2 z0 z1 z2 z0 z1 z2';
  assert.equal(zones(done, { maxUnavailable: 1 }, 'new'), round);
  assert.equal(zones(rollingBack, { maxUnavailable: 1 }, 'old'), round);
});

test('it says which node failed, and keeps saying so after the rollback', () => {
  const nodes = [at('a', 'new', { standing: bad }), at('b', 'old')];
  const { state } = planRollout({ target: 'new', settings: defaultedRollout(), nodes, before: canary, nowMs: 0 });
  assert.deepEqual([state.reason, state.message], ['ProbeFailed', 'a: a.example: SERVFAIL']);
  const later = planRollout({
    target: 'new',
    settings: defaultedRollout(),
    nodes: many(2, 'old'),
    before: state,
    nowMs: 0,
  });
  assert.deepEqual([later.state.reason, later.state.message], [state.reason, state.message]);
});

test('since when what is gone is not there stands beside it, and it looks again when that is forgotten', () => {
  const look = (before: RolloutState) => {
    const nodes = many(20, 'new');
    const step = planRollout({ target: 'new', settings: defaultedRollout(), nodes, before, nowMs: 5_000 });
    return [step.state.gone, step.state.goneAt, step.lookAgainAtMs];
  };
  const day = 86_400_000;
  const now = '1970-01-01T00:00:05Z';
  const then = '1970-01-01T00:00:01Z';
  assert.deepEqual(look({ ...over, silent: ['x'] }), [1, now, day + 5_000]);
  assert.deepEqual(look({ ...over, gone: 1, goneAt: then }), [1, then, day + 1_000]);
  assert.deepEqual(look({ ...over, silent: ['x'], gone: 1, goneAt: then }), [2, now, day + 5_000]);
  // An operator wrote it that noted no time.
  assert.deepEqual(look({ ...over, gone: 1 }), [1, now, day + 5_000]);
  assert.deepEqual(look(over), [undefined, undefined, undefined]);
});

test('where time alone decides, it looks again', () => {
  const nodes = [at('a', 'new', { standing: pending }), at('b', 'new', { standing: { kind: 'pending', untilMs: 7 } })];
  const { lookAgainAtMs } = planRollout({
    target: 'new',
    settings: defaultedRollout(),
    nodes,
    before: canary,
    nowMs: 0,
  });
  assert.equal(lookAgainAtMs, 7);
});

test('it counts who has the target, and who is on trial', () => {
  const nodes = [at('a', 'new', { standing: pending }), at('b', 'new'), at('c', 'old')];
  const { updated, onTrial, unproven } = planRollout({
    target: 'new',
    settings: defaultedRollout(),
    nodes,
    before: canary,
    nowMs: 0,
  });
  assert.deepEqual([updated, onTrial, unproven], [2, 1, ['a']]);
});

test('where nobody is left who was given it, what it did to them stands, and the attempt is the same when others come', () => {
  const before: RolloutState = { ...canary, attempt: 2, silent: ['a'] };
  const look = (nodes: RolloutNode[], known: RolloutState, target = 'new'): RolloutState =>
    planRollout({ target, settings: defaultedRollout(), nodes, before: known, nowMs: 5_000 }).state;
  const idle = look([], before);
  const lost = { gone: 1, goneAt: '1970-01-01T00:00:05Z' };
  assert.deepEqual(idle, { phase: 'Idle', target: 'new', good: 'old', attempt: 2, ...lost });
  assert.deepEqual(look([], idle), idle);
  assert.deepEqual([look([at('b', 'old')], idle).phase, look([at('b', 'old')], idle).attempt], ['RolledBack', 2]);
  // Of another target that says nothing.
  const other = look([at('b', 'old')], idle, 'other');
  assert.deepEqual([other.phase, other.gone, other.attempt], ['Canary', undefined, 3]);
});

test('since when it gives nothing is told by what stops it', () => {
  const look = (before: RolloutState, paused: boolean, nowMs: number): RolloutState =>
    planRollout({ target: 'new', settings: defaultedRollout({ paused }), nodes: many(3, 'new'), before, nowMs }).state;
  assert.equal(look(over, false, 1_000).stoppedAt, undefined);
  const stopped = look(over, true, 1_000);
  assert.deepEqual([stopped.phase, stopped.stoppedAt], ['Done', '1970-01-01T00:00:01Z']);
  assert.equal(look(stopped, true, 9_000).stoppedAt, '1970-01-01T00:00:01Z');
  assert.equal(look(stopped, false, 9_000).stoppedAt, undefined);
  const back: RolloutState = { ...rollingBack, phase: 'RolledBack', stoppedAt: '1970-01-01T00:00:01Z' };
  assert.equal(look(back, false, 9_000).stoppedAt, '1970-01-01T00:00:01Z');
  assert.equal(look(back, true, 9_000).stoppedAt, '1970-01-01T00:00:09Z');
  const nodes = [...many(3, 'new'), at('w', 'new', { standing: bad, isLate: true })];
  const late = planRollout({ target: 'new', settings: defaultedRollout(), nodes, before: over, nowMs: 1_000 });
  assert.equal(late.state.stoppedAt, '1970-01-01T00:00:01Z');
});

test('who tries what has failed late, and was served by nobody, has nothing to lose by it', () => {
  const nodes = [...many(30, 'new'), at('w', 'new', { standing: bad, isLate: true }), at('k', undefined)];
  const { give } = planRollout({ target: 'new', settings: defaultedRollout(), nodes, before: over, nowMs: 0 });
  assert.deepEqual(give, [{ node: 'k', revision: 'new', isTrial: true, isLate: true, wasServed: false }]);
});

test('who comes late has proved nothing before it has told, nor where it has failed', () => {
  const late = { isLate: true };
  const nodes = [
    ...many(8, 'new', { standing: bad }),
    at('a', 'new', { ...late, standing: pending }),
    at('b', 'new', { ...late, standing: bad }),
    at('c', 'new', late),
  ];
  const look = (more: RolloutNode[]) =>
    planRollout({ target: 'new', settings: defaultedRollout(), nodes: [...nodes, ...more], before: over, nowMs: 0 });
  assert.deepEqual(look([]).unproven, ['a', 'b']);
  // Who is away for long is waited for by nobody.
  const gone = [
    at('d', 'new', { ...late, ...away, standing: pending }),
    at('e', 'new', { ...late, ...away, standing: lost }),
  ];
  assert.deepEqual(look(gone).unproven, ['a', 'b', 'd']);
});

test('of an earlier attempt, who was silent and is there is not gone', () => {
  const nodes = [at('b', 'new', { ...away, standing: lost, attempt: 1 }), ...many(9, 'old')];
  const before: RolloutState = { ...canary, attempt: 2, silent: ['b'] };
  const { state } = planRollout({ target: 'new', settings: defaultedRollout(), nodes, before, nowMs: 0 });
  assert.deepEqual([state.phase, state.silent, state.gone], ['Canary', undefined, undefined]);
});
