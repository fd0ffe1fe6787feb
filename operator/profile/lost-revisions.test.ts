import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { type NodeConfig, revisionOf } from '../../api/v1alpha1/node-config.ts';
import type { ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../../api/v1alpha1/profile-defaults.ts';
import { parseProfile } from '../../api/v1alpha1/profile-validation.ts';
import { type WrittenFacts, writtenFacts } from './facts.ts';
import { judge } from './judge.ts';
import { intentOfConfig, LostRevisions } from './lost-revisions.ts';
import { renderNodeConfig } from './render.ts';
import { factsOfIntent, type Intent, type RevisionFacts } from './revisions.ts';

const clusterDns = { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10'] };
const ranges = ['10.244.0.0/16'];
const render = (spec: ProfileSpec): NodeConfig => renderNodeConfig(defaultProfileSpec(spec), clusterDns, ranges);
const folder = join(import.meta.dirname, '../../test/golden/render');

for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
  test(`the configuration of ${file} tells what makes it, in another cluster too`, () => {
    const profile = parseProfile(parse(readFileSync(join(folder, file), 'utf8')));
    assert.ok('profile' in profile);
    const intent = intentOfConfig(render(profile.profile.spec)) ?? assert.fail();
    const elsewhere = (spec: ProfileSpec) =>
      renderNodeConfig(defaultProfileSpec(spec), { ...clusterDns, addresses: ['10.0.0.10'] }, ['10.1.0.0/16']);
    assert.deepEqual(elsewhere(intent), elsewhere(profile.profile.spec));
  });
}

test('what no profile could say, or this version would write otherwise, is not known', () => {
  const redirects = [{ name: 'a', match: { suffixes: ['a.example'] }, target: { addresses: ['10.0.0.1'] } }];
  const config = render({ redirects });
  assert.ok(intentOfConfig(config));
  assert.equal(intentOfConfig({ ...config, formatVersion: 2 }), undefined);
  assert.equal(intentOfConfig({ ...config, fromTheFuture: true }), undefined);
  assert.equal(intentOfConfig({ ...config, hosts: [] }), undefined);
  assert.equal(intentOfConfig(undefined), undefined);
});

test('where a redirect led to a Service it leads to as many addresses as that had, and to none where nothing was ready behind it', () => {
  const spec: ProfileSpec = {
    redirects: [{ name: 'a', match: { suffixes: ['a.example'] }, target: { addresses: ['10.0.0.1'] } }],
  };
  const config = render(spec);
  const many = Array.from({ length: 300 }, (_, at) => `10.1.${at >> 8}.${at & 255}`);
  for (const addresses of [[], many]) {
    const had = { ...config, redirects: config.redirects?.map((redirect) => ({ ...redirect, addresses })) };
    const intent = intentOfConfig(had) ?? assert.fail();
    assert.deepEqual(render(intent), had);
    // And it can be given.
    assert.equal(judge(intent, { clusterDns, ranges, serviceTarget: () => assert.fail() }).kind, 'rendered');
  }
  const twice = { ...config, redirects: [{ ...config.redirects?.[0], addresses: [...many, '10.1.0.0'] }] };
  assert.equal(intentOfConfig(twice), undefined);
});

const revision = (name: string, profileUid = 'u', intent: Intent = { searchPath: 'Spec' }): RevisionFacts =>
  factsOfIntent({ name, uid: `uid-${name}`, profileUid, number: 7 }, intent);
const uidOf = (profile: string): string | undefined => (profile === 'p' ? 'u' : undefined);

const configs = new Map<string, unknown>();
const lostRevisions = (): LostRevisions => new LostRevisions((name) => configs.get(name));

function written(profileRevision: string, config: unknown, more: object = {}): WrittenFacts {
  const spec = { profile: 'p', revision: revisionOf(config), profileRevision, config, ...more };
  configs.set(revisionOf(config), config);
  return writtenFacts({ metadata: { name: 'n' }, spec });
}

test('one that is deleted is known as it was, until it is there again or its profile is gone', () => {
  const lost = lostRevisions();
  lost.note(undefined, revision('p-1'));
  assert.deepEqual(lost.of('u'), []);
  lost.note(revision('p-1'), undefined);
  lost.note(revision('q-1', 'other'), undefined);
  assert.deepEqual(lost.get('p-1', [], uidOf), revision('p-1'));
  assert.deepEqual(lost.of('u'), [revision('p-1')]);
  lost.note(undefined, revision('p-1'));
  assert.equal(lost.get('p-1', [], uidOf), undefined);
  lost.forget(lost.of('other'));
  assert.equal(lost.get('q-1', [], uidOf), undefined);
});

test('one that nobody knew is read off a node that carries it untampered, whose profile is there', () => {
  const config = render({ searchPath: 'Report' });
  const find = (...nodes: WrittenFacts[]) => lostRevisions().get('p-1', nodes, uidOf);
  assert.equal(find(written('p-2', config)), undefined);
  assert.equal(find(written('p-1', config, { revision: 'v1-0000' })), undefined);
  assert.equal(find(written('p-1', config, { profile: 'gone' })), undefined);
  const found = find(written('p-2', {}), written('p-1', config)) ?? assert.fail();
  assert.deepEqual([found.name, found.profileUid], ['p-1', 'u']);
  assert.deepEqual(render(found.specs.Preferred), config);
});

test('a configuration that tells nothing is tried once, however many nodes carry it, and one that is seen later is tried', () => {
  const [nothing, something] = [{ ...render({}), hosts: [] }, render({ searchPath: 'Report' })];
  const asked: string[] = [];
  const seen = new Map<string, unknown>();
  const lost = new LostRevisions((name) => {
    asked.push(name);
    return seen.get(name);
  });
  const [mute, telling] = [written('p-1', nothing), written('p-1', something)];
  const find = () => lost.get('p-1', [mute, mute, telling], uidOf);
  find();
  assert.deepEqual(asked.splice(0), [mute.revision, mute.revision, telling.revision]);
  seen.set(mute.revision, nothing);
  for (const wanted of [[mute.revision, telling.revision], [telling.revision]]) {
    assert.equal(find(), undefined);
    assert.deepEqual(asked.splice(0), wanted);
  }
  seen.set(telling.revision, something);
  assert.equal(find()?.name, 'p-1');
});

test('of configurations that tell nothing no more are remembered than there are nodes', () => {
  let asked = 0;
  const lost = new LostRevisions(() => {
    asked += 1;
    return null;
  });
  const one = written('p-1', {});
  const nodes = Array.from({ length: 16_385 }, (_, at) => ({ ...one, revision: `v1-${at}` }));
  lost.get('p-1', nodes.slice(0, -1), uidOf);
  lost.get('p-1', nodes, uidOf);
  assert.equal(asked, 16_385);
  lost.get('p-1', nodes.slice(1), uidOf);
  assert.equal(asked, 16_385);
  lost.get('p-1', nodes.slice(0, 1), uidOf);
  assert.equal(asked, 16_386);
});

test('however many are deleted at once, each profile has its own', () => {
  const lost = lostRevisions();
  for (let of = 0; of < 500; of += 1)
    for (let at = 0; at < 10; at += 1) lost.note(revision(`p${of}-${at}`, `u${of}`), undefined);
  for (let of = 0; of < 500; of += 1) {
    assert.equal(lost.get(`p${of}-9`, [], () => undefined)?.profileUid, `u${of}`);
    assert.equal(lost.of(`u${of}`).length, 10);
  }
});

test('what is remembered of all profiles is bounded by what it takes, and the oldest is forgotten', () => {
  const lost = lostRevisions();
  const hosts = [{ hostnames: ['x'.repeat(1_048_576)], addresses: ['10.0.0.1'] }];
  const known = () => Array.from({ length: 20 }, (_, at) => lost.of(`u${at}`).length);
  const kept = (from: number) => Array.from({ length: 20 }, (_, at) => Number(at >= from));
  for (let at = 0; at < 20; at += 1) lost.note(revision(`p${at}`, `u${at}`, { hosts }), undefined);
  assert.deepEqual(known(), kept(5));
  // What is let go makes room.
  lost.forget(lost.of('u19'));
  lost.note(revision('p19', 'u19', { hosts }), undefined);
  assert.deepEqual(known(), kept(5));
  // And what is known already takes none.
  lost.note(revision('p19', 'u19', { hosts }), undefined);
  assert.deepEqual(known(), kept(5));
});

test('of those that nobody needs the newest are remembered, and no more than a few', () => {
  const lost = lostRevisions();
  for (let at = 0; at < 100; at += 1) lost.note(revision(`p-${at}`), undefined);
  assert.deepEqual([lost.of('u').length, lost.of('u').at(-1)?.name], [32, 'p-99']);
  // What is there again is none of them.
  for (let at = 90; at < 100; at += 1) lost.note(undefined, revision(`p-${at}`));
  for (let at = 100; at < 110; at += 1) lost.note(revision(`p-${at}`), undefined);
  assert.deepEqual([lost.of('u').length, lost.of('u')[0]?.name], [32, 'p-68']);
});
