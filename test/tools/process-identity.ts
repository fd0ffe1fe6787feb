import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * A process id alone does not name a process: the kernel hands the number out again. Together with the moment at which
 * it started it does, so nothing here ever signals a process by its number alone.
 */
export interface ProcessIdentity {
  pid: number;
  /** Opaque: clock ticks since boot on Linux, a date elsewhere. Only ever compared with another reading. */
  startedAt: string;
}

/** The process that has this id now, or undefined where there is none (or it is a zombie, which can hold nothing). */
export function identify(pid: number): ProcessIdentity | undefined {
  const startedAt = process.platform === 'linux' ? startOnLinux(pid) : startByPs(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startedAt === identity.startedAt;
}

export function identifySelf(): ProcessIdentity {
  const self = identify(process.pid);
  if (self === undefined) throw new Error('this process cannot find itself in the process table');
  return self;
}

/** Kills exactly this process, and waits until it is gone. False when it still exists after the deadline. */
export async function killProcess(identity: ProcessIdentity, withinMs = 10_000): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (isAlive(identity)) {
    try {
      process.kill(identity.pid, 'SIGKILL');
    } catch {
      // It ended between the look and the signal, which the next look will see.
    }
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

/** proc(5): the second field is the name in brackets and may hold spaces and brackets itself, so count from its end. */
function startOnLinux(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  if (state === 'Z' || state === 'X') return undefined;
  return fields[22 - 3];
}

function startByPs(pid: number): string | undefined {
  const { stdout, status } = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
  return status === 0 && stdout.trim() !== '' ? stdout.trim() : undefined;
}
