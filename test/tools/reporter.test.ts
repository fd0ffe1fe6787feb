import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';

const folder = mkdtempSync(join(tmpdir(), 'localdns-reporter-'));
after(() => rmSync(folder, { recursive: true }));

function runTests(name: string, source: string): { stdout: string; totals: unknown } {
  const file = join(folder, `${name}.test.mjs`);
  const totals = join(folder, `${name}.totals`);
  writeFileSync(file, source);
  const reporter = join(import.meta.dirname, 'reporter.ts');
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const args = ['--test', `--test-reporter=${reporter}`, '--test-reporter-destination=stdout', basename(file)];
  const { stdout } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    cwd: folder,
    env: { ...env, LOCALDNS_TEST_TOTALS: totals },
    timeout: 30_000,
  });
  return { stdout, totals: JSON.parse(readFileSync(totals, 'utf8')) };
}

test('a failed test is told with its place, its difference and what its file had printed', () => {
  const { stdout, totals } = runTests(
    'failed',
    `import { test } from 'node:test';
     import assert from 'node:assert';
     test('good', () => {});
     import { afterEach } from 'node:test';
     afterEach((context) => { if (!context.passed) console.log('said after'); });
     test('answers', () => { console.error('said before'); assert.deepEqual({ ttl: 30 }, { ttl: 5 }); });`,
  );
  assert.deepEqual(totals, { passed: 1, failed: 1, skipped: 0, failures: ['answers'] });
  assert.match(stdout, /FAILED failed\.test\.mjs:6 answers/);
  assert.match(stdout, /ttl: 30/);
  assert.match(stdout, /ttl: 5/);
  assert.match(stdout, /said before/);
  assert.match(stdout, /said after/);
});

test('a file that cannot be loaded is a failure, and what Node said about it is shown', () => {
  const { stdout, totals } = runTests('unloadable', `import './nowhere.mjs';`);
  assert.deepEqual(totals, { passed: 0, failed: 1, skipped: 0, failures: ['unloadable.test.mjs'] });
  assert.match(stdout, /Cannot find module .*nowhere\.mjs/);
});

test('suites are not counted, tests inside them are, and a failing hook is', () => {
  const { totals, stdout } = runTests(
    'suites',
    `import { before, describe, test } from 'node:test';
     describe('one', () => { test('a', () => {}); test('b', { skip: 'no network' }, () => {}); });
     describe('two', () => { before(() => { throw new Error('no cluster'); }); test('c', () => {}); });`,
  );
  assert.match(stdout, /no cluster/);
  assert.match(stdout, /skipped suites\.test\.mjs:2 b: no network/);
  const { passed, failed, skipped } = totals as { passed: number; failed: number; skipped: number };
  assert.equal(passed, 1);
  assert.equal(skipped, 1);
  assert.ok(failed >= 1);
});

test('a table that a file prints is shown where its tests pass as well, and nothing else of what it prints', () => {
  const { stdout } = runTests(
    'measured',
    `import { test } from 'node:test';
     test('fast', () => { console.log('noise\\n| event | lost |\\n|---|---|\\n| kill | 3 |'); });`,
  );
  assert.match(stdout, /^\| event \| lost \|\n\|---\|---\|\n\| kill \| 3 \|$/m);
  assert.doesNotMatch(stdout, /noise/);
});
