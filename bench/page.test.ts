import { deepEqual, match } from 'node:assert/strict';
import { test } from 'node:test';
import { shareVerdict, verdict } from './page.ts';
import { verdicts } from './results.ts';
import { changeVerdict } from './speed-results.ts';

test('a goal is met up to its bound, and by nothing that was not measured', () => {
  match(verdict('first answer', 299.9, 'below', 300, 'ms'), /: 299\.90 ms; the goal, below 300, is met\.$/);
  match(verdict('first answer', 300, 'below', 300, 'ms'), /is missed\.$/);
  match(verdict('memory', 90, 'at most', 90, 'MiB'), /the goal, at most 90, is met\.$/);
  match(verdict('memory', undefined, 'at most', 90, 'MiB'), /is missed\.$/);
});

test('ours is compared with another’s round by round, and said in the words of every goal', () => {
  const rounds = (server: string, ...micros: number[]) => micros.map((cpuMicros) => ({ server, cpuMicros }));
  const readings = [...rounds('LocalDNS', 5, 12, 6), ...rounds('unbound', 10, 10, 10)];
  match(shareVerdict(readings, 'unbound', 0.6), /takes 0\.60 \[0\.50, 1\.20\] .*; the goal, at most 0\.6, is met\.$/);
  match(shareVerdict(readings, 'unbound', 0.5), /is missed\.$/);
  const lossy = readings.map((reading) => ({ ...reading, lost: Number(reading.server === 'LocalDNS') }));
  match(shareVerdict(lossy, 'unbound', 0.6), /is missed\.$/);
});

test('start and memory end with what their goals have come to', () => {
  const series = (variant: string, quantity: string, ...readings: number[]) => ({
    ...{ variant, quantity, readings },
    unit: 'ms' as const,
  });
  deepEqual(
    verdicts('start', [series('bundled', 'first answer', 310, 290, 295), series('from source', 'first answer', 1_000)]),
    [
      '- bundled, first answer: 295.00 ms; the goal, below 300, is met.',
      '- from source, first answer: 1000.00 ms; the goal, below 1000, is missed.',
      '',
    ],
  );
  deepEqual(verdicts('entry-memory', []), []);
});

test('p99 under change is compared with that at rest round by round', () => {
  const rounds = (how: 'at rest' | 'under change', changes: number, ...micros: number[]) =>
    micros.map((p99, index) => ({
      ...{ how, p99, round: index + 1 },
      swaps: changes,
      scrapes: changes,
      lost: 0,
      p50: 1,
      p999: 1,
    }));
  const readings = [...rounds('at rest', 0, 100, 600, 300), ...rounds('under change', 100, 210, 300, 700)];
  // Of the medians it would be 1.
  match(changeVerdict(readings), /: 2\.10 \[0\.50, 2\.33\] of p99 at rest; the goal, below 2, is missed\.$/);
  match(changeVerdict([...rounds('at rest', 0, 100), ...rounds('under change', 0, 100)]), /is missed\.$/);
});
