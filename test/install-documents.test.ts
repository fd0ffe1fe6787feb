/** What people type to install, and what the pods that they get run: held against the chart and the image. */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { commandsOf } from './house-rules/readme-commands.ts';
import { sourceFiles } from './house-rules/source-tree.ts';
import { imagePrograms } from './image/build.ts';
import { chart, render, withHelm } from './tools/chart.ts';

const root = resolve(import.meta.dirname, '..');
const documents = sourceFiles('*.md', 'docs/**/*.md');
const commands = documents.flatMap(({ path, text }) => commandsOf(text).map((command) => ({ path, command })));

function shown(program: RegExp): string[] {
  const found = commands.filter(({ command }) => program.test(command)).map(({ command }) => command);
  ok(found.length > 0, `no document shows ${program}`);
  return found;
}

test('the image is built and pushed by the tag, and with the version, that the chart asks for', () => {
  const { appVersion } = parse(readFileSync(join(chart, 'Chart.yaml'), 'utf8')) as { appVersion: string };
  for (const command of shown(/^docker build /)) {
    equal(command, `docker build -t REGISTRY/localdns:${appVersion} --build-arg VERSION=${appVersion} .`);
  }
  for (const command of shown(/^docker push /)) equal(command, `docker push REGISTRY/localdns:${appVersion}`);
  for (const command of shown(/^helm install /)) match(command, /--set image\.repository=REGISTRY\/localdns$/);
});

test('whoever waits for a profile waits for longer than the nodes that try it take', () => {
  for (const command of shown(/^kubectl wait .*=Programmed /)) match(command, / --timeout=5m$/);
});

test('whoever waits for a node to be out of service waits for longer than one whose agent is dead takes', () => {
  for (const command of shown(/^kubectl wait --for=delete ldn/)) match(command, / --timeout=2m$/);
});

test("an upgrade takes what was set, and of all else the newer chart's", () => {
  for (const command of shown(/^helm upgrade /)) match(command, / --reset-then-reuse-values( |$)/);
});

interface Container {
  name: string;
  command?: string[];
  readinessProbe?: { exec?: { command: string[] } };
  livenessProbe?: { exec?: { command: string[] } };
  lifecycle?: Record<string, { exec?: { command: string[] } }>;
}

/** Wherever in an object. */
function containersIn(value: unknown): Container[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) =>
    (key === 'containers' || key === 'initContainers') && Array.isArray(member)
      ? (member as Container[])
      : containersIn(member),
  );
}

/** What the image must have for it: without a command that is the image's own program. */
function programsOf({ command, readinessProbe, livenessProbe, lifecycle = {} }: Container): string[] {
  const probes = [readinessProbe, livenessProbe, ...Object.values(lifecycle)].map((probe) => probe?.exec?.command);
  return [command ?? ['localdns'], ...probes].flatMap((words) => words?.slice(0, 1) ?? []);
}

const lacks = (objects: readonly unknown[]): string[] =>
  objects
    .flatMap(containersIn)
    .flatMap(programsOf)
    .filter((program) => !imagePrograms.some((one) => one === program));

const examples = globSync('examples/*.yaml', { cwd: root }).flatMap((path) =>
  parseAllDocuments(readFileSync(join(root, path), 'utf8')).map((document) => document.toJS() as unknown),
);

test('no pod of the examples starts a program that the image lacks', () => {
  deepEqual(lacks([{ template: { initContainers: [{ name: 'a', command: ['sleep', '1'] }] } }]), ['sleep']);
  deepEqual(lacks([{ containers: [{ name: 'a', readinessProbe: { exec: { command: ['cat', '/x'] } } }] }]), ['cat']);
  ok(examples.flatMap(containersIn).length >= 2);
  deepEqual(lacks(examples), []);
});

test('no pod of the chart starts a program that the image lacks', withHelm, () => {
  const manifests = render();
  deepEqual(new Set(manifests.flatMap(containersIn).flatMap(programsOf)), new Set(['localdns', 'node', 'test']));
  deepEqual(lacks(manifests), []);
});

test('what says that a node is clean stays until it is told to end, and ends at once', async () => {
  const [done] = examples.flatMap(containersIn).filter(({ name }) => name === 'done');
  const [program, ...args] = done?.command ?? [];
  equal(program, 'node');
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const [said] = await Promise.race([once(child.stdout, 'data'), ended]);
  match(String(said), /clean/);
  child.kill('SIGTERM');
  deepEqual(await ended, [0, null]);
});
