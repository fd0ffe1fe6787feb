import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LocalDnsProfile, ProfileSpec } from '../../api/v1alpha1/profile.ts';
import type { ServiceTarget } from '../../api/v1alpha1/profile-parts.ts';
import { type NodeFacts, nodeFacts } from './facts.ts';
import { type ClusterFacts, makePlan, type Plan, rememberingJudge, type World } from './plan.ts';
import { nextBatch } from './rollout.ts';

const clusterDns = { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10'] };
const cluster: ClusterFacts = { clusterDns, ranges: [], serviceTarget: () => ({ kind: 'unknown' }) };
const profile = (name: string, spec: ProfileSpec): LocalDnsProfile => ({ metadata: { name }, spec });
const node = (name: string, wanted?: string): NodeFacts =>
  nodeFacts({ metadata: { name, labels: wanted === undefined ? {} : { 'localdns.dev/profile': wanted } } });
const kinds = (plan: Plan): Record<string, string> =>
  Object.fromEntries([...plan.intents].map(([name, { kind }]) => [name, kind]));

function plan(profiles: LocalDnsProfile[], nodes: NodeFacts[], more: Partial<World> = {}): Plan {
  return makePlan({ profiles, nodes, written: () => undefined, cluster, ...more });
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

test('a profile is judged again when it or what it refers to changes, and not before', () => {
  const judge = rememberingJudge();
  const p = profile('p', {
    redirects: [
      { name: 'a', match: { suffixes: ['example'] }, target: { serviceRef: { namespace: 'emulator', name: 'cloud' } } },
    ],
  });
  const at = (address: string): ServiceTarget => ({ kind: 'addresses', addresses: [address] });
  const facts = { ...cluster, serviceTarget: () => at('10.96.0.50') };
  const first = judge(p, facts);
  assert.equal(judge(p, { ...facts, clusterDns: { ...clusterDns }, serviceTarget: () => at('10.96.0.50') }), first);
  assert.notEqual(judge(profile('p', {}), facts), first);
  for (const change of [
    { clusterDns: { ...clusterDns, addresses: ['10.96.0.11'] } },
    { serviceTarget: () => at('10.96.0.51') },
  ]) {
    const moved = judge(p, { ...facts, ...change });
    assert.ok(moved.kind === 'rendered' && first.kind === 'rendered');
    assert.notEqual(moved.revision, first.revision);
    judge(p, facts);
  }
});

const service = { serviceRef: { namespace: 'emulator', name: 'cloud' } };
const address = { addresses: ['192.0.2.1'] };
const redirecting = (mode: 'Preferred' | 'Required'): LocalDnsProfile =>
  profile('p', {
    mode,
    redirects: [
      { name: 'patterns', match: { patterns: ['(?=x)', 'y.*'] }, target: address },
      { name: 'service', match: { suffixes: ['example'] }, target: service },
    ],
  });
const gone: ServiceTarget = { kind: 'unusable', reason: 'Service emulator/cloud does not exist' };

test('Preferred leaves out what only the operator can judge, serves the rest and names each field', () => {
  const outcome = plan([redirecting('Preferred')], [node('n', 'p')], {
    cluster: { ...cluster, serviceTarget: () => gone },
  });
  const intent = outcome.intents.get('n');
  assert.ok(intent?.kind === 'serve');
  assert.deepEqual(
    intent.config.redirects?.map(({ name, match }) => [name, match.patterns]),
    [['patterns', ['y.*']]],
  );
  assert.deepEqual(
    outcome.profiles.get('p')?.leftOut.map(({ field }) => field),
    ['spec.redirects[0].match.patterns[0]', 'spec.redirects[1].target.serviceRef'],
  );
  assert.deepEqual(outcome.profiles.get('p')?.errors, []);
});

test('Required refuses the whole for it, and nodes keep what they have', () => {
  const outcome = plan([redirecting('Required')], [node('n', 'p')], {
    cluster: { ...cluster, serviceTarget: () => gone },
  });
  assert.deepEqual(kinds(outcome), { n: 'keep' });
  assert.equal(outcome.profiles.get('p')?.errors.length, 2);
});

test('before a Service is known nothing is decided about the profile that refers to it', () => {
  for (const mode of ['Preferred', 'Required'] as const) {
    const outcome = plan([redirecting(mode)], [node('n', 'p')]);
    assert.deepEqual(kinds(outcome), { n: 'keep' });
    assert.ok(outcome.profiles.get('p')?.isUnknown);
  }
});

test('networks of pods and Services are rendered for protection.privateReverse', () => {
  const { intents } = plan([profile('p', { protection: { privateReverse: { mode: 'NxDomain' } } })], [node('n', 'p')], {
    cluster: { ...cluster, ranges: ['10.244.0.0/16'] },
  });
  const intent = intents.get('n');
  assert.deepEqual(intent?.kind === 'serve' && intent.config.privateReverse, { exceptRanges: ['10.244.0.0/16'] });
});
