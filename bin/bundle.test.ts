import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { compileAhead, compileCacheOf } from './compile-cache.ts';

const anyPort = '127.0.0.1:0';
const anywhere = ['--listen-cluster', anyPort, '--listen-node', anyPort, '--metrics', anyPort];
const root = resolve(import.meta.dirname, '..');
let folder = '';
let program = '';

before(() => {
  // Far from node_modules and package.json: what the bundle does not bring is not there.
  folder = mkdtempSync(join(tmpdir(), 'localdns-bundle-'));
  program = join(folder, 'dist/localdns.js');
  execFileSync(process.execPath, [join(root, 'bin/bundle.ts'), join(folder, 'dist')]);
});

after(() => rmSync(folder, { recursive: true, force: true }));

test('the bundled program is complete: every command loads', () => {
  const run = (...args: string[]) => execFileSync(process.execPath, [program, ...args], { encoding: 'utf8' });
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  assert.equal(run('--version').trim(), version);
  const commands = [...run('--help').matchAll(/^ {2}([a-z]+) {2}/gm)].map(([, name = '']) => name);
  assert.ok(commands.includes('agent') && commands.includes('operator'));
  for (const command of commands) assert.match(run(command, '--help'), /^Usage: localdns/);
});

test('the bundled agent finds its control thread, serves, and answers', async () => {
  const profile = join(folder, 'profile.json');
  const manifest = { apiVersion: 'localdns.dev/v1alpha1', kind: 'LocalDnsProfile', metadata: { name: 'a' }, spec: {} };
  writeFileSync(profile, JSON.stringify(manifest));
  const agent = spawn(process.execPath, [
    ...[program, 'agent', '--profile', profile, '--cluster-dns', 'embedded', '--node-dns', '127.0.0.1'],
    ...[...anywhere, '--state-dir', join(folder, 'state')],
  ]);
  const end = once(agent, 'exit');
  try {
    const port = await servingPort(agent.stdout);
    const query = [program, 'query', 'kubernetes.default.svc.cluster.local', '--server', `127.0.0.1:${port}`];
    assert.match(execFileSync(process.execPath, query, { encoding: 'utf8' }), /\bA\s+10\.96\.0\.1\b/);
  } finally {
    agent.kill('SIGTERM');
  }
  assert.deepEqual(await end, [0, null]);
});

test('the libraries that only some kubeconfigs need can be loaded from the bundle', async () => {
  const chunks = readdirSync(join(folder, 'dist')).filter((name) => /^(exec_auth|dist)-\w+\.js$/.test(name));
  assert.equal(chunks.length, 2, 'ExecAuth and the whole client library are apart from what every program loads');
  for (const chunk of chunks) await import(join(folder, 'dist', chunk));
});

test('what was compiled ahead is used by an agent in each of its forms, whole, and by nobody whom it does not fit', async () => {
  const dist = join(folder, 'dist');
  await compileAhead(dist);
  const cache = compileCacheOf(dist);
  const files = () => readdirSync(cache, { recursive: true, encoding: 'utf8' });
  const before = files();
  const run = async (word: string, ...args: string[]) => {
    const agent = spawn(
      process.execPath,
      [program, 'agent', ...args, ...anywhere, '--state-dir', join(folder, 'ahead')],
      {
        // As in the agent's pod.
        env: {
          NODE_COMPILE_CACHE: cache,
          NODE_DEBUG_NATIVE: 'COMPILE_CACHE',
          NODE_OPTIONS: '--max-old-space-size=160',
        },
      },
    );
    const told = text(agent.stderr);
    for await (const line of createInterface({ input: agent.stdout })) if (line.includes(word)) agent.kill('SIGTERM');
    return told;
  };
  const standAlone = [
    '--profile',
    join(folder, 'profile.json'),
    '--node-dns',
    '127.0.0.1',
    '--cluster-dns',
    '127.0.0.1',
  ];
  for (const [thread, told] of [
    ['cli-standalone-control.js', await run('"msg":"serving"', ...standAlone)],
    ['agent-node-control.js', await run('"msg":"metrics and health"', '--node-name', 'n', '--node-dns', '127.0.0.1')],
  ] as const) {
    const taken = [...told.matchAll(/V8 code cache for \S+ (?:\S+\/)?(\S+) was accepted/g)].map(([, name]) => name);
    for (const name of ['localdns.js', 'index.cjs', thread]) assert.ok(taken.includes(name), `${thread}: ${name}`);
    assert.ok(
      taken.some((name) => name?.startsWith('main-')),
      thread,
    );
    assert.doesNotMatch(told, /was rejected|no such file|writing cache/);
  }
  const env = { NODE_COMPILE_CACHE: cache };
  const { status, stderr } = spawnSync(process.execPath, ['--no-lazy', program, 'version'], { env, encoding: 'utf8' });
  assert.deepEqual([status, stderr], [0, '']);
  assert.ok(before.length > 20);
  assert.deepEqual(
    files().filter((name) => before.includes(name)),
    before,
  );
});

test('no file of the bundle imports a module of Node, which would read all that it exports', () => {
  for (const name of readdirSync(join(folder, 'dist')).filter((file) => file.endsWith('.js'))) {
    const contents = readFileSync(join(folder, 'dist', name), 'utf8');
    const from = [...contents.matchAll(/\bimport\b[\w\s{},*$]*(?:\bfrom\s*)?["']([\w:/]+)["']/g)].map(
      ([, from = '']) => from,
    );
    assert.deepEqual(from.filter(isBuiltin), [], name);
  }
});

test('every thread that the bundle starts is a file of the bundle', () => {
  const files = readdirSync(join(folder, 'dist')).filter((name) => name.endsWith('.js'));
  const urls = files.flatMap((file) => {
    const text = readFileSync(join(folder, 'dist', file), 'utf8');
    return [...text.matchAll(/new URL\(['"]\.\/([^'"]+\.[jt]s)['"],\s*import\.meta\.url\)/g)].map(
      ([, name = '']) => name,
    );
  });
  assert.ok(urls.length >= 2, 'the control thread in a cluster, and the stand-alone one');
  for (const name of urls) assert.ok(files.includes(name), name);
});

test('the licences of all bundled packages come along', () => {
  const sections = readFileSync(join(folder, 'dist/LICENSES.txt'), 'utf8').split(`\n\n${'-'.repeat(80)}\n\n`);
  const names = sections.map((section) => section.split(' ')[0] ?? '');
  for (const name of ['pino', 'prom-client', 'lru-cache', 'yaml', 'zod']) assert.ok(names.includes(name), name);
  // The Unlicense asks for nothing.
  const text = /copyright|permission is hereby granted|apache license|: Unlicense$/i;
  // koffi's own section says it for the binaries that come with it.
  for (const section of sections.filter((one) => !one.startsWith('@koromix/'))) assert.match(section, text);
});

async function servingPort(stdout: NodeJS.ReadableStream): Promise<number> {
  for await (const line of createInterface({ input: stdout })) {
    const record = JSON.parse(line) as { msg: string; listening: { name: string; port: number }[] };
    if (record.msg !== 'serving') continue;
    return record.listening.find(({ name }) => name === 'cluster')?.port ?? 0;
  }
  throw new Error('the agent ended before it served');
}
