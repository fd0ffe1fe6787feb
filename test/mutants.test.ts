/** A breakage whose text is not there breaks nothing: code that moves takes its mutants along. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

interface Mutant {
  file: string;
  old: string;
  new: string;
  test: string;
}

const root = resolve(import.meta.dirname, '..');
const lists = join(import.meta.dirname, 'mutants');

/** Of each what keeps it from being one. */
function misaimed({ file, old, new: more, test }: Mutant, textOf: (path: string) => string | undefined): string[] {
  const count = (textOf(file) ?? '').split(old).length - 1;
  return [
    ...(count === 1 ? [] : [`${file} has it ${count} times: ${old}`]),
    ...(old === more ? [`${file} stays as it is: ${old}`] : []),
    ...(textOf(test) === undefined ? [`${test} is not there`] : []),
  ];
}

test('each mutant breaks one place, and names a test', () => {
  const text = (path: string) => (path === 'a.ts' ? 'one two two' : undefined);
  const mutant = (old: string, more = '', test = 'a.ts') =>
    misaimed({ file: 'a.ts', old, new: more, test }, text).length;
  assert.deepEqual(
    [mutant('one'), mutant('two'), mutant('three'), mutant('one', 'one'), mutant('one', '', 'b.ts')],
    [...[0, 1, 1, 1, 1]],
  );

  const known = new Map<string, string | undefined>();
  const textOf = (path: string) => {
    if (!known.has(path))
      known.set(path, existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined);
    return known.get(path);
  };
  const mutants = readdirSync(lists)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => JSON.parse(readFileSync(join(lists, name), 'utf8')) as Mutant[]);
  assert.deepEqual(
    mutants.flatMap((mutant) => misaimed(mutant, textOf)),
    [],
  );
});
