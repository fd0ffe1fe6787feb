import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'localdns-launcher-'));
after(() => rmSync(folder, { recursive: true }));

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, { optionalDependencies?: Record<string, string> }>;
};

/** A checkout with the launchers, and in place of each pinned Node a script that says what it is given. */
function checkout(name: string, packages: string[]): string {
  const home = join(folder, name);
  for (const launcher of ['node', 'localdns']) cpSync(join(root, 'bin', launcher), join(home, 'bin', launcher));
  for (const each of packages) {
    const path = join(home, 'node_modules', each, 'bin');
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'node'), '#!/bin/sh\necho "$$ $@"\n');
    chmodSync(join(path, 'node'), 0o755);
  }
  return home;
}

const pinned = Object.keys(lock.packages['']?.optionalDependencies ?? {});

test('the pinned Node runs without npm’s link to it, through links to the launcher, in the same process', () => {
  const home = checkout('good', pinned);
  const link = join(folder, 'kubectl-localdns');
  symlinkSync(join(home, 'bin/localdns'), link);
  const { stdout, pid } = spawnSync(link, ['query', 'a b'], { encoding: 'utf8' });
  assert.equal(stdout, `${pid} ${join(home, 'cli/main.ts')} query a b\n`);
});

test('without the pinned Node there is one line that says what to do, and exit code 2', () => {
  const { status, stderr } = spawnSync(join(checkout('bare', []), 'bin/localdns'), [], { encoding: 'utf8' });
  assert.equal(status, 2);
  assert.match(stderr, /^localdns: the pinned Node is missing: run 'npm ci' in .*\n$/);
});

test('the lock file knows every optional dependency that it names, or npm ci refuses it', () => {
  const missing = Object.entries(lock.packages).flatMap(([of, { optionalDependencies }]) =>
    Object.keys(optionalDependencies ?? {}).filter(
      (name) =>
        lock.packages[`node_modules/${name}`] === undefined &&
        lock.packages[`${of}/node_modules/${name}`] === undefined,
    ),
  );
  assert.deepEqual(missing, []);
});
