/**
 * `npm run tools`: builds the foreign programs of the cluster tests, those that are missing or whose pin has changed.
 *
 * Safe to run twice, to run from two shells at once, and to be killed: a binary appears under its name only when it is
 * whole, and its note of what it was built from only after it.
 */
import { spawn } from 'node:child_process';
import { chmodSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, findTool, isBuilt, toolsFolder } from './find.ts';
import { takeLock } from './lock.ts';
import { fingerprint, stagingVersion, type Tool, tools, versions } from './versions.ts';

const minuteMs = 60_000;
const buildLimitMs = 45 * minuteMs;

async function main(): Promise<number> {
  const folder = toolsFolder();
  mkdirSync(folder, { recursive: true });
  const startedAt = performance.now();
  const unlock = await takeLock(join(folder, '.lock'), {
    withinMs: buildLimitMs,
    waiting: ({ pid }) => say(`process ${pid} is building into ${folder}; waiting for it`),
  });
  // With the lock in hand, a workspace that lies here belongs to a run that was killed.
  for (const left of globSync(join(folder, '.work-*'))) rmSync(left, { recursive: true, force: true });
  const workspace = mkdtempSync(join(folder, '.work-'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      rmSync(workspace, { recursive: true, force: true });
      unlock();
      process.exit(130);
    });
  }
  try {
    const missing = tools.filter((tool) => findTool(tool.name) === undefined);
    if (missing.length > 0 && findProgram('go') === undefined) {
      say(`Go is needed to build ${missing.map((tool) => tool.name).join(', ')}: install Go 1.24 or newer`);
      return 2;
    }
    for (const tool of tools) if (!missing.includes(tool)) say(`${tool.name} ${tool.version}: there`);
    // Compiling fills all cores, linking fills one: two lanes keep a second core busy while the other links.
    const lanes = [
      missing.filter((tool) => tool.through === 'kubernetes'),
      missing.filter((tool) => tool.through !== 'kubernetes'),
    ];
    const outcomes = await Promise.allSettled(lanes.map((lane) => buildAll(lane, workspace)));
    const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []));
    for (const failure of failures) say(failure.message);
    if (failures.length > 0) return 1;
    say(`all there in ${folder}, ${seconds(startedAt)} s`);
    return 0;
  } finally {
    rmSync(workspace, { recursive: true, force: true });
    unlock();
  }
}

async function buildAll(lane: readonly Tool[], workspace: string): Promise<void> {
  for (const tool of lane) {
    const startedAt = performance.now();
    const output = join(workspace, tool.name);
    await buildOne(tool, workspace, output);
    chmodSync(output, 0o755);
    const target = join(toolsFolder(), tool.name);
    // The old note goes first: killed between any two of these steps, the tool is merely built again.
    rmSync(`${target}.version`, { force: true });
    renameSync(output, target);
    writeFileSync(`${output}.version`, fingerprint(tool));
    renameSync(`${output}.version`, `${target}.version`);
    if (!isBuilt(tool.name)) throw new Error(`${tool.name}: built, and yet not found in ${target}`);
    say(`${tool.name} ${tool.version}: built, ${seconds(startedAt)} s`);
  }
}

async function buildOne(tool: Tool, workspace: string, output: string): Promise<void> {
  const stamps = Object.entries(tool.stamps).map(([symbol, value]) => `-X ${symbol}=${value}`);
  const flags = ['-trimpath', `-ldflags=${['-s', '-w', ...stamps].join(' ')}`];
  if (tool.through === 'install') {
    // GOBIN is the program's own folder: two installs at once must not see each other's half-written file.
    const folder = mkdtempSync(join(workspace, 'bin-'));
    await go(['install', ...flags, `${tool.package}@${tool.version}`], workspace, { GOBIN: folder });
    renameSync(join(folder, tool.name), output);
    return;
  }
  const module = tool.through === 'kubernetes' ? await kubernetesModule(workspace) : await etcdModule(workspace);
  await go(['build', ...flags, '-o', output, tool.package], module, {});
}

/**
 * k8s.io/kubernetes cannot be installed by version: its go.mod replaces its staging modules by folders of its own
 * repository. A module of ours that requires it and names their published versions in place of the folders can build it.
 */
async function kubernetesModule(workspace: string): Promise<string> {
  const folder = join(workspace, 'kubernetes');
  if (!isNew(folder)) return folder;
  const fetched = await go(['mod', 'download', '-json', `k8s.io/kubernetes@${versions.kubernetes}`], workspace, {});
  const { GoMod } = JSON.parse(fetched) as { GoMod: string };
  const original = readFileSync(GoMod, 'utf8');
  const staging = [...original.matchAll(/^\s+(k8s\.io\/\S+) v0\.0\.0$/gm)].map(([, path]) => path);
  const goVersion = original.match(/^go .+$/m)?.[0] ?? 'go 1.24.0';
  const replaced = staging.map((path) => `replace ${path} => ${path} ${stagingVersion}`);
  writeModule(folder, goVersion, `k8s.io/kubernetes ${versions.kubernetes}`, replaced, 'kubernetes');
  await go(['mod', 'tidy', '-e'], folder, {});
  return folder;
}

async function etcdModule(workspace: string): Promise<string> {
  const folder = join(workspace, 'etcd-module');
  if (!isNew(folder)) return folder;
  writeModule(folder, 'go 1.24.0', `go.etcd.io/etcd/server/v3 ${versions.etcd}`, [], 'etcd');
  await go(['mod', 'tidy', '-e'], folder, {});
  return folder;
}

function isNew(folder: string): boolean {
  return mkdirSync(folder, { recursive: true }) !== undefined;
}

/** Importing the main packages under a build tag that nobody sets makes `go mod tidy` keep what they need. */
function writeModule(folder: string, goLine: string, requires: string, replaces: string[], through: Tool['through']) {
  const lines = ['module localdns.test/tools', '', goLine, '', `require ${requires}`, '', ...replaces, ''];
  writeFileSync(join(folder, 'go.mod'), lines.join('\n'));
  const imports = tools.filter((tool) => tool.through === through).map((tool) => `import _ "${tool.package}"`);
  writeFileSync(join(folder, 'tools.go'), ['//go:build tools', '', 'package tools', '', ...imports, ''].join('\n'));
}

function go(args: string[], cwd: string, extra: Record<string, string>): Promise<string> {
  const child = spawn('go', args, {
    cwd,
    // Without cgo every binary is static and no C compiler is needed. A developer's own GOFLAGS could change the build.
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off', ...extra },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: buildLimitMs,
  });
  const out: string[] = [];
  const err: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => out.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => err.push(text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(out.join(''));
      const tail = err.join('').trim().split('\n').slice(-30).join('\n');
      reject(new Error(`go ${args.join(' ')} ended with ${code ?? signal}:\n${tail}`));
    });
  });
}

function seconds(sinceMs: number): number {
  return Math.round((performance.now() - sinceMs) / 1000);
}

function say(line: string): void {
  console.log(`tools: ${line}`);
}

process.exitCode = await main();
