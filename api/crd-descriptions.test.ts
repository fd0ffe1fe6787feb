import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { group, nodeKind, profileKind } from './v1alpha1/labels.ts';

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
}

/** Paths of fields without a description: `kubectl explain` has nothing to say of them. */
function unexplained(schema: Schema, path: string): string[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const at = `${path}.${name}`;
    return [...((field.description ?? '') === '' ? [at] : []), ...unexplained(field, at)];
  });
  const { items, additionalProperties: values } = schema;
  return [
    ...own,
    ...(items === undefined ? [] : unexplained(items, `${path}[]`)),
    ...(typeof values === 'object' ? unexplained(values, `${path}{}`) : []),
  ];
}

for (const { plural } of [profileKind, nodeKind]) {
  test(`every field of ${plural} has a description`, () => {
    const file = new URL(`../crds/${plural}.${group}.yaml`, import.meta.url);
    const crd = parse(readFileSync(file, 'utf8')) as {
      spec: { versions: { schema: { openAPIV3Schema: Schema } }[] };
    };
    const [version] = crd.spec.versions;
    assert.ok(version !== undefined);
    const { apiVersion: _a, kind: _k, metadata: _m, ...fields } = version.schema.openAPIV3Schema.properties ?? {};
    assert.ok(Object.keys(fields).length >= 2);
    assert.deepEqual(unexplained({ properties: fields }, ''), []);
  });
}

test('a field without a description is found, wherever it stands', () => {
  const bare: Schema = { properties: { a: {} } };
  const told = { description: 'x' };
  const schema: Schema = {
    properties: { list: { ...told, items: bare }, map: { ...told, additionalProperties: bare } },
  };
  assert.deepEqual(unexplained(schema, ''), ['.list[].a', '.map{}.a']);
});
