import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LocalDnsProfile, ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { packetsOfRun, Random, seedOfRun } from '../../test/fuzz/random.ts';
import { type Node, type NodeFacts, nodeFacts } from './facts.ts';
import { type LabelIndex, matches } from './label-selector.ts';
import { Matching, type Selection, select } from './select.ts';

const profile = (name: string, spec: ProfileSpec = {}, createdAt = '2026-01-01T00:00:00Z'): LocalDnsProfile => ({
  metadata: { name, creationTimestamp: createdAt },
  spec,
});
const node = (labels: Record<string, string> = {}): NodeFacts => nodeFacts({ metadata: { name: 'n', labels } });
const named = (...first: string[]) => ({ first, count: first.length });
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
  assert.deepEqual(conflicts.get('a'), { profiles: named('b'), nodes: named('x', 'y') });
  assert.deepEqual(conflicts.get('b'), { profiles: named('a'), nodes: named('x', 'y') });
});

test('of many others a conflict names the three oldest, of many nodes any three, and says how many there are', () => {
  const nodes: Node[] = ['v', 'w', 'x', 'y'].map((name) => ({ metadata: { name } }));
  const profiles = ['e', 'd', 'c', 'b', 'a'].map((name, at) =>
    profile(name, everyNode, `2026-01-0${at + 1}T00:00:00Z`),
  );
  const { conflicts } = select(profiles, nodes.map(nodeFacts));
  const told = { profiles: { first: ['e', 'd', 'c'], count: 4 }, nodes: { first: ['v', 'w', 'x'], count: 4 } };
  assert.deepEqual(conflicts.get('a'), told);
});

test('profiles that meet at no node do not conflict, whatever others they conflict with', () => {
  const of = (pool: string, ...more: string[]) => ({
    nodeSelector: { matchExpressions: [{ key: 'pool', operator: 'In' as const, values: [pool, ...more] }] },
  });
  const nodes = ['x', 'y'].map((name) => nodeFacts({ metadata: { name, labels: { pool: name } } }));
  const { conflicts } = select([profile('a', of('x')), profile('b', of('x', 'y')), profile('c', of('y'))], nodes);
  assert.deepEqual(conflicts.get('a')?.profiles, named('b'));
  assert.deepEqual(conflicts.get('b')?.profiles, named('a', 'c'));
});

/** How it is told a node at a time: what is remembered must come to the same. */
function plainly(profiles: readonly LocalDnsProfile[], nodes: readonly NodeFacts[]): unknown {
  const claimants = profiles
    .filter(({ spec, metadata }) => spec.nodeSelector !== undefined && metadata.deletionTimestamp === undefined)
    .sort((a, b) => {
      const [mine = 0, theirs = 0] = [a.spec.priority, b.spec.priority];
      const keys = [a, b].map(({ metadata }) => `${metadata.creationTimestamp} ${metadata.name}`);
      return theirs - mine || ((keys[0] ?? '') < (keys[1] ?? '') ? -1 : 1);
    });
  const choices = new Map<string, unknown>();
  const tied = new Map<string, { others: Set<string>; nodes: string[] }>();
  for (const { name, labels } of nodes) {
    const label = labels['localdns.dev/profile'];
    const meant = profiles.find(({ metadata }) => metadata.name === label);
    const matching = claimants.filter(({ spec }) => matches(spec.nodeSelector ?? {}, labels));
    const equals = matching.filter(({ spec }) => (spec.priority ?? 0) === (matching[0]?.spec.priority ?? 0));
    const isOut = label === 'none' || meant?.metadata.deletionTimestamp !== undefined;
    const chosen = label === undefined ? matching[0]?.metadata.name : meant?.metadata.name;
    if (labels['kubernetes.io/os'] === 'windows' || isOut) choices.set(name, { kind: 'none' });
    else if (chosen !== undefined) choices.set(name, { kind: 'profile', profile: chosen });
    else choices.set(name, label === undefined ? { kind: 'none' } : { kind: 'missing', profile: label });
    if (label !== undefined || labels['kubernetes.io/os'] === 'windows' || equals.length < 2) continue;
    for (const { metadata } of equals) {
      const { others, nodes } = tied.get(metadata.name) ?? { others: new Set(), nodes: [] };
      for (const other of equals) if (other !== undefined) others.add(other.metadata.name);
      tied.set(metadata.name, { others, nodes: [...nodes, name] });
    }
  }
  const conflicts = [...tied].map(([name, { others, nodes }]) => {
    others.delete(name);
    const inTurn = claimants.map(({ metadata }) => metadata.name).filter((other) => others.has(other));
    return [name, { others: inTurn.slice(0, 3), of: others.size, nodes: nodes.length }] as const;
  });
  return { choices: sorted(choices), conflicts: sorted(new Map(conflicts)) };
}

function told({ choices, conflicts }: Selection): unknown {
  const short = [...conflicts].map(([name, { profiles, nodes }]) => {
    return [name, { others: profiles.first, of: profiles.count, nodes: nodes.count }] as const;
  });
  return { choices: sorted(choices), conflicts: sorted(new Map(short)) };
}

function sorted<T>(map: ReadonlyMap<string, T>): readonly (readonly [string, T])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

test('whatever comes, goes and is edited, selection comes to what it comes to one node at a time', () => {
  const random = new Random(seedOfRun());
  for (let history = 0; history < packetsOfRun(30, 1_000); history += 1) {
    let nowMs = 0;
    const matching = new Matching(() => {
      nowMs += random.below(3);
      return nowMs;
    });
    const profiles = new Map<string, LocalDnsProfile>();
    const nodes = new Map<string, NodeFacts>();
    for (let step = 0; step < 40; step += 1) {
      for (let more = random.below(3); more >= 0; more -= 1) {
        if (random.once(2)) change(nodes, `n${random.below(40)}`, random, (name) => anyNode(name, random));
        else change(profiles, `p${random.below(8)}`, random, (name) => anyProfile(name, random));
      }
      const world = [[...profiles.values()], [...nodes.values()]] as const;
      // Time may be up at any selector, and the world another when it goes on.
      if (!matching.goOn(...world, random.pick([0, 5, Number.POSITIVE_INFINITY]))) continue;
      assert.deepEqual(
        told(matching.selection(...world)),
        plainly(...world),
        `seed ${random.seed}, ${history}/${step}`,
      );
    }
  }
});

function change<T>(all: Map<string, T>, name: string, random: Random, make: (name: string) => T): void {
  if (random.once(4)) all.delete(name);
  else all.set(name, make(name));
}

const values = ['a', 'b', 'c'];
const keys = ['k', 'l', 'constructor'];

function anyNode(name: string, random: Random): NodeFacts {
  const labels: Record<string, string> = {};
  for (const key of keys) if (random.once(2)) labels[key] = random.pick(values);
  if (random.once(8)) labels['kubernetes.io/os'] = random.pick(['linux', 'windows']);
  if (random.once(6)) labels['localdns.dev/profile'] = random.pick(['none', 'p1', 'p2', 'lost']);
  return nodeFacts({ metadata: { name, labels } });
}

function anyProfile(name: string, random: Random): LocalDnsProfile {
  const requirement = () => {
    const operator = random.pick(['In', 'NotIn', 'Exists', 'DoesNotExist'] as const);
    const listed = [random.pick(values), random.pick(values)];
    return { key: random.pick(keys), operator, ...(operator.endsWith('In') && { values: listed }) };
  };
  const nodeSelector = {
    ...(random.once(3) && { matchLabels: { [random.pick(keys)]: random.pick(values) } }),
    ...(random.once(2) && { matchExpressions: Array.from({ length: random.below(3) }, requirement) }),
  };
  const createdAt = `2026-01-0${1 + random.below(3)}T00:00:00Z`;
  const { metadata, spec } = profile(name, {}, createdAt);
  return {
    metadata: { ...metadata, ...(random.once(6) && { deletionTimestamp: '2026-02-01T00:00:00Z' }) },
    spec: { ...spec, priority: random.below(2), ...(!random.once(6) && { nodeSelector }) },
  };
}

/** Of a matching: how many nodes each selector was matched with, in turn. */
function counting(): { readonly matching: Matching; readonly matched: () => number[]; pass: (ms: number) => void } {
  let matched: number[] = [];
  let [nowMs, stepMs] = [0, 0];
  const match = (index: LabelIndex, selector: object) => {
    matched.push(index.nodes.size);
    nowMs += stepMs;
    return index.matching(selector);
  };
  const pass = (ms: number) => {
    stepMs = ms;
  };
  const take = () => {
    const all = matched;
    matched = [];
    return all;
  };
  return { matching: new Matching(() => nowMs, match), matched: take, pass };
}

test('a change costs what it touches: a selector that is new, or a node whose labels are', () => {
  const { matching, matched } = counting();
  const nodes = ['x', 'y', 'z'].map((name) => nodeFacts({ metadata: { name, labels: { pool: name } } }));
  const selecting = (pool: string, more: ProfileSpec = {}) => ({ nodeSelector: { matchLabels: { pool } }, ...more });
  const profiles = ['x', 'y', 'z'].map((pool) => profile(pool, selecting(pool)));
  const costOf = (...world: [LocalDnsProfile[], NodeFacts[]]) => {
    assert.ok(matching.goOn(...world, 0));
    return matched();
  };
  assert.deepEqual(costOf(profiles, nodes), [3, 3, 3], 'all is new');
  assert.deepEqual(costOf(profiles, nodes), []);
  const edited = [profile('x', selecting('x', { priority: 1 })), ...profiles.slice(1)];
  assert.deepEqual(costOf(edited, nodes), [], 'an edit that is not of the selector');
  const moved = [profile('x', selecting('y')), ...profiles.slice(1)];
  assert.deepEqual(costOf(moved, nodes), [3], 'an edit of one selector');
  const away = [nodeFacts({ metadata: { name: 'x', labels: { pool: 'x' } }, spec: { unschedulable: true } })];
  assert.deepEqual(costOf(moved, [...away, ...nodes.slice(1)]), [], 'a node whose labels stay');
  const joined = [...nodes, nodeFacts({ metadata: { name: 'new', labels: { pool: 'z' } } })];
  assert.deepEqual(costOf(moved, joined), [1, 1, 1], 'a node that joins');
  assert.deepEqual(costOf(moved.slice(1), joined.slice(1)), [], 'what goes');
});

test('a node that takes the place of one that is gone is looked at, though it has the same labels', () => {
  const matching = new Matching(() => 0);
  const choiceOf = (profiles: LocalDnsProfile[], name: string, labels?: Record<string, string>) => {
    const world = [profiles, labels === undefined ? [] : [nodeFacts({ metadata: { name, labels } })]] as const;
    assert.ok(matching.goOn(...world, 0));
    return matching.selection(...world).choices.get(name);
  };
  const labels = { pool: 'a' };
  assert.deepEqual(choiceOf([], 'before', labels), { kind: 'none' });
  // That selector is new while nobody is there.
  assert.equal(choiceOf([profile('p', pool)], 'before'), undefined);
  assert.deepEqual(choiceOf([profile('p', pool)], 'after', labels), { kind: 'profile', profile: 'p' });
});

test('what takes long is done a part at a time, each at least one selector, and nothing of it twice', () => {
  const { matching, matched, pass } = counting();
  const profiles = ['a', 'b', 'c', 'd', 'e'].map((name) => profile(name, pool));
  const nodes = [node()];
  pass(20);
  assert.ok(!matching.goOn(profiles, nodes, 30));
  assert.equal(matched().length, 2);
  pass(50);
  assert.ok(!matching.goOn(profiles, nodes, 30));
  assert.equal(matched().length, 1);
  pass(0);
  assert.ok(matching.goOn(profiles, nodes, 30));
  assert.equal(matched().length, 2);
});
