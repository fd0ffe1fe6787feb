import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiVersion } from './labels.ts';
import { profileCases } from './profile-cases.ts';
import { parseProfile, validateProfileSpec } from './profile-validation.ts';

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
