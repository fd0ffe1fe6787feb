/** Machines against the engine whose programs they are made of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RE2JS, RE2Set } from 're2js';
import { patternMachine } from './pattern-machine.ts';

function engineOf(pattern: string): RE2Set {
  const set = new RE2Set(RE2Set.ANCHOR_BOTH, RE2JS.CASE_INSENSITIVE);
  set.add(pattern);
  set.compile();
  return set;
}

const letters = 'ab.c1-x_';
/** All up to four characters, and some that are longer. */
function* names(): Generator<string> {
  yield '';
  let shorter = [''];
  for (let length = 1; length <= 4; length += 1) {
    shorter = shorter.flatMap((name) => [...letters].map((letter) => name + letter));
    yield* shorter;
  }
  let seed = 1;
  for (let count = 0; count < 2_000; count += 1) {
    let name = '';
    for (let at = 0; at < 5 + (count % 20); at += 1) {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      name += letters[(seed >> 8) % letters.length];
    }
    yield name;
  }
}

for (const pattern of [
  ...[
    '.*(AB|c1).*\\.x',
    'a[.]b',
    '^a\\b.*$',
    '.*\\bb',
    '(a|b)*c?',
    '\\Ba',
    'a\\B.*',
    '^$',
    'a$|^b',
    '(?:a{2,3}b)+',
    '[^a]*',
    '',
  ],
  ...[
    '\\w+\\.\\d',
    '.*a.{3}b',
    '(a$)?b*',
    '\\b.*\\b',
    '(^a|b)+',
    '.*x$',
    '\\Qa.b\\E.*',
    '[[:alpha:]]+',
    'a*?b|c{0}',
    '\\x61+',
  ],
]) {
  test(`${JSON.stringify(pattern)} matches what the engine says`, () => {
    const engine = engineOf(pattern);
    const machine = patternMachine(engine.prog);
    assert.ok(machine);
    for (const name of names()) {
      assert.equal(machine.matches(name), engine.match(name).length > 0, name);
      assert.ok(!machine.matches(name) || name.endsWith(machine.suffix), `${name} does not end in ${machine.suffix}`);
    }
  });
}

test('what all names end in that match is known', () => {
  for (const [pattern, suffix] of [
    ['.*(ecr|lambda).*\\.amazonaws\\.com', '.amazonaws.com'],
    ['a|b', ''],
    ['(x|y)?', ''],
    ['a(b|c)d', 'd'],
    ['abc', 'abc'],
    ['a{40}', 'a'.repeat(32)],
  ] as const) {
    assert.equal(patternMachine(engineOf(pattern).prog)?.suffix, suffix, pattern);
  }
});

test('a machine that would be too large is not made', () => {
  assert.equal(patternMachine(engineOf('.*[a-m].{10}x').prog)?.states, 3_073);
  for (const pattern of ['.*[a-m].{11}x', '(a{1,100}){1,10}|.*b', `(${'(a|bc)*'.repeat(70)}){1000}`]) {
    assert.equal(patternMachine(engineOf(pattern).prog), undefined, pattern);
  }
});
