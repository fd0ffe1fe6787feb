import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatManifest, parseManifest } from './manifest.ts';

const values: [title: string, text: string, value: unknown][] = [
  ['an unquoted on or off is a boolean', 'a: on\nb: off\nc: "on"', { a: true, b: false, c: 'on' }],
  ['a date and a time stay strings, as kubectl has them', 'a: 2024-01-01\nb: 1:30', { a: '2024-01-01', b: '1:30' }],
  ['JSON is read, tabs included', '{\n\t"a": [1, "b"]\n}', { a: [1, 'b'] }],
  ['aliases and merge keys are resolved', 'a: &x {b: 1}\nc: {<<: *x, d: 2}', { a: { b: 1 }, c: { b: 1, d: 2 } }],
  ['a key of another kind is a string', '53: a\non: b', { 53: 'a', true: 'b' }],
  ['empty documents around the one do not count', '---\n# nothing\n---\na: 1\n---\n', { a: 1 }],
];

for (const [title, text, value] of values) {
  test(title, () => assert.deepEqual(parseManifest(text), { value }));
}

const errors: [title: string, text: string, error: RegExp][] = [
  ['two documents are one too many', 'a: 1\n---\nb: 2', /^holds 2 documents: one is expected$/],
  ['no document is one too few', '# nothing\n', /^is empty: one document is expected$/],
  ['a syntax error has its line and column', 'a: 1\nb: [1, 2\nc: 3\n', /^3:1: /],
  ['a key that stands twice is refused', 'a: 1\nb: 2\na: 3', /^3:1: Map keys must be unique$/],
  ['an alias of nothing is refused', 'a: *nobody', /nobody/],
  ['an alias of itself is refused', 'a: &a [*a]', /^cannot be read: .*circular/],
  ['nesting without end is refused', '['.repeat(100_000), /call stack/],
  ['aliases of aliases without end are refused', bomb(), /^cannot be read: Excessive alias count/],
  ['a file larger than any manifest is refused', `a: ${'x'.repeat(2 * 1024 * 1024)}`, /^is larger than 2 MiB$/],
];

for (const [title, text, error] of errors) {
  test(title, () => {
    const parsed = parseManifest(text);
    assert.ok('error' in parsed, `accepted: ${JSON.stringify(parsed).slice(0, 100)}`);
    assert.match(parsed.error, error);
    assert.ok(!parsed.error.includes('\n'), 'one line');
  });
}

test('what is written reads back, words that look like something else included', () => {
  const value = { a: 'on', b: '1e3', c: '10:30', d: null, e: [true, 1.5, { f: 'x: y' }] };
  assert.deepEqual(parseManifest(formatManifest(value)), { value });
});

/** "Billion laughs": each level names the one below ten times. */
function bomb(): string {
  const levels = 'abcdefghij'.split('');
  return levels
    .map((level, at) => `${level}: &${level} [${at === 0 ? '1' : new Array(10).fill(`*${levels[at - 1]}`).join(',')}]`)
    .join('\n');
}
