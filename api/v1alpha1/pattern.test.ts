import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { patternError, patternSet } from './pattern.ts';

test('a pattern matches the whole name, without regard to its own case', () => {
  const matching = patternSet(['.*(ECR|lambda).*\\.amazonaws\\.com', 'ecr|lambda', '^a\\.b$', 'a[.]b']);
  assert.deepEqual(matching('api.ecr.eu.amazonaws.com'), [0]);
  assert.deepEqual(matching('api.ecr.eu.amazonaws.com.example'), []);
  assert.deepEqual(matching('my.lambda'), []);
  assert.deepEqual(matching('lambda'), [1]);
  assert.deepEqual([...matching('a.b')].sort(), [2, 3]);
  assert.deepEqual(patternSet([])('a.b'), []);
});

test('no name takes long, whatever the pattern says', () => {
  const name = 'a'.repeat(250);
  const startedAt = performance.now();
  const matching = patternSet(['(a+)+b', '(a|a)*b', '(.*)*x', '(a?){250}a{250}b']);
  assert.deepEqual(matching(name), []);
  // One that backtracks would need longer than the world has existed.
  assert.ok(performance.now() - startedAt < 5_000);
});

test('what is no pattern is refused with what is wrong and the place of it', () => {
  for (const [text, error] of [
    ['a(?<=b)', 'invalid named capture at character 2: (?<=b)'],
    ['(a', 'missing closing ) at character 1: (a'],
    ['((a', 'missing closing ) at character 2: (a'],
    ['[(](a(b)', 'missing closing ) at character 4: (a(b)'],
    ['(\\(|\\Q(\\E)(?:a', 'missing closing ) at character 11: (?:a'],
    ['(a)[)]\\))b)', 'unexpected ) at character 9: )b)'],
    // The same text stands before it, where it is none of the kind.
    ['[x{2,1}]x{2,1}', 'invalid repeat count at character 10: {2,1}'],
    ['\\\\1\\1', 'invalid escape sequence at character 4: \\1'],
    ['[**]a**', 'invalid nested repetition operator at character 6: **'],
    ['(?P<a>a)(?P<a>b)', 'duplicate capture group name at character 13: a'],
    ['[:no:][[:no:]]', 'invalid character class range at character 8: [:no:]'],
    ['x{2,1}', 'invalid repeat count at character 2: {2,1}'],
    ['a\\', 'trailing backslash at end of expression at character 2'],
  ] as const) {
    assert.equal(patternError(text), `not a pattern of the RE2 syntax: ${error}`);
  }
});

test('what patterns cost in memory has a bound, whatever names come', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // Their machine has a state for each set of places at which a letter stood: thousands of them.
  const matching = patternSet([14, 15, 16, 17].map((behind, at) => `.*[${'acegikmoqsuwy'.slice(at)}].{${behind}}x`));
  collect();
  const before = process.memoryUsage().heapUsed;
  let seed = 1;
  const letter = () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return String.fromCharCode(97 + ((seed >> 8) % 26));
  };
  for (let name = 0; name < 400; name += 1) matching(Array.from({ length: 120 }, letter).join(''));
  collect();
  assert.ok(process.memoryUsage().heapUsed - before < 8 * 1024 * 1024);
  assert.deepEqual(matching('nothing'), []);
});
