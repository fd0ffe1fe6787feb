import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock as clock } from '../../kube/clock.ts';
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
