/**
 * Runs inside a network namespace, and does there what a test wants: Node cannot change the namespace of a process that runs.
 * One call a message; its answer carries the same number.
 */
import { type Gate, openGate } from '../../agent/datapath/gate.ts';
import { usualNames } from '../../agent/datapath/names.ts';
import { NfCounters } from '../../agent/datapath/nf-counters.ts';
import { NftSession } from '../../agent/datapath/nft-session.ts';
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

class Session {
  readonly ends: string[] = [];
  readonly #nft = new NftSession((reason) => this.ends.push(reason));

  pid(): number | undefined {
    return this.#nft.pid;
  }

  run(script: string): Promise<void> {
    return this.#nft.run(script);
  }

  list(what: string): Promise<unknown> {
    return this.#nft.list(what);
  }

  /** As many times as a test cannot ask for one by one; the milliseconds of each. */
  async repeat(times: number, script: string): Promise<number> {
    const startedAt = performance.now();
    for (let count = 0; count < times; count += 1) await this.#nft.run(script);
    return (performance.now() - startedAt) / times;
  }

  ended(): string[] {
    return this.ends;
  }
}

const subjects = {
  session: new Session(),
  counters: new NfCounters(libc),
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

process.on('message', async ({ number, subject, method, args }: Call) => {
  const reply: Reply = { number };
  try {
    const methods = subjects[subject] as unknown as Record<string, (...args: unknown[]) => unknown>;
    reply.result = await methods[method]?.(...args);
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    reply.error = { message, ...(code !== undefined && { code }) };
  }
  process.send?.(reply);
});
// A test that has ended, however it has ended, takes this along.
process.once('disconnect', () => process.exit());
