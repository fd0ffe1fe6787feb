import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LocalDnsProfile, ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { type Node, type NodeFacts, nodeFacts } from './facts.ts';
import { matches, select } from './select.ts';

const profile = (name: string, spec: ProfileSpec = {}, createdAt = '2026-01-01T00:00:00Z'): LocalDnsProfile => ({
  metadata: { name, creationTimestamp: createdAt },
  spec,
});
const node = (labels: Record<string, string> = {}): NodeFacts => nodeFacts({ metadata: { name: 'n', labels } });
const everyNode = { nodeSelector: {} };
const pool = { nodeSelector: { matchLabels: { pool: 'a' } } };

const cases: {
  title: string;
  profiles: LocalDnsProfile[];
  labels?: Record<string, string>;
  choice: unknown;
  tied?: string[];
}[] = [
  { title: 'a node without any claim is not served', profiles: [profile('p')], choice: { kind: 'none' } },
  {
    title: 'a label serves a node from a profile that has no selector',
    profiles: [profile('p')],
    labels: { 'localdns.dev/profile': 'p' },
    choice: { kind: 'profile', profile: 'p' },
  },
  {
    title: 'a label beats a selector of any priority',
    profiles: [profile('p'), profile('high', { ...everyNode, priority: 1000 })],
    labels: { 'localdns.dev/profile': 'p' },
    choice: { kind: 'profile', profile: 'p' },
  },
  {
    title: 'none opts a node out of every selector',
    profiles: [profile('p', everyNode)],
    labels: { 'localdns.dev/profile': 'none' },
    choice: { kind: 'none' },
  },
  {
    title: 'a label that names no profile is told apart from a node that nobody wants',
    profiles: [profile('p', everyNode)],
    labels: { 'localdns.dev/profile': 'lost' },
    choice: { kind: 'missing', profile: 'lost' },
  },
  {
    title: 'the highest priority wins',
    profiles: [
      profile('low', everyNode),
      profile('high', { ...everyNode, priority: 1 }),
      profile('negative', { ...everyNode, priority: -1 }),
    ],
    choice: { kind: 'profile', profile: 'high' },
  },
  {
    title: 'a profile whose selector does not match lays no claim, whatever its priority',
    profiles: [profile('low', everyNode), profile('high', { ...pool, priority: 1 })],
    choice: { kind: 'profile', profile: 'low' },
  },
  {
    title: 'of equals the older wins, and all of them conflict',
    profiles: [profile('a', everyNode, '2026-01-03T00:00:00Z'), profile('b', everyNode, '2026-01-02T00:00:00Z')],
    choice: { kind: 'profile', profile: 'b' },
    tied: ['a', 'b'],
  },
  {
    title: 'of equals of the same age the first by name wins',
    profiles: [profile('b', everyNode), profile('a', everyNode)],
    choice: { kind: 'profile', profile: 'a' },
    tied: ['a', 'b'],
  },
  {
    title: 'a tie below the winner is no conflict',
    profiles: [profile('a', everyNode), profile('b', everyNode), profile('high', { ...everyNode, priority: 1 })],
    choice: { kind: 'profile', profile: 'high' },
  },
  {
    title: 'a label settles what would be a tie',
    profiles: [profile('a', everyNode), profile('b', everyNode)],
    labels: { 'localdns.dev/profile': 'b' },
    choice: { kind: 'profile', profile: 'b' },
  },
  {
    title: 'only Linux nodes are served, labelled or not',
    profiles: [profile('p', everyNode)],
    labels: { 'localdns.dev/profile': 'p', 'kubernetes.io/os': 'windows' },
    choice: { kind: 'none' },
  },
  {
    title: 'a node that says Linux is served',
    profiles: [profile('p', everyNode)],
    labels: { 'kubernetes.io/os': 'linux' },
    choice: { kind: 'profile', profile: 'p' },
  },
];

for (const { title, profiles, labels, choice, tied = [] } of cases) {
  test(title, () => {
    const selection = select(profiles, [node(labels)]);
    assert.deepEqual(selection.choices.get('n'), choice);
    assert.deepEqual([...selection.conflicts.keys()].sort(), tied);
  });
}

test('each side of a conflict is told of the other, and of the nodes', () => {
  const nodes: Node[] = ['x', 'y'].map((name) => ({ metadata: { name } }));
  const { conflicts } = select([profile('a', everyNode), profile('b', everyNode)], nodes.map(nodeFacts));
  assert.deepEqual(conflicts.get('a'), { profiles: ['b'], nodes: ['x', 'y'] });
  assert.deepEqual(conflicts.get('b'), { profiles: ['a'], nodes: ['x', 'y'] });
});

test('selectors mean what they mean in Kubernetes (LabelSelector, meta/v1)', () => {
  type Requirement = NonNullable<NonNullable<ProfileSpec['nodeSelector']>['matchExpressions']>[number];
  const meets = (operator: Requirement['operator'], values: string[], labels: Record<string, string>): boolean =>
    matches({ matchExpressions: [{ key: 'k', operator, values }] }, labels);
  assert.deepEqual(
    [{ k: 'a' }, { k: 'b' }, {}].map((labels) => [
      meets('In', ['a', 'c'], labels as Record<string, string>),
      meets('NotIn', ['a', 'c'], labels as Record<string, string>),
      meets('Exists', [], labels as Record<string, string>),
      meets('DoesNotExist', [], labels as Record<string, string>),
    ]),
    [
      [true, false, true, false],
      [false, true, true, false],
      [false, true, false, true],
    ],
  );
  assert.equal(matches({ matchLabels: { a: '1', b: '2' } }, { a: '1' }), false, 'all labels');
  const both = { matchLabels: { a: '1' }, matchExpressions: [{ key: 'b', operator: 'Exists' as const }] };
  assert.equal(matches(both, { a: '1' }), false, 'labels and expressions');
  assert.equal(matches(both, { a: '1', b: '' }), true);
});

test('a key that every object has by itself is no label', () => {
  for (const key of ['constructor', 'toString', 'valueOf', '__proto__']) {
    assert.equal(matches({ matchExpressions: [{ key, operator: 'Exists' }] }, {}), false, key);
    assert.equal(matches({ matchExpressions: [{ key, operator: 'DoesNotExist' }] }, {}), true, key);
    assert.equal(matches({ matchLabels: { [key]: 'x' } }, { [key]: 'x' }), true, key);
  }
});
