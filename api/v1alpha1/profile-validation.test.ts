import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiVersion } from './labels.ts';
import type { ProfileSpec } from './profile.ts';
import { profileCases } from './profile-cases.ts';
import { type FieldError, parseProfile, validateKeptSpec, validateProfileSpec } from './profile-validation.ts';

for (const { title, name, spec, refused } of profileCases) {
  test(`${refused === undefined ? 'accepts' : 'refuses'} ${title}`, () => {
    const result = parseProfile({ apiVersion, kind: 'LocalDnsProfile', metadata: { name: name ?? 'default' }, spec });
    const errors = 'errors' in result ? result.errors : [];
    if (refused === undefined) {
      assert.deepEqual(errors, []);
      return;
    }
    const hit = errors.find(({ field, message }) => field === refused.field && message.includes(refused.message));
    assert.ok(hit, `wanted ${JSON.stringify(refused)}, got ${JSON.stringify(errors)}`);
  });
}

test('names every error of a spec, not only the first', () => {
  const errors = validateProfileSpec({
    mode: 'Maybe',
    kubeDNSOverrides: { '.': { maxConcurrent: -1, protocol: 'TCP' }, 'corp.example.': {} },
    upstreams: [{ name: 'a', servers: ['nowhere'] }],
    vnetDNSOverrides: 'none',
  });
  assert.deepEqual(
    errors.map(({ field }) => field),
    [
      'spec.mode',
      'spec.kubeDNSOverrides["."].protocol',
      'spec.kubeDNSOverrides["."].maxConcurrent',
      'spec.vnetDNSOverrides',
      'spec.kubeDNSOverrides["corp.example."]',
      'spec.upstreams[0].servers[0]',
    ],
  );
});

test('another kind or version in a file is refused with its field', () => {
  const result = parseProfile({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'x' }, spec: {} });
  assert.ok('errors' in result);
  assert.deepEqual(
    result.errors.map(({ field }) => field),
    ['apiVersion', 'kind'],
  );
});

test('how many addresses a redirect leads to is bounded where people write them, and not where they are of a Service', () => {
  const field = 'spec.redirects[0].target.addresses';
  const many = Array.from({ length: 17 }, (_, at) => `192.0.2.${at}`);
  const fields = (validate: (spec: ProfileSpec) => FieldError[], addresses: string[]) =>
    validate({ redirects: [{ name: 'r', match: { exact: ['r.example'] }, target: { addresses } }] }).map(
      (error) => error.field,
    );
  for (const addresses of [[], many]) {
    assert.deepEqual(fields(validateProfileSpec, addresses), [field]);
    assert.deepEqual(fields(validateKeptSpec, addresses), []);
  }
  // Each of them is looked at.
  for (const rest of [['nowhere'], ['192.0.2.0']])
    assert.deepEqual(fields(validateKeptSpec, [...many, ...rest]), [`${field}[17]`]);
  const neither: ProfileSpec = { redirects: [{ name: 'r', match: { exact: ['r.example'] }, target: {} }] };
  assert.deepEqual(
    validateKeptSpec(neither).map((error) => error.field),
    ['spec.redirects[0].target'],
  );
});
