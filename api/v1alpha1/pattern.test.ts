import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PatternBudget, patternSet } from './pattern.ts';

/** What it takes of the processor: how long it lasts is up to whoever else has one. */
function cpuMs(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}

test('a pattern matches the whole name, without regard to its own case', () => {
  const matching = patternSet(['.*(ECR|lambda).*\\.amazonaws\\.com', 'ecr|lambda', '^a\\.b$', 'a[.]b']);
  assert.deepEqual(matching('api.ecr.eu.amazonaws.com'), [0]);
  assert.deepEqual(matching('api.ecr.eu.amazonaws.com.example'), []);
  assert.deepEqual(matching('my.lambda'), []);
  assert.deepEqual(matching('lambda'), [1]);
  assert.deepEqual([...matching('a.b')].sort(), [2, 3]);
  assert.deepEqual(patternSet([])('a.b'), []);
});

test('no name takes long, whatever the patterns say and whoever made the name', () => {
  const patterns = Array.from({ length: 200 }, (_, at) => `.*(service|lambda)-${at}\\..*\\.clouds\\.example`);
  const matching = patternSet(patterns);
  assert.deepEqual(matching('a.lambda-7.lambda-9.x.clouds.example').toSorted(), [7, 9]);
  // Each of these brings other patterns into play at each of its labels: 40 ms a name for a machine of all together.
  const names = Array.from({ length: 200 }, (_, of) => {
    const labels = Array.from({ length: 22 }, (_, at) => `lambda-${(of * 37 + at * 53) % 200}`);
    return `${labels.join('.').slice(0, 230)}.clouds.example`;
  });
  const tookMs = cpuMs(() => {
    for (const name of names) matching(name);
  });
  assert.ok(tookMs < 2_000, `${tookMs} ms`);
});

test('a pattern whose machine would be too large is refused, with the count that is to blame', () => {
  const cost = 'too costly: its machine would have more than 4096 states, or take too long to make';
  for (const [text, error] of [
    ['.*[a-m].{8}x', undefined],
    ['[a-z]{2,9}.*[a-m].{3,12}x', `${cost}, for which the count at character 19 is to blame: {3,12}`],
    ['(.*\\.)?((a|b)?.{0,60}\\.){0,5}x', `${cost}, for which the count at character 16 is to blame: {0,60}`],
    ['(a{1,100}){1,10}|.*b', `${cost}, for which the count at character 3 is to blame: {1,100}`],
    ['.*[a-m].............x', cost],
    ['(a?){250}a{250}b', undefined],
    ['.{3,63}\\.s3[.-](eu|us)-(west|east)-\\d\\.amazonaws\\.com', undefined],
  ] as const) {
    assert.equal(new PatternBudget().error(text), error, text);
  }
});

test('patterns have room together: so many, and so many states', () => {
  const many = new PatternBudget();
  for (let at = 0; at < 512; at += 1) assert.equal(many.error(`a${at}`), undefined);
  assert.equal(many.error('a512'), 'too many: the patterns of a profile are at most 512');
  const large = new PatternBudget();
  const each = 3_073;
  const room = Math.floor(65_536 / each);
  for (let at = 0; at < room; at += 1) assert.equal(large.error('.*[a-m].{10}x'), undefined);
  assert.equal(
    large.error('.*[a-m].{10}x'),
    `too costly: its machine has ${each} states, and with those before it more than 65536`,
  );
  // A smaller one has room.
  assert.equal(large.error('a'), undefined);
});

test('patterns that are refused use up what may be looked at: a profile full of them is judged in seconds', () => {
  const budget = new PatternBudget();
  const errors = Array.from({ length: 4_096 }, (_, at) => budget.error(`.*[ab].{200}|x${at}`));
  const looked = errors.filter((error) =>
    error?.startsWith('too costly: its machine would have more than 4096 states'),
  );
  assert.equal(looked.length, 20);
  assert.equal(errors[20], 'too costly: those before it cost more than all patterns of a profile may');
  const invalid = new PatternBudget();
  for (let at = 0; at < 512; at += 1) invalid.error(`(?=${at})`);
  assert.match(invalid.error('a') ?? '', /^too many/);
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
    assert.equal(new PatternBudget().error(text), `not a pattern of the RE2 syntax: ${error}`);
  }
});

test('of many patterns those are forgotten first that nobody has asked for', () => {
  const tookMs = (text: string): number => cpuMs(() => void new PatternBudget().error(text));
  const costly = '(a|b)*a(a|b){11}';
  const askForMany = (of: string): void => {
    for (let at = 0; at < 600; at++) new PatternBudget().error(`${of}${at}`);
  };
  const anewMs = tookMs(costly);
  askForMany('first');
  tookMs(costly);
  askForMany('second');
  assert.ok(tookMs(costly) < anewMs / 5);
});
