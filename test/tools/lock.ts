import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { identifySelf, isAlive, type ProcessIdentity } from './process-identity.ts';

/**
 * One holder at a time, among processes on one machine. The lock is a file that names its holder, and is put in place
 * complete (written aside, then linked), so nobody ever reads half of one. A holder that was killed is recognised by
 * its identity, so no lock outlives its process.
 *
 * Returns the function that gives the lock back. `waiting` is told once whom we wait for.
 */
export async function takeLock(
  path: string,
  { withinMs, waiting }: { withinMs: number; waiting: (holder: ProcessIdentity) => void },
): Promise<() => void> {
  const deadline = performance.now() + withinMs;
  const own = `${path}.${process.pid}`;
  writeFileSync(own, JSON.stringify(identifySelf()));
  try {
    for (let told = false; ; ) {
      if (link(own, path)) return () => rmSync(path, { force: true });
      const holder = readHolder(path);
      if (holder === undefined || !isAlive(holder)) {
        breakLock(path, holder);
        continue;
      }
      if (!told) waiting(holder);
      told = true;
      if (performance.now() > deadline) {
        throw new Error(`process ${holder.pid} still holds ${path} after ${Math.round(withinMs / 60_000)} minutes`);
      }
      await delay(250);
    }
  } finally {
    rmSync(own, { force: true });
  }
}

function link(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function readHolder(path: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity;
  } catch {
    return undefined;
  }
}

/**
 * Two waiters may find the same dead holder. Whoever renames the file away has it alone; where that turns out to be the
 * lock that the other one has taken meanwhile, it is put back.
 */
function breakLock(path: string, dead: ProcessIdentity | undefined): void {
  const aside = `${path}.broken.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const taken = readHolder(aside);
  if (taken !== undefined && (taken.pid !== dead?.pid || taken.startedAt !== dead.startedAt)) link(aside, path);
  rmSync(aside, { force: true });
}
