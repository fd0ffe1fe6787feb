import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spread } from './spread.ts';

const pool = (zone: string, name: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({ zone, pool: name, name: `${zone}-${name}-${index}` }));
const nodes = [...pool('z1', 'a', 3), ...pool('z2', 'a', 3), ...pool('z2', 'b', 3), ...pool('z3', 'a', 2)];

test('it takes from every zone in turn, and within a zone from every pool', () => {
  assert.deepEqual(
    spread(nodes, 6).map(({ name }) => name),
    ['z1-a-0', 'z2-a-0', 'z3-a-0', 'z1-a-1', 'z2-b-0', 'z3-a-1'],
  );
});

test('it takes the same whatever order they come in, and no more than there are', () => {
  assert.deepEqual(spread([...nodes].reverse(), 4), spread(nodes, 4));
  assert.equal(new Set(spread(nodes, 100)).size, nodes.length);
  assert.deepEqual(spread(nodes, 0), []);
});

test('batches of one node go to another zone each, and in it to another pool', () => {
  const taken: (typeof nodes)[number][] = [];
  for (let batch = 0; batch < 9; batch += 1) {
    const left = nodes.filter((node) => !taken.includes(node));
    taken.push(...spread(left, 1, taken));
  }
  assert.equal(taken.map(({ zone }) => zone).join(' '), 'z1 z2 z3 z1 z2 z3 z1 z2 z2');
  assert.equal(
    taken
      .filter(({ zone }) => zone === 'z2')
      .map(({ pool }) => pool)
      .join(' '),
    'a b a b',
  );
});
