import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drainFinalizer } from '../../api/v1alpha1/labels.ts';
import { FakeClock } from '../../kube/clock.fake.ts';
import { systemClock as clock } from '../../kube/clock.ts';
import { ApiError, UnreachableError } from '../../kube/errors.ts';
import type { KubeObject } from '../../kube/resource.ts';
import { WorkQueue } from '../runtime/work-queue.ts';
import type { ProfilePlan } from './plan.ts';
import { Reports } from './reports.ts';
import type { Profile, World } from './world.ts';

const clusterDns = { namespace: 'kube-system', service: 'kube-dns', addresses: [] };
const state = { phase: 'Done', target: 'p-1' } as const;
const plan: ProfilePlan = {
  ...{ errors: [], refusal: 'Invalid', leftOut: [], isUnknown: false, revision: undefined, isDisabled: false },
  ...{ revisions: [], misfits: new Map(), selected: [], heirs: [], conflict: undefined },
  course: {
    ...{ state, isNews: false, isAccepted: false, updated: 0, onTrial: 0, unproven: new Set() },
    ...{ lookAgainAtMs: undefined, carried: new Map(), renderings: new Map(), gifts: new Map() },
  },
};

test('what was written of a profile is remembered until it is gone', async () => {
  const basedOn: (string | undefined)[] = [];
  const reports = new Reports(
    {
      world: {
        clusterDns: () => ({ clusterDns, isFound: true }),
        lost: { of: () => [] },
      } as unknown as World,
      client: {
        apply: (_resource: unknown, { metadata }: KubeObject) => {
          basedOn.push(metadata.resourceVersion);
          return Promise.resolve({ metadata: { ...metadata, resourceVersion: '2' } });
        },
      } as never,
      ...{ namespace: 'localdns-system', events: { warn: () => Promise.resolve() }, clock },
      queue: new WorkQueue(clock, undefined, { held: true }),
    },
    { given: () => [], underWay: () => [] },
  );
  const profile: Profile = { metadata: { name: 'p', uid: 'u', resourceVersion: '1' }, spec: {} };
  const look = async (there: Profile[]) => {
    reports.forgetGone(there);
    const known = reports.stateOf(profile);
    await reports.report(profile, plan);
    return [known, basedOn.at(-1)];
  };
  assert.deepEqual(await look([]), [undefined, '1']);
  assert.deepEqual(await look([profile]), [state, '2']);
  assert.deepEqual(await look([]), [undefined, '1']);
});

/** A profile of which the API server takes no status, but answers with `answers.next`; and what is removed from it by whom. */
function refused(metadata: Partial<Profile['metadata']> = {}, isReachable = true) {
  const time = new FakeClock();
  const answers: { next: Error | undefined } = { next: undefined };
  const patches: unknown[] = [];
  const queue = new WorkQueue(time);
  const holder = { name: 'n', profile: 'p' };
  const world = {
    clusterDns: () => ({ clusterDns, isFound: true }),
    lost: { of: () => [] },
    nodes: { get: () => ({ isReachable }) },
    written: { get: () => undefined, list: () => (isReachable ? [] : [holder]) },
  } as unknown as World;
  const client = {
    apply: (_resource: unknown, object: KubeObject) =>
      answers.next === undefined ? Promise.resolve(object) : Promise.reject(answers.next),
    mergePatch: (_resource: unknown, _name: string, patch: KubeObject) => {
      patches.push(patch.metadata.finalizers);
      return Promise.resolve(patch);
    },
  } as never;
  const reports = new Reports(
    { world, client, namespace: 'localdns-system', events: { warn: () => Promise.resolve() }, clock: time, queue },
    { given: () => [], underWay: () => [] },
  );
  const profile: Profile = { metadata: { name: 'p', uid: 'u', resourceVersion: '1', ...metadata }, spec: {} };
  const report = async (answer: Error | undefined) => {
    answers.next = answer;
    await reports.report(profile, plan).catch((error: unknown) => assert.equal(error, answer));
    return reports.refusedSinceMs(profile);
  };
  return { reports, profile, report, patches, queue, time };
}

const tooLarge = new ApiError(500, 'InternalError', 'etcdserver: request is too large');

test('it is known since when the API server takes nothing of a profile, until it does or somebody else may have asked', async () => {
  const { reports, profile, report, time } = refused();
  const sinceMs = time.date().getTime();
  assert.equal(await report(undefined), undefined);
  assert.equal(await report(tooLarge), sinceMs);
  time.advance(5_000);
  assert.equal(await report(new ApiError(422, 'Invalid', 'no')), sinceMs);
  assert.equal(await report(undefined), undefined);
  assert.equal(await report(tooLarge), sinceMs + 5_000);
  reports.begin();
  assert.equal(reports.refusedSinceMs(profile), undefined);
  assert.equal(await report(tooLarge), sinceMs + 5_000);
  reports.forgetGone([profile]);
  assert.equal(reports.refusedSinceMs(profile), sinceMs + 5_000);
  reports.forgetGone([]);
  assert.equal(reports.refusedSinceMs(profile), undefined);
});

test('an API server that is away, has too much to do or knows a newer one has refused nothing', async () => {
  const { report } = refused();
  assert.equal(await report(new UnreachableError('no connection')), undefined);
  for (const status of [409, 429, 503, 504]) assert.equal(await report(new ApiError(status, '', 'no')), undefined);
});

test('whom the nodes of others wait for is looked at anew when nothing is taken of it any more, and once', async () => {
  const { report, queue } = refused();
  await report(tooLarge);
  assert.equal(queue.depth, 1);
  assert.equal(await queue.take(), 'plan');
  queue.done('plan');
  await report(tooLarge);
  assert.equal(queue.depth, 0);
});

const leaving = {
  deletionTimestamp: new Date(new FakeClock().date()).toISOString(),
  finalizers: ['x', drainFinalizer],
};

test('a profile that is deleted is let go though nothing more is taken of it, but for what was decided on an older one', async () => {
  const { report, patches } = refused(leaving);
  await report(new ApiError(409, 'Conflict', 'newer'));
  assert.deepEqual(patches, []);
  await report(tooLarge);
  assert.deepEqual(patches, [['x']]);
});

test('so it is when a node is away that has its configuration, a minute after', async () => {
  const { report, patches, queue, time } = refused(leaving, false);
  await report(new ApiError(413, 'RequestEntityTooLarge', 'no'));
  assert.deepEqual(patches, []);
  assert.equal(await queue.take(), 'plan');
  time.advance(59_999);
  assert.equal(queue.depth, 0);
  time.advance(1);
  assert.equal(await queue.take(), 'profile/p');
  await report(tooLarge);
  assert.deepEqual(patches, [['x']]);
});
