import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LocalDnsProfile, ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { type NodeFacts, nodeFacts } from './facts.ts';
import { makePlan, type Plan, rememberingJudge, type World } from './plan.ts';
import { nextBatch } from './rollout.ts';

const clusterDns = { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10'] };
const profile = (name: string, spec: ProfileSpec): LocalDnsProfile => ({ metadata: { name }, spec });
const node = (name: string, wanted?: string): NodeFacts =>
  nodeFacts({ metadata: { name, labels: wanted === undefined ? {} : { 'localdns.dev/profile': wanted } } });
const kinds = (plan: Plan): Record<string, string> =>
  Object.fromEntries([...plan.intents].map(([name, { kind }]) => [name, kind]));

function plan(profiles: LocalDnsProfile[], nodes: NodeFacts[], more: Partial<World> = {}): Plan {
  return makePlan({ profiles, nodes, written: () => undefined, clusterDns, ...more });
}

test('a selected node is served with the rendered configuration and its revision', () => {
  const { intents, profiles, batch } = plan([profile('p', {})], [node('n', 'p'), node('other')]);
  const intent = intents.get('n');
  assert.ok(intent?.kind === 'serve');
  assert.equal(intent.profile, 'p');
  assert.deepEqual(intent.config.clusterDNS, clusterDns);
  assert.equal(intent.revision, profiles.get('p')?.revision);
  assert.deepEqual([...batch], ['n']);
  assert.equal(intents.get('other')?.kind, 'unserve');
});

test('a profile that is not valid keeps what its nodes have, and names the field', () => {
  const bad = profile('p', { kubeDNSOverrides: { '.': { forwardDestination: 'nowhere' } } });
  const outcome = plan([bad], [node('n', 'p')]);
  assert.deepEqual(kinds(outcome), { n: 'keep' });
  assert.equal(outcome.profiles.get('p')?.errors[0]?.field, 'spec.kubeDNSOverrides["."]');
  assert.equal(outcome.batch.size, 0);
});

test('a disabled profile claims its nodes and does not serve them, nor lets a lower priority do it', () => {
  const disabled = profile('off', { mode: 'Disabled', nodeSelector: {}, priority: 1 });
  const lower = profile('on', { nodeSelector: {} });
  const outcome = plan([disabled, lower], [node('n')]);
  assert.deepEqual(kinds(outcome), { n: 'unserve' });
  assert.deepEqual(outcome.profiles.get('off')?.selected, ['n']);
  assert.deepEqual(outcome.profiles.get('on')?.selected, []);
});

test('a label that names no profile keeps what the node has', () => {
  const outcome = plan([profile('p', {})], [node('n', 'lost')]);
  assert.deepEqual(kinds(outcome), { n: 'keep' });
  assert.deepEqual([...outcome.missing], [['n', 'lost']]);
});

test('only nodes that are not at their revision yet are in the batch', () => {
  const targets = ['a', 'b', 'c'].map((name) => ({ node: name, revision: 'new' }));
  const at: Record<string, string> = { a: 'new', b: 'old' };
  const written = (name: string) => (at[name] === undefined ? undefined : { revision: at[name] });
  assert.deepEqual(nextBatch(targets, written), ['b', 'c']);
});

test('a profile is judged again when it or the cluster DNS changes, and not before', () => {
  const judge = rememberingJudge();
  const p = profile('p', {});
  const first = judge(p, clusterDns);
  assert.equal(judge(p, { ...clusterDns }), first);
  assert.notEqual(judge(profile('p', {}), clusterDns), first);
  const moved = judge(p, { ...clusterDns, addresses: ['10.96.0.11'] });
  assert.ok(moved.kind === 'rendered' && first.kind === 'rendered');
  assert.notEqual(moved.revision, first.revision);
});
