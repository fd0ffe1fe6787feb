/**
 * Runs inside a network namespace, and does there what a test wants: Node cannot change the namespace of a process that runs.
 * One call a message; its answer carries the same number.
 */
import { type Gate, openGate } from '../../agent/datapath/gate.ts';
import { usualNames } from '../../agent/datapath/names.ts';
import { NfTables } from '../../agent/datapath/nf-tables.ts';
import { PolicyRouting } from '../../agent/datapath/routing.ts';
import { isLibc, loadLibc } from '../../agent/libc.ts';

const loaded = loadLibc();
if (!isLibc(loaded)) throw new Error(loaded.reason);
const libc = loaded;
const gates = new Map<string, Gate>();

class Gates {
  /** The reason where the kernel cannot; how long it took otherwise. */
  open(name: string, markBit: number): { reason: string } | { tookMs: number } {
    const startedAt = performance.now();
    const gate = openGate(libc, name, markBit);
    if ('reason' in gate) return gate;
    gates.set(name, gate);
    return { tookMs: performance.now() - startedAt };
  }

  close(name: string): void {
    gates.get(name)?.close();
  }
}

/** NfTables, and what takes too many calls to come one by one. */
class BusyTables extends NfTables {
  renew(times: number, ...args: Parameters<NfTables['replaceElements']>): { cpuMsEach: number; tookMsEach: number } {
    const cpuBefore = process.cpuUsage();
    const startedAt = performance.now();
    for (let count = 0; count < times; count += 1) this.replaceElements(...args);
    const { user, system } = process.cpuUsage(cpuBefore);
    return { cpuMsEach: (user + system) / 1000 / times, tookMsEach: (performance.now() - startedAt) / times };
  }
}

const subjects = {
  tables: new BusyTables(libc),
  routing: new PolicyRouting(libc, usualNames),
  gates: new Gates(),
};

export type Subjects = typeof subjects;

export interface Call {
  number: number;
  subject: keyof Subjects;
  method: string;
  args: unknown[];
}

export interface Reply {
  number: number;
  result?: unknown;
  error?: { message: string; code?: string };
}

process.on('message', ({ number, subject, method, args }: Call) => {
  const reply: Reply = { number };
  try {
    const methods = subjects[subject] as unknown as Record<string, (...args: unknown[]) => unknown>;
    reply.result = methods[method]?.(...args);
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    reply.error = { message, ...(code !== undefined && { code }) };
  }
  process.send?.(reply);
});
// A test that has ended, however it has ended, takes this along.
process.once('disconnect', () => process.exit());
