import { deepEqual, ok } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { byRendezvous } from './rendezvous.ts';

const nodes = Array.from({ length: 5_000 }, (_, index) => `pool-${index % 7}-vmss${String(index).padStart(6, '0')}`);
const few = 3;

function servers(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `10.244.${index % 13}.${index + 2}:53`);
}

/** How many nodes have each server among their first `places`. */
function shares(among: readonly string[], places: number, of = nodes): number[] {
  const counts = new Map(among.map((server) => [server, 0]));
  for (const node of of) {
    for (const server of byRendezvous(node, among).slice(0, places)) counts.set(server, (counts.get(server) ?? 0) + 1);
  }
  return [...counts.values()];
}

/** As even as throws of dice: no share is further from the mean than 4.5 times its root. */
function isEven(counts: readonly number[], what: string): void {
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  for (const count of counts) {
    ok(Math.abs(count - mean) <= 4.5 * Math.sqrt(mean), `${what}: ${count} where the mean is ${mean}`);
  }
}

suite('5,000 nodes', () => {
  for (const count of [2, 3, 4, 5, 10, 25, 50]) {
    test(`spread evenly over ${count} servers, as their first choice and as one of three`, () => {
      isEven(shares(servers(count), 1), 'first');
      isEven(shares(servers(count), Math.min(few, count)), 'one of three');
    });
  }

  test('a server that goes moves its own share alone, evenly over the others', () => {
    const all = servers(10);
    const [gone = '', ...left] = all;
    const moved = nodes.filter((node) => byRendezvous(node, all).slice(0, few).includes(gone));
    const newcomers: string[] = [];
    for (const node of nodes) {
      const before = byRendezvous(node, all);
      deepEqual(
        byRendezvous(node, left),
        before.filter((server) => server !== gone),
      );
      if (before.slice(0, few).includes(gone)) newcomers.push(before[few] ?? '');
    }
    isEven(shares(all, few).slice(1), 'before');
    isEven(
      left.map((server) => newcomers.filter((newcomer) => newcomer === server).length),
      'moved',
    );
    ok(moved.length === newcomers.length && moved.length < nodes.length * 0.34);
  });

  test('in whatever order the servers are known', () => {
    for (const node of nodes.slice(0, 100)) {
      deepEqual(byRendezvous(node, servers(9).reverse()), byRendezvous(node, servers(9)));
    }
  });
});
