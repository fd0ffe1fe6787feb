/**
 * Control groups of version 1, in which each hierarchy of controllers has a folder of its own. A node's programs live in groups of the
 * node's own, below those that the test runs in: the machine's other groups are not touched.
 */
import { existsSync, globSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface Hierarchy {
  /** What mount(8) is told to mount it: `memory`, or `none,name=systemd`. */
  readonly options: string;
  /** The name of its folder. */
  readonly name: string;
  /** The group that we are in. */
  readonly own: string;
  /** A group that was just made takes processes only after this. */
  prepare(group: string): void;
}

/** A group has as much of the processors as one other session (1024), however many live in it: too little for a whole machine. */
const machineShares = '32768';

/** Without these no kubelet starts. It wants systemd's even where there is no systemd. */
const wanted = ['cpu', 'cpuacct', 'cpuset', 'memory', 'devices', 'freezer', 'pids', 'systemd'];

export function hierarchies(): Hierarchy[] {
  const mounts = new Map(
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .flatMap((line) => {
        const found = / (\/\S*) (\/\S+) .* - cgroup \S+ \S*?((?:name=)?[a-z_,]+)$/.exec(line);
        if (found === null) return [];
        const [, root = '', folder = '', options = ''] = found;
        return [[options.replace(/^rw,/, ''), { root, folder }] as const];
      }),
  );
  return readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, controllers = '', path = '/'] = /^\d+:([^:]+):(.*)$/.exec(line) ?? [];
      const mount = mounts.get(controllers);
      // Version 2 has no name here.
      if (controllers === '' || mount === undefined) return [];
      // In a container the mount may begin at a group below the topmost.
      const below = path.startsWith(mount.root) ? path.slice(mount.root.length) : path;
      const inner = join(mount.folder, below);
      const isNamed = controllers.startsWith('name=');
      return {
        options: isNamed ? `none,${controllers}` : controllers,
        name: controllers.replace('name=', ''),
        own: existsSync(inner) ? inner : mount.folder,
        prepare: (group) => {
          if (controllers.split(',').includes('cpuset')) inheritProcessors(group);
          if (controllers.split(',').includes('cpu')) writeFileSync(join(group, 'cpu.shares'), machineShares);
        },
      };
    });
}

/** What keeps nodes from running here; undefined where nothing does. */
export function lackOfGroups(): string | undefined {
  const found = process.platform === 'linux' ? hierarchies().flatMap(({ name }) => name.split(',')) : [];
  const missing = wanted.filter((name) => !found.includes(name));
  if (missing.length === 0) return undefined;
  return `control groups of version 1: ${missing.join(', ')} not there; boot with systemd.unified_cgroup_hierarchy=0`;
}

function inheritProcessors(group: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    writeFileSync(join(group, file), readFileSync(join(dirname(group), file)));
  }
}

/** Ends who is left in a group of ours, and removes it with all below it. The kernel lets go of the dead only after a while. */
export async function removeGroup(group: string, withinMs = 10_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const inside = globSync(join(group, '**/cgroup.procs')).map(dirname);
    // The longest path lies deepest.
    for (const folder of [...inside.sort((a, b) => b.length - a.length), group]) {
      endAll(folder);
      try {
        rmdirSync(folder);
      } catch {
        // Somebody is in it still; the next round sees.
      }
    }
    if (!existsSync(group)) return;
    if (performance.now() > deadline) throw new Error(`the control group ${group} is still in use`);
    await delay(20);
  }
}

function endAll(folder: string): void {
  try {
    for (const pid of readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)) {
      if (pid > 0 && pid !== process.pid) process.kill(pid, 'SIGKILL');
    }
  } catch {
    // It has ended meanwhile, or the group has gone.
  }
}
