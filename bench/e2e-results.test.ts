import { equal, match, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { brisk } from '../test/e2e/served-cluster.ts';
import { figures, outcomeWords, page } from './e2e-results.ts';

const circumstances = { commit: 'c', takenAt: '2026-01-01T00:00:00Z', node: 'v26', machine: 'm', load: 1 };

test('page and guide say how many tests took the figures, and name those that failed', () => {
  const outcome = { passed: 7, failed: 2, skipped: 1, failures: ['kill -9', 'a reboot'] };
  const words = 'Of the tests that took this 7 passed, 2 failed and 1 did not run. Failed: “kill -9”, “a reboot”.';
  equal(outcomeWords(outcome), words);
  for (const written of [page, figures]) {
    const lines = written({ circumstances, rows: [], facts: [], outcome }).split('\n');
    ok(lines.includes(words), lines.join('\n'));
  }
});

test('a run without a failure names none, and one that was cut off has counted nothing', () => {
  const outcome = { passed: 7, failed: 0, skipped: 0, failures: [] };
  equal(outcomeWords(outcome), 'Of the tests that took this 7 passed, 0 failed and 0 did not run.');
  match(outcomeWords({ ...outcome, failed: 1 }), /Failed: one without a name\.$/);
  match(outcomeWords(null), /cut off/);
});

test('what counts until a profile is Programmed says how short its canary was', () => {
  const words = `\`rollout.canary.soakSeconds: ${brisk.canary.soakSeconds}\``;
  const guide = readFileSync(join(import.meta.dirname, '../docs/how-it-fails.md'), 'utf8');
  for (const text of [page({ circumstances, rows: [], facts: [], outcome: null }), guide]) ok(text.includes(words));
});
