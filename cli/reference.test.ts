/** The reference pages against what they describe: no field, value or option more or less. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { profileCrd } from '../api/crds.ts';
import { parseOperatorOptions } from '../operator/options.ts';
import { run as agent, usage as agentUsage } from './agent.ts';
import { run as cleanup, usage as cleanupUsage } from './cleanup.ts';
import { usage as operatorUsage } from './operator.ts';
import { run as query, usage as queryUsage } from './query.ts';
import { run as render, usage as renderUsage } from './render.ts';
import { run as validate, usage as validateUsage } from './validate.ts';

const folder = resolve(import.meta.dirname, '../docs/reference');
const page = (name: string) => readFileSync(resolve(folder, name), 'utf8');

interface Schema {
  properties?: Record<string, Schema>;
  additionalProperties?: Schema;
  items?: Schema;
  enum?: string[];
}

/** Every field below a path, with the words that it may hold: maps of zones as <zone>, lists as []. */
function* fieldsOf(schema: Schema, path: string): Generator<[path: string, words: string[]]> {
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    yield [`${path}.${name}`, field.enum ?? []];
    yield* fieldsOf(field, `${path}.${name}`);
  }
  if (schema.additionalProperties?.properties) yield* fieldsOf(schema.additionalProperties, `${path}.<zone>`);
  if (schema.items?.properties) yield* fieldsOf(schema.items, `${path}[]`);
}

/** The rows of the tables: the field's path, from the words in code of the heading and of the first cell, and the row. */
function documentedFields(markdown: string): [path: string, row: string][] {
  return markdown.split(/^### /m).flatMap((section) => {
    const [heading = '', ...lines] = section.split('\n');
    const parents = [...heading.matchAll(/`([^`]+)`/g)].map(([, path]) => path);
    const rows = lines.flatMap((line) => /^\| `([^`]+)` \|/.exec(line) ?? []).filter((_, at) => at % 2 === 1);
    return rows.flatMap((name) => {
      const row = lines.find((line) => line.startsWith(`| \`${name}\` |`)) ?? '';
      return parents.map((parent): [string, string] => [`${parent}.${name}`, row]);
    });
  });
}

test('the page of the profile names every field and every word of its schema, and no other field', () => {
  const { properties } = profileCrd().spec.versions[0]?.schema.openAPIV3Schema ?? {};
  assert.ok(properties);
  const wanted = (['spec', 'status'] as const).flatMap((part) => [...fieldsOf(properties[part] as Schema, part)]);
  const [fields = ''] = page('profile.md').split(/^## Labels/m);
  const found = new Map(documentedFields(fields));
  assert.deepEqual([...found.keys()].sort(), wanted.map(([path]) => path).sort());
  for (const [path, words] of wanted) {
    for (const word of words) assert.ok(found.get(path)?.includes(`\`${word}\``), `${path} does not name ${word}`);
  }
});

const flagsOf = (text: string) => new Set(text.match(/(?<![\w-])--?[a-z][a-z-]*/g) ?? []);

const commands: Record<string, { usage: string; run: (argv: string[]) => Promise<unknown> | undefined }> = {
  agent: { usage: agentUsage, run: agent },
  operator: {
    usage: operatorUsage,
    run: async (argv) => {
      const parsed = parseOperatorOptions(argv);
      throw new Error(parsed.kind === 'error' ? parsed.message : 'understood, and nothing is run here');
    },
  },
  cleanup: { usage: cleanupUsage, run: cleanup },
  validate: { usage: validateUsage, run: validate },
  render: { usage: renderUsage, run: render },
  query: { usage: queryUsage, run: query },
};

for (const [name, { usage, run }] of Object.entries(commands)) {
  test(`the page of the command line has the options of ${name}, and each exists`, async () => {
    const section =
      page('cli.md')
        .split(/^## /m)
        .find((text) => text.startsWith(`localdns ${name}\n`)) ?? '';
    const rows = section.split('\n').filter((line) => line.startsWith('| `-'));
    const documented = flagsOf(rows.map((row) => row.split('|')[1]).join('\n'));
    const told = flagsOf(usage.replaceAll(/'kubectl [^']*'/g, ''));
    for (const flag of ['-h', '--help']) told.delete(flag);
    // The long form of -f and its like stands in both, the short one perhaps in the line of usage alone.
    assert.deepEqual([...documented].sort(), [...told].sort());
    for (const flag of documented) {
      // Without its value, or without the rest that the command needs: each stops before it does anything.
      const failure = await Promise.resolve()
        .then(() => run(flag === '--preflight' ? [flag, '--output', 'neither'] : [flag]))
        .then(() => 'it ran', String);
      assert.doesNotMatch(failure, /Unknown option|it ran/, flag);
    }
    await assert.rejects(async () => run(['--no-such-option']), /no-such-option/);
  });
}
