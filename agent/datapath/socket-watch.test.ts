import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SocketWatch } from './socket-watch.ts';

function conclusions(...looks: [passed: number, received: number, answering?: boolean][]): boolean[] {
  const watch = new SocketWatch();
  return looks.map(([passed, received, answering = true]) => watch.observe(passed, received, answering));
}

test('what passes the rules and reaches the sockets is fine; the agent may receive more than the rules have seen', () => {
  assert.deepEqual(conclusions([0, 0], [100, 100], [200, 195], [300, 900]), [false, false, false, false]);
});

test('most lost at two looks in a row is a finding; once, or too few to tell, is none', () => {
  assert.deepEqual(conclusions([0, 0], [100, 10], [200, 20]), [false, false, true]);
  assert.deepEqual(conclusions([0, 0], [100, 10], [200, 110], [300, 115]), [false, false, false, false]);
  assert.deepEqual(conclusions([0, 0], [5, 0], [10, 0], [15, 0]), [false, false, false, false]);
  // Few at a time add up.
  assert.deepEqual(conclusions([0, 0], [15, 0], [30, 0], [45, 0], [60, 0]), [false, false, false, false, true]);
});

test('counts that begin anew, with a new table, are no loss', () => {
  assert.deepEqual(conclusions([0, 0], [1000, 1000], [0, 1000], [100, 1100]), [false, false, false, false]);
  // And what is lost from there on is seen.
  const looks: [number, number][] = [0, 100, 200].map((passed) => [passed, 1000 + passed / 20]);
  assert.deepEqual(conclusions([0, 0], [1000, 1000], ...looks), [false, false, false, false, true]);
});

test('while another agent has the addresses, its queries pass, and are none that we lack', () => {
  const looks: [number, number, boolean][] = [300, 500, 700].map((passed) => [passed, 100, false]);
  assert.deepEqual(conclusions([0, 0], [100, 100], ...looks, [900, 110], [1000, 210]), Array(7).fill(false));
});

test('what the sockets had received before the first look does not count', () => {
  assert.deepEqual(conclusions([50, 5000], [150, 5010], [250, 5020]), [false, false, true]);
});
