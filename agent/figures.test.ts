import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../test/fake/agent.ts';
import { settle } from '../test/fake/clock.ts';
import { buildQuery } from '../test/fake/message.ts';
import { added, between, figuresOf, p99Micros, waited } from './figures.ts';
import { Metrics } from './metrics.ts';
import { bump, bumpWait, firstRcodeCount, listenerCounts, placeOf } from './server/plan.ts';
import { Tallies } from './tallies.ts';

test('clients that asked a server have waited for it, whoever else asks is answered at once', async () => {
  const agent = new FakeAgent({ root: { serveStale: 'Verify', cacheDurationInSeconds: 60 } });
  const figures = () => figuresOf([agent.counts]);
  const asked = agent.ask(buildQuery({ name: 'www.example' }));
  const shared = agent.ask(buildQuery({ name: 'www.example' }));
  await agent.clock.advance(20);
  agent.upstream.last.answer({ answers: ['www.example 60 A 192.0.2.1'] });
  await settle();
  ok(asked.answer !== undefined && shared.answer !== undefined);
  deepEqual([figures().answers, waited(figures())], [2, 2]);
  equal(agent.count('waitedMs'), 40);
  agent.ask(buildQuery({ name: 'www.example' }));
  deepEqual([figures().answers, waited(figures())], [3, 2]);
  // Stale, and only once the server has been asked in vain.
  await agent.clock.advance(60_000);
  const stale = agent.ask(buildQuery({ name: 'www.example' }));
  await agent.clock.advance(5_000);
  ok(stale.answer !== undefined);
  deepEqual([figures().answers, waited(figures()), figures().servFails], [4, 3, 0]);
  agent.ask(buildQuery({ name: 'other.example' }));
  await agent.clock.advance(5_000);
  deepEqual([figures().answers, waited(figures()), figures().servFails], [5, 4, 1]);
  ok(p99Micros(figures()) > 1_500_000);
});

test('what the agent asks itself is no query of a client', () => {
  const counts = new Float64Array(listenerCounts);
  bump(counts, firstRcodeCount, 10);
  bump(counts, placeOf('probe'), 6);
  bump(counts, placeOf('identity'), 3);
  equal(figuresOf([counts]).answers, 1);
});

/** Waits of so many milliseconds, as a listener's tally has them. */
function waitsOf(...waits: number[]): Float64Array {
  const counts = new Float64Array(listenerCounts);
  for (const ms of waits) {
    bump(counts, firstRcodeCount);
    bumpWait(counts, ms);
  }
  return counts;
}

test('the 99th percentile of the waits is known within a quarter, however many were answered at once', () => {
  for (const ms of [0.05, 0.3, 7, 123, 1_900]) {
    const counts = waitsOf(...Array.from({ length: 97 }, () => ms / 10), ms, ms, ms);
    bump(counts, firstRcodeCount, 1e6);
    const found = p99Micros(figuresOf([counts])) / 1000;
    ok(found > ms / 1.25 && found < Math.max(ms * 1.25, 0.065), `${found} for ${ms}`);
  }
  equal(p99Micros(figuresOf([waitsOf()])), 0);
  const slow = p99Micros(figuresOf([waitsOf(10_000)]));
  ok(slow > 4_000_000 && slow < 5_000_000, 'what is beyond all places is at least as long');
});

test('figures of two listeners are one, and the time between two looks is what came since', () => {
  const first = figuresOf([waitsOf(1, 1), waitsOf(100)]);
  const later = figuresOf([waitsOf(1, 1, 1), waitsOf(100)]);
  deepEqual([first.answers, between(first, later).answers, waited(between(first, later))], [3, 1, 1]);
  deepEqual(added(first, between(first, later)), later);
});

test('Prometheus gets a histogram: those who did not wait are in its first bucket', async () => {
  const metrics = new Metrics('1.2.3');
  const counts = new Tallies((notice) => metrics.add(notice)).open('listener', { listener: 'cluster' }, listenerCounts);
  bump(counts, firstRcodeCount, 5);
  bump(counts, placeOf('probe'), 2);
  bumpWait(counts, 1.5);
  const lines = (await metrics.expose()).split('\n').filter((line) => line.includes('localdns_answer_seconds'));
  const value = (start: string) =>
    Number(
      lines
        .find((line) => line.startsWith(start))
        ?.split(' ')
        .at(-1),
    );
  ok(lines.includes('# TYPE localdns_answer_seconds histogram'), lines.join('\n'));
  const bucket = (le: string) => value(`localdns_answer_seconds_bucket{listener="cluster",le="${le}"}`);
  deepEqual([bucket('0.000064'), bucket('0.001024'), bucket('0.002048'), bucket('+Inf')], [2, 2, 3, 3]);
  deepEqual([value('localdns_answer_seconds_sum'), value('localdns_answer_seconds_count')], [0.0015, 3]);
});
