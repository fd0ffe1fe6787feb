import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { crdFiles, nodeCrd, profileCrd } from './crds.ts';

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
