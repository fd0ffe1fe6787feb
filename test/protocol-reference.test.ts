import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');
const page = readFileSync(join(root, 'docs/protocol.md'), 'utf8');
const rows = page.split('\n').filter((line) => /^\| \d/.test(line));
const tests = globSync('test/conformance/rfc*/*.test.ts', { cwd: root }).map((path) =>
  path.replace('test/conformance/', '').replace('.test.ts', ''),
);
const named = (row: string) => [...row.matchAll(/`(rfc\d+\/[\w*-]+)`/g)].map(([, name]) => name as string);
const isNamed = (name: string) => rows.some((row) => named(row).some((one) => one === name || one === starred(name)));
const starred = (name: string) => `${name.split('/')[0]}/*`;

test('each line of the page names its tests, and they exist', () => {
  assert.ok(rows.length > 20);
  for (const row of rows) {
    const proofs = named(row);
    assert.ok(proofs.length > 0, row);
    for (const proof of proofs) {
      assert.ok(
        tests.some((name) => name === proof || starred(name) === proof),
        `there is no test/conformance/${proof}.test.ts`,
      );
    }
  }
});

test('each conformance test stands in a line of the page, and its RFC is one that it quotes', () => {
  for (const name of tests) {
    assert.ok(isNamed(name), `docs/protocol.md does not name ${name}`);
    const rfc = name.slice('rfc'.length, name.indexOf('/'));
    const text = readFileSync(join(root, `test/conformance/${name}.test.ts`), 'utf8');
    assert.match(text.slice(0, text.indexOf('*/')), new RegExp(`RFC ${rfc}\\b`), name);
  }
});
