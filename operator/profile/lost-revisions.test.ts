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
import { intentOfConfig, LostRevisions } from './lost-revisions.ts';
import { renderNodeConfig } from './render.ts';
import { factsOfIntent, type RevisionFacts } from './revisions.ts';

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
  // Of a Service that had no ready endpoint at that moment.
  assert.equal(intentOfConfig({ ...config, redirects: [{ ...config.redirects?.[0], addresses: [] }] }), undefined);
  assert.equal(intentOfConfig({ ...config, formatVersion: 2 }), undefined);
  assert.equal(intentOfConfig({ ...config, fromTheFuture: true }), undefined);
  assert.equal(intentOfConfig({ ...config, hosts: [] }), undefined);
  assert.equal(intentOfConfig(undefined), undefined);
});

const revision = (name: string, profileUid = 'u'): RevisionFacts =>
  factsOfIntent({ name, uid: `uid-${name}`, profileUid, number: 7 }, { searchPath: 'Spec' });
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

test('of those that nobody needs the newest are remembered, and no more than a few', () => {
  const lost = lostRevisions();
  for (let at = 0; at < 100; at += 1) lost.note(revision(`p-${at}`), undefined);
  assert.deepEqual([lost.of('u').length, lost.of('u').at(-1)?.name], [32, 'p-99']);
});
