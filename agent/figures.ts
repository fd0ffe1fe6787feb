/** What clients got of the listeners, read off their tallies: how many answers, how many of them failures, and how fast. */
import { firstRcodeCount, firstWaitCount, ListenerCount, placeOf, rcodeCounts } from './server/plan.ts';
import { placesPerOctave, waitBoundMicros, waitPlaces } from './server/waits.ts';
import { rcode } from './wire/header.ts';

export interface Figures {
  readonly answers: number;
  readonly servFails: number;
  /** Clients that waited for servers, by how long: see waits.ts. */
  readonly waits: readonly number[];
}

/** What the agent asks itself is answered under these reasons, and nobody else asks for it. */
const own = [placeOf('probe'), placeOf('identity')];
const places = Array.from({ length: waitPlaces }, (_, place) => place);
/** Of these alone a metric has buckets: each time series is one of every node. */
const bucketEnds = places.filter((place) => place % placesPerOctave === 0);

export function figuresOf(tallies: readonly Float64Array[]): Figures {
  const sum = (at: number) => tallies.reduce((total, counts) => total + (counts[at] ?? 0), 0);
  const all = Array.from({ length: rcodeCounts }, (_, code) => sum(firstRcodeCount + code));
  return {
    answers: total(all) - total(own.map(sum)),
    servFails: sum(firstRcodeCount + rcode.servFail),
    waits: places.map((place) => sum(firstWaitCount + place)),
  };
}

/** From one look at the tallies to a later one. */
export function between(from: Figures, to: Figures): Figures {
  return combine(from, to, (a, b) => b - a);
}

export function added(a: Figures, b: Figures): Figures {
  return combine(a, b, (one, other) => one + other);
}

function combine(a: Figures, b: Figures, by: (a: number, b: number) => number): Figures {
  return {
    answers: by(a.answers, b.answers),
    servFails: by(a.servFails, b.servFails),
    waits: a.waits.map((wait, place) => by(wait, b.waits[place] ?? 0)),
  };
}

/** Microseconds in which 99 of 100 waits were over, as if those in one place were spread over it evenly; 0 where nobody waited. */
export function p99Micros({ waits }: Figures): number {
  let rest = total(waits) * 0.99;
  for (const [place, count] of waits.entries()) {
    if (count > 0 && rest <= count) {
      const above = place === 0 ? 0 : waitBoundMicros(place - 1);
      const below = waitBoundMicros(place);
      return Math.round(Number.isFinite(below) ? above + ((below - above) * rest) / count : above);
    }
    rest -= count;
  }
  return 0;
}

export function waited({ waits }: Figures): number {
  return total(waits);
}

export interface HistogramSample {
  metricName: string;
  labels: Record<string, string>;
  value: number;
}

/** The histogram of Prometheus: an answer that no client waited for took next to no time. */
export function answerSeconds(name: string, labels: Record<string, string>, counts: Float64Array): HistogramSample[] {
  const { answers, waits } = figuresOf([counts]);
  const count = Math.max(answers, total(waits));
  const atOnce = count - total(waits);
  const bucket = (le: string, value: number) => ({ metricName: `${name}_bucket`, labels: { ...labels, le }, value });
  return [
    ...bucketEnds.map((end) => bucket(String(waitBoundMicros(end) / 1e6), atOnce + total(waits.slice(0, end + 1)))),
    bucket('+Inf', count),
    { metricName: `${name}_sum`, labels, value: (counts[ListenerCount.waitedMs] ?? 0) / 1000 },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

function total(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}
