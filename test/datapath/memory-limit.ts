import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from '../cluster/namespace.ts';
import { eventually } from '../tools/eventually.ts';

const groups = '/sys/fs/cgroup';
/** Room that the limit leaves above what is used: the kernel would refuse to set it below. */
const headroomOctets = 4 * 2 ** 20;

/** A control group of one process, whose memory can be made to run out (cgroup v1 and v2). */
export class MemoryLimit {
  readonly #folder: string;
  readonly #limitFile: string;
  readonly #usageFile: string;

  private constructor(folder: string, isV1: boolean) {
    this.#folder = folder;
    this.#limitFile = join(folder, isV1 ? 'memory.limit_in_bytes' : 'memory.max');
    this.#usageFile = join(folder, isV1 ? 'memory.usage_in_bytes' : 'memory.current');
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

  /**
   * Lets memory run out: another process of the group takes more and more, and the kernel ends the one that it is told to
   * prefer. Returns when that one is about to die.
   */
  runOut(victimPid: number, namespace: Namespace): { stop(): void } {
    writeFileSync(`/proc/${victimPid}/oom_score_adj`, '1000');
    writeFileSync(this.#limitFile, String(Number(readFileSync(this.#usageFile, 'utf8')) + headroomOctets));
    // One endless line, which tail(1) keeps.
    const script = `echo $$ > ${this.#folder}/cgroup.procs; exec tail /dev/zero`;
    const hog = namespace.exec('sh', ['-c', script], { stdio: 'ignore' });
    return { stop: () => void hog.kill('SIGKILL') };
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
