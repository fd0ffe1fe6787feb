import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { crdFiles, nodeCrd, profileCrd } from './crds.ts';
import { readVersions } from './v1alpha1/node-config.ts';

for (const [name, text] of crdFiles()) {
  test(`crds/${name} is what the schemas say`, () => {
    const committed = readFileSync(new URL(`../crds/${name}`, import.meta.url), 'utf8');
    assert.equal(committed, text, "run 'npm run crds'");
  });
}

test('every field has a description, so that kubectl explain is complete', () => {
  const bare: string[] = [];
  const walk = (schema: Record<string, unknown>, path: string) => {
    for (const [name, member] of Object.entries((schema.properties ?? {}) as Record<string, Record<string, unknown>>)) {
      if (member.description === undefined && `${path}.${name}` !== '.metadata') bare.push(`${path}.${name}`);
      walk(member, `${path}.${name}`);
      for (const inner of ['items', 'additionalProperties'] as const) {
        if (typeof member[inner] === 'object') walk(member[inner] as Record<string, unknown>, `${path}.${name}[]`);
      }
    }
  };
  for (const crd of [profileCrd(), nodeCrd()]) {
    walk(crd.spec.versions[0]?.schema.openAPIV3Schema as Record<string, unknown>, '');
  }
  assert.deepEqual(bare, []);
});

test('what the page on versions says of now is so', () => {
  const page = readFileSync(new URL('VERSIONING.md', import.meta.url), 'utf8');
  const now = (what: string) => new RegExp(`^\\| ${what} \\| ([^|]+) \\|`, 'm').exec(page)?.[1];
  for (const { spec } of [profileCrd(), nodeCrd()]) {
    assert.deepEqual(
      spec.versions.map(({ name, served, storage }) => ({ name, served, storage })),
      [{ name: now('version served, version stored'), served: true, storage: true }],
    );
    assert.equal('conversion' in spec ? spec.conversion : 'none', now('conversion'));
  }
  assert.equal(now('configuration formats that an agent reads'), readVersions.join(', '));
});
