import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { ClientShares } from './client-shares.ts';

/** How many of `count` queries are let in. */
function ask(shares: ClientShares, client: string, count: number): number {
  let entered = 0;
  for (let query = 0; query < count; query += 1) {
    if (shares.excess(client) !== undefined) continue;
    shares.enter(client);
    entered += 1;
  }
  return entered;
}

test('one client may have three quarters, and the rest is there for those who come', () => {
  const shares = new ClientShares(1_000);
  equal(ask(shares, 'flood', 5_000), 750);
  equal(shares.excess('flood'), 'share');
  for (let client = 0; client < 50; client += 1) equal(ask(shares, `pod${client}`, 5), 5);
  equal(shares.inFlight, 1_000);
  equal(shares.excess('late'), 'all');
});

test('several floods together leave the same room', () => {
  const shares = new ClientShares(1_000);
  const floods = ['a', 'b', 'c', 'd', 'e'];
  for (let round = 0; round < 1_000; round += 1) for (const flood of floods) ask(shares, flood, 1);
  deepEqual(
    floods.map((flood) => shares.heldBy(flood)),
    Array(5).fill(166),
  );
  equal(ask(shares, 'pod', 5), 5);
});

test('what ends makes room, and a client without queries is forgotten', () => {
  const shares = new ClientShares(8);
  equal(ask(shares, 'flood', 100), 6);
  equal(ask(shares, 'pod', 100), 2);
  const flood = shares.enter('flood');
  for (let query = 0; query < 7; query += 1) shares.leave(flood);
  equal(ask(shares, 'pod', 100), 4);
  deepEqual([shares.inFlight, shares.heldBy('flood')], [6, 0]);
});

test('clients that are gone take no part of what is shared out', () => {
  const shares = new ClientShares(100);
  for (let client = 0; client < 20; client += 1) {
    shares.leave(shares.enter(`gone${client}`));
  }
  equal(ask(shares, 'flood', 200), 75);
  equal(ask(shares, 'pod', 200), 25);
});

test('a bound of few is shared out as it is asked for, and 0 is no bound', () => {
  equal(ask(new ClientShares(3), 'one', 100), 3);
  equal(ask(new ClientShares(0), 'one', 100), 100);
});

test('what counts for several takes as many parts, and gives them back one by one', () => {
  const shares = new ClientShares(40);
  for (const _ of [1, 2, 3]) {
    equal(shares.excess('flood', 10), undefined);
    shares.enter('flood', 10);
  }
  equal(shares.excess('flood', 10), 'share');
  equal(shares.excess('pod', 10), undefined);
  const pod = shares.enter('pod', 10);
  equal(shares.excess('third', 1), 'all');
  shares.leave(pod, 9);
  deepEqual([shares.inFlight, shares.heldBy('pod')], [31, 1]);
  shares.leave(pod);
  // Of few parts nobody could have one that counts for many.
  const few = new ClientShares(8);
  few.enter('one', 3);
  equal(few.excess('two', 5), undefined);
});
