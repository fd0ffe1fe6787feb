import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from '../cluster/namespace.ts';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';

const groups = '/sys/fs/cgroup';
/** Room that the limit leaves above what is used: the kernel would refuse to set it below. */
const headroomOctets = 4 * 2 ** 20;

/** A control group of one process, whose memory can be made to run out (cgroup v1 and v2). */
export class MemoryLimit {
  readonly #folder: string;
  readonly #limitFile: string;
  readonly #usageFile: string;
  /** In which the kernel counts the processes that it has killed for want of memory. */
  readonly #killsFile: string;

  private constructor(folder: string, isV1: boolean) {
    this.#folder = folder;
    this.#limitFile = join(folder, isV1 ? 'memory.limit_in_bytes' : 'memory.max');
    this.#usageFile = join(folder, isV1 ? 'memory.usage_in_bytes' : 'memory.current');
    this.#killsFile = join(folder, isV1 ? 'memory.oom_control' : 'memory.events');
  }

  /** Throws where this machine lets nobody make such a group. */
  static of(pid: number): MemoryLimit {
    const isV1 = existsSync(join(groups, 'memory/cgroup.procs'));
    const parent = isV1 ? join(groups, 'memory') : groups;
    sweep(parent);
    const folder = join(parent, `localdns-test-${process.pid}`);
    mkdirSync(folder, { recursive: true });
    const limit = new MemoryLimit(folder, isV1);
    writeFileSync(join(folder, 'cgroup.procs'), String(pid));
    return limit;
  }

  /** Of a container: the group that a process of it is in. */
  static around(process: string): MemoryLimit {
    const isV1 = existsSync(join(groups, 'memory/cgroup.procs'));
    const [, path = ''] =
      (isV1 ? /:memory:(.*)/ : /^0::(.*)/m).exec(readFileSync(join(process, 'cgroup'), 'utf8')) ?? [];
    return new MemoryLimit(join(isV1 ? join(groups, 'memory') : groups, path), isV1);
  }

  /** The id of a container's first process: probes are others. */
  first(): number {
    const members = readFileSync(join(this.#folder, 'cgroup.procs'), 'utf8').trim().split('\n').map(Number);
    const first = members.find((pid) => /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
    if (first === undefined) throw new Error(`nobody lives in ${this.#folder}`);
    return first;
  }

  /**
   * Lets memory run out: another process of the group takes more and more, and the kernel ends the one that it is told to
   * prefer.
   * @returns when that was, by the wall clock
   */
  async runOut(victimPid: number, namespace: Namespace): Promise<number> {
    writeFileSync(`/proc/${victimPid}/oom_score_adj`, '1000');
    writeFileSync(this.#limitFile, String(Number(readFileSync(this.#usageFile, 'utf8')) + headroomOctets));
    // One endless line, which tail(1) keeps.
    const script = `echo $$ > ${this.#folder}/cgroup.procs; exec tail /dev/zero`;
    const hog = namespace.exec('sh', ['-c', script], { stdio: 'ignore' });
    try {
      while (this.#kills === 0) await pause(1);
      return Date.now();
    } finally {
      hog.kill('SIGKILL');
    }
  }

  get #kills(): number {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(this.#killsFile, 'utf8'))?.[1]);
  }

  async remove(): Promise<void> {
    await eventually('the control group is empty', 5_000, () => {
      rmdirSync(this.#folder);
      return true;
    });
  }
}

/** Empty groups of test processes that were killed. */
function sweep(parent: string): void {
  for (const name of readdirSync(parent).filter((entry) => /^localdns-test-\d+$/.test(entry))) {
    if (existsSync(`/proc/${name.slice('localdns-test-'.length)}`)) continue;
    try {
      rmdirSync(join(parent, name));
    } catch {
      // Somebody still lives in it.
    }
  }
}
