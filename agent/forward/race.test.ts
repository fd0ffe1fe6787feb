import { deepEqual, equal } from 'node:assert/strict';
import { mock, test } from 'node:test';
import { FakeClock } from '../../test/fake/clock.ts';
import { ednsQuery } from '../../test/fake/octets.ts';
import { FakeUpstreams } from '../../test/fake/upstream.ts';
import { Accept, Query } from '../wire/query.ts';
import { ClientShares } from './client-shares.ts';
import type { Outcome } from './outcome.ts';
import { deadlineMs, Race } from './race.ts';
import { Upstream, UpstreamCount, upstreamCounts } from './upstream.ts';

/** One server, asked over TCP, whose answer is cut off behind its header. */
function scene() {
  const clock = new FakeClock();
  const network = new FakeUpstreams(clock, ({ bytes, send }) => {
    const scrap = Buffer.from(bytes.subarray(0, 12));
    scrap.writeUInt16BE(0x8180, 2);
    send(scrap);
  });
  const counts = new Float64Array(upstreamCounts);
  const upstream = new Upstream({ address: '192.0.2.1', port: 53 }, true, network, clock, counts);
  const query = new Query();
  equal(query.parse(ednsQuery('a.example')), Accept.Yes);
  const outcomes: Outcome[] = [];
  const onEnd = (outcome: Outcome) => outcomes.push(outcome);
  const shares = new ClientShares(0);
  const terms = { clock, destination: 'somewhere', shares, reach: 1, sockets: new ClientShares(0), socketsPerRace: 0 };
  const race = new Race(query.detach(), '', [upstream], terms, onEnd);
  return { clock, counts, upstream, race, outcomes };
}

test('a reply that no client can be told is an answer of the server, is counted as unusable, and ends the query', async () => {
  const { clock, counts, race, outcomes } = scene();
  race.begin();
  deepEqual(
    outcomes.map((outcome) => outcome.kind === 'failed' && outcome.reason),
    ['192.0.2.1 sent a malformed answer'],
  );
  deepEqual([counts[UpstreamCount.answers], counts[UpstreamCount.unusable]], [1, 1]);
  await clock.advance(10_000);
  equal(outcomes.length, 1);
  equal(clock.pending, 0);
});

test('a bug in judging a reply ends that query, and is told as one', async () => {
  const { clock, upstream, race, outcomes } = scene();
  mock.method(upstream, 'sentUnusable', () => {
    throw new Error('a bug');
  });
  race.begin();
  deepEqual(
    outcomes.map((outcome) => outcome.kind === 'broken' && String(outcome.error)),
    ['Error: a bug'],
  );
  await clock.advance(10_000);
  equal(outcomes.length, 1);
});

test('a query ends by its deadline, also where a transport tells nothing of what it was asked', async () => {
  const { clock, upstream, race, outcomes } = scene();
  mock.method(upstream, 'ask', () => {});
  race.begin();
  await clock.advance(deadlineMs - 1);
  equal(outcomes.length, 0);
  await clock.advance(1);
  deepEqual(
    outcomes.map((outcome) => outcome.kind === 'failed' && outcome.reason),
    ['no server of somewhere answered'],
  );
  equal(clock.pending, 0);
});
