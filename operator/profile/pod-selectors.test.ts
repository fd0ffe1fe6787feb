import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Grant, grantsTo, meets, requirementsOf } from './pod-selectors.ts';

const labels = (matchLabels: Record<string, string>) => requirementsOf({ matchLabels });

function grant(requirements: ReadonlySet<string>, ...allowed: string[]): Grant {
  return { requirements, allowed: new Set(allowed) };
}

test('selectors ask for the same in whatever words and order', () => {
  const inWords = requirementsOf({
    matchExpressions: [
      { key: 'b', operator: 'In', values: ['2'] },
      { key: 'a', operator: 'In', values: ['1'] },
      { key: 'c', operator: 'NotIn', values: ['y', 'x'] },
    ],
  });
  const notIn = { key: 'c', operator: 'NotIn' as const, values: ['x', 'y'] };
  assert.deepEqual(inWords, requirementsOf({ matchLabels: { a: '1', b: '2' }, matchExpressions: [notIn] }));
  assert.deepEqual(requirementsOf({}), new Set());
  assert.notDeepEqual(labels({ a: '1' }), labels({ a: '2' }));
});

test('what is granted is granted to those who are asked for more, and to nobody else', () => {
  const to = grantsTo([
    grant(labels({}), 'all'),
    grant(labels({ app: 'web' }), 'web'),
    grant(labels({ app: 'web' }), 'web too'),
    grant(labels({ app: 'web', tier: 'front' }), 'front'),
    grant(labels({ tier: 'front' }), 'tier'),
  ]);
  const granted = (asked: Record<string, string>): string[] =>
    to(labels(asked))
      .flatMap((allowed) => [...allowed])
      .sort();
  assert.deepEqual(granted({}), ['all']);
  assert.deepEqual(granted({ app: 'web' }), ['all', 'web', 'web too']);
  assert.deepEqual(granted({ app: 'web', tier: 'front' }), ['all', 'front', 'tier', 'web', 'web too']);
  assert.deepEqual(granted({ app: 'other' }), ['all']);
});

test('each grant is compared with few selectors, however many there are', () => {
  let compared = 0;
  const counted = (requirements: ReadonlySet<string>): ReadonlySet<string> =>
    Object.assign(new Set(requirements), {
      isSubsetOf(other: ReadonlySet<string>) {
        compared += 1;
        return requirements.isSubsetOf(other);
      },
    });
  const selectors = Array.from({ length: 1_000 }, (_, at) => labels({ team: 'a', app: `a${at}` }));
  const to = grantsTo([...selectors, ...selectors].map((requirements) => grant(counted(requirements), 'x')));
  for (const requirements of selectors) assert.equal(to(requirements).length, 1);
  assert.equal(compared, 1_000);
});

test('a selector is about pods with given labels alone where it asks for all of them', () => {
  const dns = { 'k8s-app': 'kube-dns' };
  assert.equal(meets(labels({ 'k8s-app': 'kube-dns', a: '1' }), dns), true);
  assert.equal(meets(labels({ 'k8s-app': 'x' }), dns), false);
  assert.equal(meets(labels({}), dns), false);
});
