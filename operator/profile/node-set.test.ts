import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random, seedOfRun } from '../../test/fuzz/random.ts';
import { NodeSet } from './node-set.ts';

function setOf(numbers: Iterable<number>): NodeSet {
  const set = new NodeSet();
  for (const number of numbers) set.add(number);
  return set;
}

test('a set of nodes is a set, whatever lies between its numbers', () => {
  const random = new Random(seedOfRun());
  for (let round = 0; round < 200; round += 1) {
    const most = random.pick([1, 33, 64, 300]);
    const some = () => new Set(Array.from({ length: random.below(40) }, () => random.below(most)));
    const [a, b] = [some(), some()];
    const [one, two] = [setOf(a), setOf(b)];
    const inOrder = (numbers: ReadonlySet<number>) => [...numbers].sort((x, y) => x - y);
    assert.deepEqual([...one], inOrder(a));
    assert.deepEqual([...one.union(two)], inOrder(a.union(b)));
    assert.deepEqual([...one.intersection(two)], inOrder(a.intersection(b)));
    assert.deepEqual([...one.difference(two)], inOrder(a.difference(b)));
    assert.equal(one.meets(two), !a.isDisjointFrom(b));
    assert.equal(one.size, a.size);
    assert.equal(one.isEmpty, a.size === 0);
    assert.deepEqual(one.first(3), inOrder(a).slice(0, 3));
    assert.deepEqual([...one], inOrder(a), 'and stays what it was');
  }
});
