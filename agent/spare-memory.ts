/**
 * Gives back to the kernel what this process has taken and does not use: a node has memory for its pods. In the control worker,
 * for it takes milliseconds.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from './clock.ts';
import { isLibc, loadLibc, type MemoryCalls } from './libc.ts';

/** By then the start is over: what only it has run, of Node's 110 MiB, is not touched again. */
const startedMs = 10_000;
/** What V8's compiler takes for a function and frees again, malloc keeps: some 20 MiB after the first thousands of queries. */
const everyMs = 30_000;

export interface Range {
  address: number;
  octets: number;
}

/** Where the kernel does it, and for as long as the process lives. */
export function giveBackSpareMemory(clock: Clock, memory = memoryOfProcess(), mappings = ownMappings): void {
  if (memory === undefined) return;
  const again = (delayMs: number, forgetStart: boolean) =>
    clock.after(delayMs, () => {
      memory.trim();
      if (forgetStart) for (const { address, octets } of readOnlyFiles(mappings())) memory.forget(address, octets);
      again(everyMs, false);
    });
  again(startedMs, true);
}

function memoryOfProcess(): MemoryCalls | undefined {
  const libc = loadLibc();
  return isLibc(libc) ? libc.memory : undefined;
}

function ownMappings(): string {
  return readFileSync('/proc/self/smaps', 'utf8');
}

/**
 * The mappings of files that nobody can write and that have no page of our own, which no file could bring back (the loader
 * writes relocations into mappings before it makes them read-only).
 * @param smaps as in proc_pid_smaps(5)
 */
export function readOnlyFiles(smaps: string): Range[] {
  const ranges: Range[] = [];
  let file: Range | undefined;
  for (const line of smaps.split('\n')) {
    const [, from, to, what = ''] = /^([0-9a-f]+)-([0-9a-f]+) (.*)$/.exec(line) ?? [];
    if (from !== undefined && to !== undefined) {
      const address = Number.parseInt(from, 16);
      const isFile = /^r-[x-]p \S+ \S+ [1-9]\d* +\//.test(what);
      file = isFile ? { address, octets: Number.parseInt(to, 16) - address } : undefined;
    }
    if (file !== undefined && /^Anonymous: +0 kB$/.test(line)) ranges.push(file);
  }
  return ranges;
}
