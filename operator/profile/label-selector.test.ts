import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LabelSelector, ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { keysOf, LabelIndex, matches } from './label-selector.ts';

const ways: Readonly<Record<string, typeof matches>> = {
  'one node': matches,
  'many at once': (selector, labels) => {
    const index = new LabelIndex(new Set(keysOf(selector)));
    index.add(7, labels);
    // Two words further on, so that an answer is about this node and none beside it.
    index.add(71, labels);
    const found = [...index.matching(selector)];
    assert.ok(found.length === 0 || found.join() === '7,71', found.join());
    return found.length > 0;
  },
};

for (const [way, matches] of Object.entries(ways)) {
  test(`${way}: selectors mean what they mean in Kubernetes (LabelSelector, meta/v1)`, () => {
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

  test(`${way}: a key that every object has by itself is no label`, () => {
    for (const key of ['constructor', 'toString', 'valueOf', '__proto__']) {
      assert.equal(matches({ matchExpressions: [{ key, operator: 'Exists' }] }, {}), false, key);
      assert.equal(matches({ matchExpressions: [{ key, operator: 'DoesNotExist' }] }, {}), true, key);
      assert.equal(matches({ matchLabels: { [key]: 'x' } }, { [key]: 'x' }), true, key);
    }
  });
}

test('only what is asked for is looked up, by its own name', () => {
  const index = new LabelIndex(new Set(['k']));
  index.add(0, { k: 'a' });
  index.add(1, { k: 'b' });
  index.add(2, {});
  const found = (selector: LabelSelector) => [...index.matching(selector)];
  const among = (operator: 'In' | 'NotIn', ...values: string[]) => ({
    matchExpressions: [{ key: 'k', operator, values }],
  });
  assert.deepEqual(found({}), [0, 1, 2]);
  assert.deepEqual(found(among('In', 'a', 'b', 'b')), [0, 1]);
  assert.deepEqual(found(among('NotIn', 'b', 'b')), [0, 2]);
  assert.deepEqual(found({ matchExpressions: [{ key: 'k', operator: 'Exists' }] }), [0, 1]);
  assert.deepEqual(found({ matchExpressions: [{ key: 'k', operator: 'DoesNotExist' }] }), [2]);
});
