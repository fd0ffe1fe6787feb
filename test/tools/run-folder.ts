import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Hierarchy, removeGroup } from './control-groups.ts';
import { identify, identifySelf, isAlive, killProcess, type ProcessIdentity } from './process-identity.ts';

/** How the name of a folder begins whose owner is not yet written down. */
const beingMade = '.';

/**
 * What one test process has made outside itself: processes, network namespaces, files. A test process that is killed
 * cannot clean up, so each of these is written down here before it is used, and whoever runs tests next removes what
 * belonged to a dead owner.
 *
 *     ${tmpdir}/localdns-test/<pid>-<label>/
 *       owner            the identity of the process that made this folder
 *       processes/<pid>  the identity of a process that it started
 *       namespaces/<name>
 *       groups/<name>    the paths of control groups that are called so, one a line
 */
/** In this process so far: one of several may be gone before the next one comes, or not. */
let folders = 0;
let namespaces = 0;

export class RunFolder {
  readonly path: string;

  constructor(label: string) {
    const name = `${process.pid}-${label}${++folders}`;
    this.path = join(runFolders(), name);
    const making = join(runFolders(), `${beingMade}${name}`);
    // Folders of these names that are there already were left by a process which had our id before us.
    for (const path of [making, this.path]) rmSync(path, { recursive: true, force: true });
    mkdirSync(join(making, 'processes'), { recursive: true });
    mkdirSync(join(making, 'namespaces'));
    mkdirSync(join(making, 'groups'));
    writeFileSync(join(making, 'owner'), JSON.stringify(identifySelf()));
    // Another runner may sweep at this very moment: the folder appears with its owner in it, or not at all.
    renameSync(making, this.path);
  }

  /** To be called at once after the start; a process that has already ended needs no note. */
  recordProcess(pid: number): void {
    const identity = identify(pid);
    if (identity !== undefined) writeFileSync(this.#process(pid), JSON.stringify(identity));
  }

  forgetProcess(pid: number): void {
    rmSync(this.#process(pid), { force: true });
  }

  /** Makes a network namespace and gives its name, which carries our process id. */
  addNamespace(label: string): string {
    const name = `ldns-${process.pid}-${label}${++namespaces}`;
    // Noted first: a note without a namespace is harmless, the other way round it would stay for ever.
    writeFileSync(join(this.path, 'namespaces', name), '');
    ip('netns', 'add', name);
    return name;
  }

  /** With whatever still runs in it. */
  async removeNamespace(name: string): Promise<void> {
    await removeNamespace(name);
    rmSync(join(this.path, 'namespaces', name), { force: true });
  }

  /** Makes a control group of this name in each hierarchy, below those that we are in; what runs there need not end by itself. */
  addGroups(name: string, hierarchies: readonly Hierarchy[]): string[] {
    const paths = hierarchies.map(({ own }) => join(own, name));
    writeFileSync(join(this.path, 'groups', name), paths.join('\n'));
    for (const [index, path] of paths.entries()) {
      mkdirSync(path, { recursive: true });
      hierarchies[index]?.prepare(path);
    }
    return paths;
  }

  /** Ends everything noted here, then removes the folder itself. */
  async remove(): Promise<void> {
    await removeRunFolder(this.path);
  }

  #process(pid: number): string {
    return join(this.path, 'processes', String(pid));
  }
}

/** Removes what test processes that no longer exist have left. Returns one line for each. */
export async function sweepRunFolders(below = tmpdir()): Promise<string[]> {
  const removed: string[] = [];
  for (const name of list(runFolders(below))) {
    if (name.startsWith(beingMade)) continue;
    const path = join(runFolders(below), name);
    const owner = readIdentity(join(path, 'owner'));
    if (owner !== undefined && isAlive(owner)) continue;
    const what = await removeRunFolder(path);
    removed.push(`removed what a test process that was killed had left: ${name}${what === '' ? '' : ` (${what})`}`);
  }
  return removed;
}

/** Processes that live, and whose run folder has a file of this name. */
export function ownersOf(mark: string): ProcessIdentity[] {
  return list(runFolders())
    .filter((name) => existsSync(join(runFolders(), name, mark)))
    .flatMap((name) => readIdentity(join(runFolders(), name, 'owner')) ?? [])
    .filter((owner) => isAlive(owner));
}

async function removeRunFolder(path: string): Promise<string> {
  let killed = 0;
  for (const pid of list(join(path, 'processes'))) {
    const identity = readIdentity(join(path, 'processes', pid));
    if (identity !== undefined && isAlive(identity) && (await killProcess(identity))) killed++;
  }
  const namespaces = list(join(path, 'namespaces'));
  for (const name of namespaces) killed += await removeNamespace(name);
  const groups = list(join(path, 'groups')).flatMap((name) =>
    readFileSync(join(path, 'groups', name), 'utf8')
      .split('\n')
      .filter((line) => line !== ''),
  );
  for (const group of groups) await removeGroup(group);
  rmSync(path, { recursive: true, force: true });
  return [
    killed > 0 ? `${killed} processes` : '',
    namespaces.length > 0 ? `${namespaces.length} network namespaces` : '',
    groups.length > 0 ? `${groups.length} control groups` : '',
  ]
    .filter((part) => part !== '')
    .join(', ');
}

/**
 * Whatever runs in a namespace of ours was started by our tests, grandchildren too, and would keep the namespace alive
 * after its name is gone. Returns how many processes were ended.
 */
async function removeNamespace(name: string): Promise<number> {
  if (!existsSync(join('/run/netns', name))) return 0;
  let killed = 0;
  // A process may fork while we look, so look until nothing is there.
  for (let round = 0; round < 50; round++) {
    const { stdout } = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
    const inside = stdout.split('\n').flatMap((line) => identify(Number(line)) ?? []);
    if (inside.length === 0) break;
    for (const identity of inside) if (await killProcess(identity)) killed++;
  }
  try {
    ip('netns', 'del', name);
  } catch (error) {
    // Two who sweep at the same time find the same; the other was first.
    if (existsSync(join('/run/netns', name))) throw error;
  }
  return killed;
}

function ip(...args: string[]): void {
  const { status, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
}

/** One for each user of the machine: what root has left, others cannot remove, nor write beside it. */
function runFolders(below = tmpdir()): string {
  const user = process.getuid?.() ?? 0;
  return join(below, user === 0 ? 'localdns-test' : `localdns-test-${user}`);
}

function readIdentity(path: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity;
  } catch {
    return undefined;
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
