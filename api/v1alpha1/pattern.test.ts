import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePattern, type Pattern } from './pattern.ts';

function compiled(text: string): Pattern {
  const pattern = compilePattern(text);
  assert.ok('matches' in pattern, JSON.stringify(pattern));
  return pattern;
}

test('a pattern matches the whole name, without regard to its own case', () => {
  const pattern = compiled('.*(ECR|lambda).*\\.amazonaws\\.com');
  assert.ok(pattern.matches('api.ecr.eu.amazonaws.com'));
  assert.ok(!pattern.matches('api.ecr.eu.amazonaws.com.example'));
  assert.ok(!compiled('ecr|lambda').matches('my.lambda'));
  assert.ok(compiled('^a\\.b$').matches('a.b'));
});

test('no name takes long, whatever the pattern says', () => {
  const name = 'a'.repeat(250);
  const startedAt = performance.now();
  for (const text of ['(a+)+b', '(a|a)*b', '(.*)*x', '(a?){250}a{250}b']) assert.ok(!compiled(text).matches(name));
  // One that backtracks would need longer than the world has existed.
  assert.ok(performance.now() - startedAt < 5_000);
});

test('what is no pattern is refused with what is wrong and the place of it', () => {
  for (const [text, error] of [
    ['a(?<=b)', 'invalid named capture at character 2: (?<=b)'],
    ['(a', 'missing closing ) at character 1: (a'],
    ['x{2,1}', 'invalid repeat count at character 2: {2,1}'],
    ['a\\', 'trailing backslash at end of expression at character 2'],
  ] as const) {
    assert.deepEqual(compilePattern(text), { error: `not a pattern of the RE2 syntax: ${error}` });
  }
});
