/**
 * `npm run mutants [-- WORD…]`: breaks the product on purpose, one place at a time, and sees whether the test that
 * claims to guard that place turns red. A list beside this file holds the breakages:
 *
 *     [{ "file": "agent/zone/zone-table.ts", "old": "…", "new": "…", "test": "agent/zone/zone-table.test.ts" }]
 *
 * `old` must stand in the file exactly once. WORDs choose the breakages whose list, file or test contains one of them.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, matchesGlob, resolve } from 'node:path';
import { lacking, type Need } from '../tools/find.ts';
import { preferSession } from '../tools/prefer-session.ts';
import { RunFolder, sweepRunFolders } from '../tools/run-folder.ts';
import { type Tier, tiers } from '../tools/tiers.ts';

interface Mutant {
  list: string;
  file: string;
  old: string;
  new: string;
  test: string;
}

type Verdict = { kind: 'killed' | 'survived' | 'skipped' | 'misaimed'; why: string };

const root = resolve(import.meta.dirname, '../..');
const atOnce = 2;
const testLimitMs = 60_000;
const clusterTestLimitMs = 240_000;

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  const mutants = readLists().filter(({ list, file, test }) => {
    return words.length === 0 || words.some((word) => [list, file, test].some((text) => text.includes(word)));
  });
  if (mutants.length === 0) {
    console.error(words.length === 0 ? 'no list in test/mutants' : `no mutant has ${words.join(' or ')}`);
    return 2;
  }
  const startedAt = performance.now();
  for (const line of await sweepRunFolders()) console.log(line);
  // A run folder, so that the copies of a run that was killed go with the next run of any test.
  const { path: trees } = new RunFolder('mutants');
  const lanes = Array.from({ length: atOnce }, (_, lane) => join(trees, String(lane)));
  process.once('exit', () => {
    for (const child of running) endGroup(child);
    rmSync(trees, { recursive: true, force: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      for (const child of running) endGroup(child);
      for (const tree of lanes) await sweepRunFolders(temporaryOf(tree));
      process.exit(130);
    });
  }

  const verdicts: Verdict[] = [];
  const work = async (queue: Mutant[], tree: string) => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const verdict = await judge(mutant, tree);
      verdicts.push(verdict);
      console.log(
        `${verdict.kind.padEnd(8)} ${mutant.file}: ${excerpt(mutant)}${verdict.why === '' ? '' : `: ${verdict.why}`}`,
      );
    }
  };
  for (const tree of lanes) copyTree(tree);
  const quick = mutants.filter(({ test }) => needsOf(test).length === 0);
  await Promise.all(lanes.map((tree) => work(quick, tree)));
  // Tests that start a cluster also measure time: one by one, so that none is red for want of a processor.
  const slow = mutants.filter(({ test }) => needsOf(test).length > 0);
  await work(slow, lanes[0] ?? '');

  const count = (kind: Verdict['kind']) => verdicts.filter((verdict) => verdict.kind === kind).length;
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const counts = (['killed', 'survived', 'misaimed', 'skipped'] as const).map((kind) => `${count(kind)} ${kind}`);
  console.log(`mutants: ${counts.join(', ')} in ${seconds} s`);
  return count('survived') + count('misaimed') > 0 ? 1 : 0;
}

function readLists(): Mutant[] {
  const lists = globSync('*.json', { cwd: import.meta.dirname }).sort();
  return lists.flatMap((list) => {
    const entries = JSON.parse(readFileSync(join(import.meta.dirname, list), 'utf8')) as Omit<Mutant, 'list'>[];
    return entries.map((entry) => ({ ...entry, list: basename(list, '.json') }));
  });
}

/** The tree as it is now, uncommitted work included, without what git ignores. */
function copyTree(tree: string): void {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  // As a link, as in a second work tree, node_modules is not what .gitignore means by a folder.
  for (const file of listed.split('\0').filter((name) => name !== '' && name !== 'node_modules')) {
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    try {
      cpSync(join(root, file), join(tree, file), { verbatimSymlinks: true });
    } catch (error) {
      // Deleted in the work tree, and not yet in the index.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
}

const running = new Set<ChildProcess>();
const soundTests = new Map<string, Promise<boolean>>();

async function judge(mutant: Mutant, tree: string): Promise<Verdict> {
  const missing = lacking(needsOf(mutant.test)).map(({ message }) => message);
  if (missing.length > 0) return { kind: 'skipped', why: missing.join('; ') };

  const path = join(tree, mutant.file);
  const source = readOrEmpty(path);
  const places = source.split(mutant.old).length - 1;
  if (places !== 1) return { kind: 'misaimed', why: `what it replaces stands there ${places} times` };
  if (mutant.old === mutant.new) return { kind: 'misaimed', why: 'it changes nothing' };

  // A test that is red before anything was broken kills every mutant, and proves nothing.
  const sound = soundTests.get(mutant.test) ?? isGreen(mutant.test, tree);
  soundTests.set(mutant.test, sound);
  if (!(await sound)) return { kind: 'misaimed', why: `${mutant.test} is red before anything is broken` };

  writeFileSync(
    path,
    source.replace(mutant.old, () => mutant.new),
  );
  try {
    return (await isGreen(mutant.test, tree)) ? { kind: 'survived', why: `${mutant.test} stays green` } : killed;
  } finally {
    writeFileSync(path, source);
  }
}

/** Temporary files of its own for each tree: who knows what broken code removes. */
function temporaryOf(tree: string): string {
  return `${tree}-tmp`;
}

/** What the test's tier needs of the machine. */
function needsOf(test: string): readonly Need[] {
  return tierOf(test)?.needs ?? [];
}

function tierOf(test: string): Tier | undefined {
  return tiers.find(({ files }) => files.some((glob) => matchesGlob(test, glob)));
}

const killed: Verdict = { kind: 'killed', why: '' };

/** A test that hangs on broken code has noticed it. */
function isGreen(test: string, tree: string): Promise<boolean> {
  const temporary = temporaryOf(tree);
  mkdirSync(temporary, { recursive: true });
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
  const env = { ...inherited, TMPDIR: temporary };
  const limitMs = needsOf(test).length === 0 ? testLimitMs : clusterTestLimitMs;
  const args = ['--test', '--test-reporter=dot', `--test-timeout=${limitMs}`, test];
  const child = spawn(process.execPath, args, { cwd: tree, env, stdio: 'ignore', detached: true });
  running.add(child);
  if (tierOf(test)?.ahead) preferSession(child.pid);
  const timer = setTimeout(() => endGroup(child), limitMs);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', async (code) => {
      running.delete(child);
      clearTimeout(timer);
      await sweepRunFolders(temporary);
      resolve(code === 0);
    });
  });
}

/** The test runner, and the test file that it started. */
function endGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function excerpt({ old, new: replacement }: Mutant): string {
  const line = (text: string) => JSON.stringify(text.trim().replaceAll(/\s+/g, ' ').slice(0, 50));
  return `${line(old)} → ${line(replacement)}`;
}

process.exitCode = await main();
