import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProfileSpec } from './profile.ts';
import { type ServiceTarget, settleParts } from './profile-parts.ts';

const target = { addresses: ['192.0.2.1'] };
const serviceRef = { namespace: 'emulator', name: 'cloud' };
const redirects: ProfileSpec['redirects'] = [
  { name: 'a', match: { exact: ['a.example'], patterns: ['(?=look)', 'good.*', 'a['] }, target },
  { name: 'b', match: { patterns: ['b\\'] }, target },
  { name: 'c', match: { suffixes: ['c.example'] }, except: { patterns: ['ok', '(c)\\1'] }, target },
  { name: 'd', match: { suffixes: ['d.example'] }, target: { serviceRef } },
];
const gone: ServiceTarget = { kind: 'unusable', reason: 'Service emulator/cloud does not exist' };
const errors = [
  [
    'spec.redirects[0].match.patterns[0]',
    'not a pattern of the RE2 syntax: invalid or unsupported Perl syntax at character 1: (?=',
  ],
  ['spec.redirects[0].match.patterns[2]', 'not a pattern of the RE2 syntax: missing closing ] at character 2: ['],
  [
    'spec.redirects[1].match.patterns[0]',
    'not a pattern of the RE2 syntax: trailing backslash at end of expression at character 2',
  ],
  [
    'spec.redirects[2].except.patterns[1]',
    'not a pattern of the RE2 syntax: invalid escape sequence at character 4: \\1; without it there is no redirect',
  ],
  ['spec.redirects[3].target.serviceRef', 'Service emulator/cloud does not exist'],
];

test('Preferred leaves out what is bad, and a redirect whose exception is, and keeps the rest', () => {
  const settled = settleParts({ priority: 3, redirects }, () => gone);
  assert.ok(settled.kind === 'settled');
  assert.deepEqual(
    settled.leftOut.map(({ field, message }) => [field, message]),
    errors,
  );
  assert.deepEqual(settled.spec, {
    priority: 3,
    redirects: [{ name: 'a', match: { exact: ['a.example'], patterns: ['good.*'] }, target }],
  });
});

test('Required refuses the whole, with the same reasons', () => {
  const settled = settleParts({ mode: 'Required', redirects }, () => gone);
  assert.ok(settled.kind === 'refused');
  assert.deepEqual(
    settled.errors.map(({ field, message }) => [field, message]),
    errors,
  );
});

test('a Service is as good as its addresses, even where it has none at the moment', () => {
  for (const addresses of [['10.96.0.50', 'fd00::50'], []]) {
    const settled = settleParts({ mode: 'Required', redirects: redirects.slice(3) }, (ref) => {
      assert.deepEqual(ref, serviceRef);
      return { kind: 'addresses', addresses };
    });
    assert.ok(settled.kind === 'settled');
    assert.deepEqual(settled.spec.redirects?.[0]?.target, { addresses });
  }
});

test('nothing is said before all is known, and nothing is asked of a profile that serves nothing', () => {
  assert.equal(settleParts({ redirects }, () => ({ kind: 'unknown' })).kind, 'unknown');
  const disabled = settleParts({ mode: 'Disabled', redirects }, () => assert.fail());
  assert.deepEqual(disabled.kind === 'settled' && disabled.leftOut, []);
});

test('patterns have room together, those of exceptions among them, and the last to come are left out', () => {
  const many = (from: number, count: number) => Array.from({ length: count }, (_, at) => `n${from + at}`);
  const settled = settleParts(
    {
      redirects: [
        { name: 'a', match: { patterns: many(0, 500) }, except: { patterns: many(500, 11) }, target },
        { name: 'b', match: { patterns: many(511, 2) }, target },
      ],
    },
    () => gone,
  );
  assert.ok(settled.kind === 'settled');
  assert.deepEqual(settled.leftOut, [
    {
      field: 'spec.redirects[1].match.patterns[1]',
      message: 'too many: the patterns of a profile are at most 512',
    },
  ]);
  assert.deepEqual(settled.spec.redirects?.[1]?.match.patterns, ['n511']);
});
