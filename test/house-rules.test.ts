/** The rules of the house, each tried on a bad example first: a rule that cannot fail guards nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { bridgeOffences, importOffences, importsOf } from './house-rules/imports.ts';
import { metricOffences, metricsOf } from './house-rules/metric-names.ts';
import { dependencyOffences, doorOffences, type PackageManifest } from './house-rules/packages.ts';
import { fileOffences, placeOffences } from './house-rules/prose.ts';
import { commandOffence, commandsOf, isSafeToRun, subcommandOf } from './house-rules/readme-commands.ts';
import { type SourceFile, sourceFile, sourceFiles, told } from './house-rules/source-tree.ts';

const root = resolve(import.meta.dirname, '..');
const programs = sourceFiles('{api,kube,operator,agent,cli}/**/*.ts');
const everyTypeScript = sourceFiles('**/*.ts');

test('imports are seen in every spelling, type-only ones and workers included', () => {
  const text = `
import fs from 'node:fs';
import { type A, b } from './a.ts';
import type { C } from "../c.ts";
import './effect.ts';
import {
  d,
  e,
} from './many-lines.ts';
export { f } from './again.ts';
export type * from './types-again.ts';
const later = await import('./later.ts');
let inType: import('./in-type.ts').T;
new Worker(new URL('./worker.ts', import.meta.url));
const program = new URL('program.ts', import.meta.url);
const from = 'nowhere';
// import x from './commented.ts';
`;
  assert.deepEqual(importsOf(text).sort(), [
    '../c.ts',
    './a.ts',
    './again.ts',
    './effect.ts',
    './in-type.ts',
    './later.ts',
    './many-lines.ts',
    './program.ts',
    './types-again.ts',
    './worker.ts',
    'node:fs',
  ]);
});

for (const [path, specifier, complaint] of [
  ['api/v1alpha1/profile.ts', '../../kube/client.ts', /api may import nothing of ours/],
  ['api/v1alpha1/profile.ts', 'node:fs', /does no I\/O/],
  ['kube/store.ts', '../operator/log.ts', /kube may import api/],
  ['operator/main.ts', '../agent/log.ts', /operator may import api, kube/],
  ['agent/main.ts', '../operator/profile/render.ts', /agent may import api, kube/],
  ['agent/main.ts', '../cli/message.ts', /agent may import api, kube/],
  ['agent/wire/query.ts', '../zone/zone-table.ts', /wire may import no other stage/],
  ['agent/cache/entry.ts', '../forward/forwarder.ts', /cache may import wire/],
  ['agent/policy/policy.ts', '../zone/zone-table.ts', /policy may import wire/],
  ['agent/forward/health.ts', '../server/server.ts', /forward may import wire/],
  ['agent/server/server.ts', '../listen/udp.ts', /server may import/],
  ['agent/server/server.ts', '../metrics.ts', /is handed all else/],
  ['agent/cache/entry.ts', '../log.ts', /is handed all else/],
  ['agent/forward/upstream.ts', '../config/own-node.ts', /is handed all else/],
  ['agent/forward/upstream.ts', '../options.ts', /is handed all else/],
  ['agent/forward/upstream.ts', '../../kube/client.ts', /no stage talks to the API/],
  ['agent/zone/zone-table.ts', '../../api/v1alpha1/node-config.ts', /plain values/],
  ['agent/cache/entry.ts', 'node:net', /does no I\/O/],
  ['operator/profile/select.ts', 'node:fs', /does no I\/O/],
  ['operator/runtime/controller.ts', '../profile/reconciler.ts', /runtime knows no profile/],
  ['kube/store.ts', './clock.fake.ts', /for tests alone/],
] as const) {
  test(`${path} may not import ${specifier}`, () => {
    const [offence, ...more] = told(importOffences([module(path, specifier)]));
    assert.match(offence ?? 'no offence', complaint);
    assert.deepEqual(more, []);
  });
}

test('what the stories need is allowed', () => {
  const allowed = [
    module('kube/store.ts', './client.ts'),
    module('operator/main.ts', '../kube/client.ts'),
    module('agent/build.ts', './forward/forwarder.ts'),
    module('agent/forward/forwarder.ts', '../wire/header.ts'),
    module('agent/server/server.ts', '../cache/entry.ts'),
    module('agent/listen/udp.ts', '../server/server.ts'),
    module('agent/listen/udp.ts', 'node:dgram'),
    module('agent/forward/upstream.ts', '../clock.ts'),
    { path: 'api/v1alpha1/address.ts', text: "import { isIP, isIPv6 } from 'node:net';" },
    module('cli/agent.ts', '../operator/profile/render.ts'),
    module('kube/store.test.ts', './clock.fake.ts'),
  ];
  assert.deepEqual(told(importOffences(allowed)), []);
});

test('imports run in the direction of the two stories', () => {
  assert.deepEqual(told(importOffences(programs)), []);
});

test('build.ts alone knows both the rendered configuration and what serves it', () => {
  const bridge = "import '../api/v1alpha1/node-config.ts';\nimport './zone/zone-table.ts';\n";
  assert.equal(bridgeOffences([{ path: 'agent/main.ts', text: bridge }]).length, 1);
  assert.equal(bridgeOffences([{ path: 'agent/build.ts', text: bridge }]).length, 0);
  assert.deepEqual(told(bridgeOffences(programs)), []);
});

test('each package comes in by one door', () => {
  assert.match(told(doorOffences([module('agent/main.ts', 'pino')]))[0] ?? '', /whose door is operator\/log\.ts/);
  assert.match(told(doorOffences([module('agent/main.ts', 'left-pad')]))[0] ?? '', /which has no door yet/);
  assert.match(told(doorOffences([module('agent/main.ts', 'zod/v4')]))[0] ?? '', /imports zod, /);
  const twoDoors = [module('kube/client.ts', 'undici'), module('kube/transport.ts', 'undici')];
  assert.match(
    told(doorOffences(twoDoors))[0] ?? '',
    /kube\/transport\.ts: imports undici, whose door is kube\/client/,
  );
  assert.deepEqual(told(doorOffences(everyTypeScript)), []);
});

test('every dependency is imported, every import is declared, and every version is pinned', () => {
  const manifest: PackageManifest = { dependencies: { pino: '1.2.3', yaml: '^2.0.0' }, devDependencies: {} };
  const files = [module('agent/log.ts', 'pino'), module('cli/manifest.ts', 'zod'), module('test/a.test.ts', 'yaml')];
  assert.deepEqual(told(dependencyOffences(files, manifest)), [
    'package.json: yaml is a dependency, but no program imports it',
    'cli/manifest.ts: imports zod, which package.json does not name',
    'package.json: yaml is not pinned: ^2.0.0',
  ]);
  assert.deepEqual(told(dependencyOffences(everyTypeScript, JSON.parse(sourceFile('package.json').text))), []);
});

test('a file is one noun of the field, and short enough to be read', () => {
  const bad = [
    'agent/utils.ts',
    'kube/store-helpers.ts',
    'cli/index.ts',
    'operator/types.ts',
    'agent/common/a.misc.ts',
  ];
  assert.equal(fileOffences(bad.map((path) => ({ path, text: '' }))).length, bad.length);
  assert.deepEqual(fileOffences([{ path: 'test/rfc3597/unknown-types.test.ts', text: '' }]), []);
  assert.equal(fileOffences([{ path: 'agent/WireFormat.ts', text: '' }]).length, 1);
  assert.equal(fileOffences([{ path: 'agent/a.ts', text: 'x\n'.repeat(401) }]).length, 1);
  assert.equal(fileOffences([{ path: 'agent/a.ts', text: 'x\n'.repeat(400) }]).length, 0);
  assert.equal(fileOffences([{ path: 'agent/a.test.ts', text: 'x\n'.repeat(900) }]).length, 0);
  assert.deepEqual(told(fileOffences(everyTypeScript)), []);
});

test('nothing names a place of one machine or mirror', () => {
  const bad: SourceFile[] = [
    { path: 'a.md', text: 'see /home/somebody/notes\n' },
    { path: 'a.ts', text: "const at = '/root/.cache';\n" },
    { path: 'a.yaml', text: 'image: ghcr.io/somebody/localdns\n' },
    { path: 'package-lock.json', text: '"resolved": "https://mirror.example/zod.tgz"\n' },
    { path: '.npmrc', text: 'registry=http://localhost:4873\n' },
  ];
  assert.equal(placeOffences(bad).length, bad.length);
  const good = [{ path: 'a.ts', text: "const agentRoot = 'charts/root/values'; // https://www.rfc-editor.org\n" }];
  assert.deepEqual(told(placeOffences(good)), []);
  const kept = sourceFiles('**/*.{ts,js,json,md,yaml,yml,tpl,txt,sh}', '.npmrc', 'bin/*', '.ci/*', 'Dockerfile*');
  assert.ok(kept.some(({ path }) => path === 'package-lock.json') && kept.some(({ path }) => path === '.npmrc'));
  const itself = /^test\/house-rules/;
  assert.deepEqual(told(placeOffences(kept.filter(({ path }) => !itself.test(path)))), []);
});

test('metrics are named as Prometheus asks', () => {
  const named = (type: string, name: string) => ({ path: 'm.ts', text: `new ${type}({ name: '${name}', help: 'h' })` });
  for (const [type, name, complaint] of [
    ['Counter', 'localdns_queries', /does not end in _total/],
    ['Gauge', 'localdns_zones_total', /is a gauge/],
    ['Histogram', 'localdns_latency_ms', /not in a base unit/],
    ['Gauge', 'localdns_cache_megabytes', /not in a base unit/],
    ['Gauge', 'dns_cache_bytes', /is not localdns_/],
    ['Gauge', 'localdns_cacheBytes', /is not localdns_/],
    ['Gauge', 'localdns_answers_count', /part of a histogram/],
  ] as const) {
    assert.match(told(metricOffences(named(type, name)))[0] ?? 'no offence', complaint);
  }
  const viaFunction = { path: 'm.ts', text: "this.#counter(\n  'localdns_queries', 'Help', ['zone'])" };
  assert.match(told(metricOffences(viaFunction))[0] ?? 'no offence', /does not end in _total/);
  const escaped = { path: 'm.ts', text: "declare('localdns_queries')" };
  assert.match(told(metricOffences(escaped))[0] ?? 'no offence', /does not read/);
  assert.deepEqual(metricOffences(named('client.Counter<"zone">', 'localdns_queries_total')), []);
  for (const path of ['operator/metrics.ts', 'agent/metrics.ts']) {
    const file = sourceFile(path);
    assert.ok(metricsOf(file.text).length > 0, `${path} declares metrics in a way that this test can read`);
    assert.deepEqual(told(metricOffences(file)), []);
  }
});

test('commands are found in documents as a reader would type them', () => {
  const document =
    '```sh\n# first\nnpm ci && npm start\n$ bin/localdns query \\\n    --help  # all of it\n```\n```yaml\nnpm: x\n```\n';
  assert.deepEqual(commandsOf(document), ['npm ci', 'npm start', 'bin/localdns query --help']);
  const known = { npmScripts: ['start'], isFile: () => false };
  assert.equal(commandOffence('npm ci', known), undefined);
  assert.equal(commandOffence('npm start', known), undefined);
  assert.match(commandOffence('npm run stop', known) ?? '', /no script stop/);
  assert.match(commandOffence('bin/localdns validate -f examples/gone.yaml', known) ?? '', /there is no examples/);
  assert.ok(isSafeToRun('bin/localdns validate -f examples/a.yaml') && !isSafeToRun('bin/localdns agent'));
});

test('every command of the documents exists, and those that only print work', async (t) => {
  const { scripts } = JSON.parse(sourceFile('package.json').text) as { scripts: Record<string, string> };
  const known = { npmScripts: Object.keys(scripts), isFile: (path: string) => existsSync(join(root, path)) };
  const documents = sourceFiles('*.md', 'docs/**/*.md');
  assert.ok(
    documents.some(({ path }) => path === 'README.md'),
    'there is a README',
  );
  const shown = new Map<string, string>();
  for (const { path, text } of documents) for (const command of commandsOf(text)) shown.set(command, path);

  const offences = [...shown].map(([command, path]) => [path, command, commandOffence(command, known)] as const);
  assert.deepEqual(
    offences.filter(([, , offence]) => offence !== undefined),
    [],
  );

  const words = new Set([...shown.keys()].flatMap((command) => subcommandOf(command) ?? []));
  for (const word of words) {
    await t.test(`bin/localdns ${word} exists`, () => runs(`bin/localdns ${word} --help`));
  }
  for (const command of shown.keys()) {
    if (isSafeToRun(command)) await t.test(`${command} works`, () => runs(command));
  }
});

function module(path: string, specifier: string): SourceFile {
  return { path, text: `import { something } from '${specifier}';\n` };
}

function runs(command: string): void {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { cwd: root, encoding: 'utf8', timeout: 30_000 });
  assert.equal(status, 0, `${command}\n${stdout}${stderr}`);
}
