/**
 * `npm test`: runs every tier for which this machine has what it takes, and says of the others what is lacking.
 *
 *     npm test                            all tiers but those that run by name alone
 *     npm test -- unit cluster            these tiers
 *     npm test -- agent/wire/name.test.ts these files
 *     npm test -- --nightly               the larger forms
 *
 * LOCALDNS_TEST_REQUIRE=all turns a tier that cannot run into a failure. LOCALDNS_TEST_OUTCOME names a file for what came of it, as JSON.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, matchesGlob, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Lack, lacking } from './tools/find.ts';
import { preferSession } from './tools/prefer-session.ts';
import type { Totals } from './tools/reporter.ts';
import { RunFolder, sweepRunFolders } from './tools/run-folder.ts';
import { type Tier, tiers } from './tools/tiers.ts';

const root = resolve(import.meta.dirname, '..');
const requireAll = process.env.LOCALDNS_TEST_REQUIRE === 'all';
// What the tests start by name finds the pinned Node first, whatever the machine's own is.
process.env.PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`;
// Hundreds of processes read the same sources: compiled once, each takes half the processor time to start.
process.env.NODE_COMPILE_CACHE ??= join(root, 'node_modules/.cache/compile');
const none: Totals = { passed: 0, failed: 0, skipped: 0, failures: [] };
// Not for runs that tests start.
const { LOCALDNS_TEST_OUTCOME: outcomeFile } = process.env;
delete process.env.LOCALDNS_TEST_OUTCOME;
let running: ChildProcess | undefined;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { nightly: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const names = ['check', ...tiers.map((tier) => tier.name)];
  const wantedFiles = positionals
    .filter((word) => word.endsWith('.test.ts'))
    .map((word) => relative(root, resolve(word)));
  const wantedTiers = positionals.filter((word) => !word.endsWith('.test.ts'));
  const unknown = wantedTiers.filter((word) => !names.includes(word));
  if (unknown.length > 0) {
    console.error(`unknown tier ${unknown.join(', ')}; there are ${names.join(', ')}, and paths that end in .test.ts`);
    return 2;
  }
  if (values.nightly) process.env.LOCALDNS_NIGHTLY = '1';
  const isWanted = (name: string) => positionals.length === 0 || wantedTiers.includes(name);

  for (const line of await sweepRunFolders()) console.log(line);
  const totals: Totals[] = [];
  if (isWanted('check')) totals.push(await check());
  for (const tier of tiers) {
    const isDue = tier.byName ? wantedTiers.includes(tier.name) : isWanted(tier.name);
    const files = filesOf(tier).filter((file) => isDue || wantedFiles.includes(file));
    if (files.length === 0 && !wantedTiers.includes(tier.name)) continue;
    totals.push(await runTier(tier, files));
  }
  const sum = totals.reduce(add, none);
  if (outcomeFile) writeFileSync(outcomeFile, JSON.stringify(sum));
  console.log(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
  return sum.failed > 0 || sum.passed === 0 ? 1 : 0;
}

/** Types and style: both come with `npm ci`, so there is no machine on which they cannot run. */
async function check(): Promise<Totals> {
  const startedAt = performance.now();
  console.log('\ncheck: types and style');
  let sum = none;
  for (const [program, ...args] of [
    ['tsc', '--noEmit'],
    ['biome', 'check', '--error-on-warnings', '.'],
  ]) {
    const code = await run(join(root, 'node_modules/.bin', program ?? ''), args, process.env, 5 * 60_000);
    sum = add(sum, { ...none, [code === 0 ? 'passed' : 'failed']: 1 });
  }
  say('check', sum, startedAt);
  return sum;
}

async function runTier(tier: Tier, files: string[]): Promise<Totals> {
  const startedAt = performance.now();
  console.log(`\n${tier.name}: ${tier.about}`);
  const lacks = lacking(tier.needs);
  if (lacks.length > 0) return cannotRun(tier, lacks, files.length);
  if (files.length === 0) {
    console.log(`${tier.name}: no test file`);
    return none;
  }
  const folder = new RunFolder('run');
  const totalsFile = join(folder.path, 'totals');
  const isNightly = process.env.LOCALDNS_NIGHTLY === '1';
  const testLimitMs = (isNightly ? tier.nightlyTestLimitMs : undefined) ?? tier.testLimitMs;
  const args = [
    '--test',
    `--test-concurrency=${tier.atOnce}`,
    `--test-timeout=${testLimitMs}`,
    ...(tier.together ? ['--test-isolation=none'] : []),
    `--test-reporter=${join(root, 'test/tools/reporter.ts')}`,
    '--test-reporter-destination=stdout',
    ...files,
  ];
  const limitMs = testLimitMs * (files.length + 1);
  const env = { ...process.env, LOCALDNS_TEST_TOTALS: totalsFile };
  const code = await run(process.execPath, args, env, limitMs, tier.ahead);
  const told = readTotals(totalsFile);
  await folder.remove();
  // A test file that was ended for its slowness could not clean up after itself.
  for (const line of await sweepRunFolders()) console.log(line);
  // A runner that died without a word, or that is unhappy for a reason no test has, has failed.
  const sum =
    told === undefined || (code !== 0 && told.failed === 0) ? add(told ?? none, { ...none, failed: 1 }) : told;
  say(tier.name, sum, startedAt);
  return sum;
}

function cannotRun(tier: Tier, lacks: Lack[], files: number): Totals {
  console.log(`${tier.name}: ${requireAll ? 'FAILED' : 'skipped'}, this machine lacks`);
  for (const { message } of lacks) console.log(`  - ${message}`);
  return requireAll ? { ...none, failed: 1 } : { ...none, skipped: files };
}

function filesOf(tier: Tier): string[] {
  const found = globSync([...tier.files], { cwd: root, exclude: (path) => matchesGlob(path, '**/node_modules') });
  return found.sort();
}

/** A tier that hangs is ended, with every process that it started: they share its process group. */
function run(
  program: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  limitMs: number,
  ahead = false,
): Promise<number | null> {
  const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'], detached: true });
  running = child;
  if (ahead) preferSession(child.pid);
  const timer = setTimeout(() => {
    console.log(`not finished after ${Math.round(limitMs / 60_000)} minutes: ended`);
    endGroup(child);
  }, limitMs);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      running = undefined;
      resolve(code);
    });
  });
}

function endGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function readTotals(path: string): Totals | undefined {
  try {
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    return lines.map((line) => JSON.parse(line) as Totals).reduce(add, none);
  } catch {
    return undefined;
  }
}

function add(a: Totals, b: Totals): Totals {
  return {
    ...{ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped },
    failures: [...a.failures, ...b.failures],
  };
}

function say(name: string, sum: Totals, sinceMs: number): void {
  const seconds = ((performance.now() - sinceMs) / 1000).toFixed(1);
  console.log(`${name}: passed ${sum.passed}, failed ${sum.failed}, skipped ${sum.skipped} in ${seconds} s`);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    if (running !== undefined) endGroup(running);
    for (const line of await sweepRunFolders()) console.log(line);
    process.exit(130);
  });
}

process.exitCode = await main();
