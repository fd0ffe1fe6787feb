/** A hundred nodes of all temperaments: what an operator costs with more of them is what `npm run bench -- operator` measures. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { LargeCluster, type Step } from './large-cluster.ts';
import { temperamentOf } from './temperament.ts';

const writesPerSecond = 50;
const nodes = 100;
/** One each of its stores, and for what it decides by another when it leads. */
const mostLists = 8;
const mostListsAtStart = mostLists + 5;
/** The API server counts by its own seconds, and may take up at once what has waited before it. */
const jitter = 1.5;

let cluster: LargeCluster;

before(async () => {
  cluster = await LargeCluster.start({ writesPerSecond, maxUnavailable: '34%' });
  await cluster.grow(nodes);
});

after(() => cluster?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(cluster?.lastWords);
});

test('among these nodes is one at least of each temperament', () => {
  const found = new Set(Array.from({ length: nodes }, (_, number) => temperamentOf(number)));
  assert.deepEqual([...found].sort(), ['away', 'dead', 'flapping', 'lying', 'slow', 'steady']);
});

test('an operator that starts reads everything once before it stands by, and at most once more when it leads, and writes each node and its mark once, at its rate', async () => {
  const step = await cluster.takeUp();
  assert.ok(step.lists <= mostListsAtStart, told(step));
  assert.ok((step.writes['patch nodes'] ?? 0) >= 80, told(step));
  keepsTheRules(step);
});

test('an edit reaches each node by one write, and costs little processor time, of which planning is the least', async () => {
  const step = await cluster.change();
  assert.equal(step.writes['patch nodes'], undefined, told(step));
  assert.ok((step.writes['patch localdnsnodes'] ?? 0) >= 90, told(step));
  assert.ok(step.cpuSeconds < 5 && step.planSeconds > 0 && step.planSeconds < 1, told(step));
  keepsTheRules(step);
});

test('who stood by reads everything once when the leader is told to end, acts less than two seconds later, and has nothing to write', async () => {
  const step = await cluster.handOver();
  assert.ok(step.lists <= mostListsAtStart && step.seconds < 2, told(step));
  assert.deepEqual(step.writes, {});
});

test('after an API server that was away each store reads once more at most, and nothing is written', async () => {
  const step = await cluster.outage();
  assert.ok(step.lists <= mostLists, told(step));
  assert.deepEqual(step.writes, {});
});

test('at rest nothing is asked and nothing written, whatever heartbeats there are', async () => {
  const step = await cluster.rest(5);
  assert.deepEqual([step.writes, step.lists], [{}, 0]);
  // The moment from which a node counts as away for long may be among them.
  assert.ok(step.plans <= 1, told(step));
});

function keepsTheRules(step: Step): void {
  for (const what of ['patch localdnsnodes', 'patch nodes'])
    assert.ok((step.mostPerObject[what] ?? 0) <= 1, told(step));
  assert.deepEqual(
    Object.keys(step.writes).filter((what) => what.includes(': 409')),
    [],
  );
  assert.ok(Math.max(...step.writesPerSecond) <= writesPerSecond * jitter, told(step));
  assert.ok(Math.max(...step.memory) <= 300, told(step));
}

function told(step: Step): string {
  return JSON.stringify({ ...step, memory: Math.max(...step.memory) });
}
