import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { matchesGlob, resolve } from 'node:path';
import { test } from 'node:test';
import { tiers } from './tiers.ts';

const root = resolve(import.meta.dirname, '../..');

test('every test file is run by one tier, and no more', () => {
  const files = globSync('{api,kube,operator,agent,cli,bin,bench,charts,docs,test}/**/*.test.ts', { cwd: root });
  assert.ok(files.length > 100, String(files.length));
  const runs = (file: string) => tiers.filter((tier) => tier.files.some((glob) => matchesGlob(file, glob)));
  const odd = files
    .map((file) => `${file}: ${runs(file).map(({ name }) => name)}`)
    .filter((line) => !/: \w+$/.test(line));
  assert.deepEqual(odd, []);
});
