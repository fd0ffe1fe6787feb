import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import { ApiError, apiErrorOf } from '../../kube/errors.ts';
import { CONTROLLER_REVISIONS } from '../../kube/resource.ts';
import {
  type ControllerRevision,
  intentOf,
  type RevisionFacts,
  Revisions,
  revisionFacts,
  revisionName,
} from './revisions.ts';

const namespace = 'localdns-system';
const profile: LocalDnsProfile = {
  metadata: { name: 'p', uid: 'uid-p' },
  spec: { mode: 'Required', priority: 7, searchPath: 'Spec' },
};
let told: string[];
let created: ControllerRevision[];
let failing: Error | undefined;
let revisions: Revisions;

beforeEach(() => {
  told = [];
  created = [];
  failing = undefined;
  revisions = new Revisions(
    {
      create: async (_resource, object) => {
        if (failing !== undefined) throw failing;
        created.push(object as unknown as ControllerRevision);
        return object;
      },
      mergePatch: async <T>(_resource: unknown, name: string, patch: object, where: object = {}) => {
        told.push(`patch ${name} ${JSON.stringify({ ...patch, ...where })}`);
        return {} as T;
      },
      delete: async (_resource, name, { uid }, where = {}) => {
        told.push(`delete ${name} ${uid} ${where.namespace}`);
      },
    },
    namespace,
  );
});

const facts = (number: number, name = `r${number}`): RevisionFacts => ({
  ...{ name, uid: `uid-${name}`, profileUid: 'uid-p', number },
  specs: { Required: { searchPath: 'Spec' }, Preferred: { mode: 'Preferred', searchPath: 'Spec' } },
});
const wanted = (name: string) => ({ name, intent: intentOf(profile.spec) });
const many = (count: number): RevisionFacts[] => Array.from({ length: count }, (_, at) => facts(at + 1));

test('a name says whose revision it is, how it is hashed, and what is in it', () => {
  const name = revisionName(profile, intentOf(profile.spec));
  assert.match(name, /^p-v1-[0-9a-f]{10}$/);
  // The same spec has the same name in every release of this version of the hash, or an upgrade would roll everything out.
  assert.equal(name, 'p-v1-f6653e48d4');
});

test('an accepted spec is kept with its number, and goes with its profile; what selects and paces is no part of it', async () => {
  await revisions.keep(profile, wanted('p-1'), many(3));
  const [{ metadata, data, revision } = assert.fail()] = created;
  assert.equal(revision, 4);
  assert.deepEqual(data, { spec: { searchPath: 'Spec' } });
  assert.deepEqual([metadata.name, metadata.namespace], ['p-1', namespace]);
  assert.deepEqual(
    metadata.ownerReferences?.map(({ kind, name, uid }) => [kind, name, uid]),
    [['LocalDnsProfile', 'p', 'uid-p']],
  );
  const { profileUid, specs } = revisionFacts(created[0] ?? assert.fail());
  assert.equal(profileUid, 'uid-p');
  assert.deepEqual(specs.Preferred, { mode: 'Preferred', searchPath: 'Spec' });
});

test('an edit back to an earlier spec makes that one the newest, and the newest is left alone', async () => {
  await revisions.keep(profile, wanted('r1'), many(3));
  assert.deepEqual(told, [`patch r1 ${JSON.stringify({ revision: 4, namespace })}`]);
  await revisions.keep(profile, wanted('r3'), many(3));
  assert.deepEqual([told.length, created.length], [1, 0]);
});

test('one that was read off a node gives way to what the profile says', async () => {
  const readOff = {
    ...facts(3),
    specs: { Required: {}, Preferred: { mode: 'Preferred', searchPath: 'Report' } },
  } as const;
  await revisions.keep(profile, wanted('r3'), [...many(2), readOff]);
  assert.deepEqual(told, [`delete r3 uid-r3 ${namespace}`]);
  assert.deepEqual(
    created.map(({ metadata, data, revision }) => [metadata.name, data, revision]),
    [['r3', { spec: { searchPath: 'Spec' } }, 4]],
  );
});

test('one that is there already is no failure, for its name is its content; whatever else goes wrong is', async () => {
  const refused = (status: number) => apiErrorOf({ what: 'create', resource: CONTROLLER_REVISIONS }, status, {});
  failing = refused(409);
  await revisions.keep(profile, wanted('p-1'), []);
  failing = refused(403);
  await assert.rejects(revisions.keep(profile, wanted('p-1'), []), ApiError);
});

test('the last ten are kept, whatever order they are found in', async () => {
  await revisions.prune(many(10), 'r10', () => assert.fail('nobody has to ask'));
  assert.deepEqual(told, []);
  await revisions.prune([...many(12)].reverse(), 'r12', () => new Set());
  assert.deepEqual(told.sort(), [`delete r1 uid-r1 ${namespace}`, `delete r2 uid-r2 ${namespace}`]);
  told.length = 0;
  // The one that was kept a moment ago, and that nobody has heard of yet.
  await revisions.prune(many(10), 'r11', () => new Set());
  assert.deepEqual(told, [`delete r1 uid-r1 ${namespace}`]);
});

test('one that nodes carry or may return to is kept beyond that', async () => {
  await revisions.prune(many(13), 'r13', () => new Set(['r2', undefined, 'r13']));
  assert.deepEqual(told.sort(), [`delete r1 uid-r1 ${namespace}`, `delete r3 uid-r3 ${namespace}`]);
});
