/**
 * Runs inside a network namespace, and does there what a test wants: Node cannot change the namespace of a process that runs.
 * One call a message; its answer carries the same number.
 */
import type { Family } from '../../agent/datapath/family.ts';
import { type Gate, openGate } from '../../agent/datapath/gate.ts';
import { usualNames } from '../../agent/datapath/names.ts';
import { Netlink, netlinkProtocol } from '../../agent/datapath/netlink.ts';
import { counterPackets } from '../../agent/datapath/nf-counters.ts';
import { type TableContents, tableImage } from '../../agent/datapath/nf-image.ts';
import { transaction } from '../../agent/datapath/nf-message.ts';
import { type NewElement, replaceElements, type TableAt } from '../../agent/datapath/nf-object.ts';
import { NodeRules } from '../../agent/datapath/node-rules.ts';
import { PolicyRouting } from '../../agent/datapath/routing.ts';
import { type LifeSigns, type ServedAddresses, ServingTable } from '../../agent/datapath/serving-table.ts';
import { StandingRules } from '../../agent/datapath/standing-rules.ts';
import { isLibc, loadLibc } from '../../agent/libc.ts';

const loaded = loadLibc();
if (!isLibc(loaded)) throw new Error(loaded.reason);
const libc = loaded;
const gates = new Map<string, Gate>();
/** What it makes goes with this process. */
const owner = new Netlink(libc, netlinkProtocol.netfilter, { endsFirst: true });

class Gates {
  /** The reason where the kernel cannot; how long it took otherwise. */
  open(name: string, markBit: number): { reason: string } | { tookMs: number } {
    const startedAt = performance.now();
    const gate = openGate(owner, name, markBit);
    if ('reason' in gate) return gate;
    gates.set(name, gate);
    return { tookMs: performance.now() - startedAt };
  }

  close(name: string): void {
    gates.get(name)?.close();
  }
}

class Serving {
  readonly #tables = new Map<string, ServingTable>();

  /** Whether it is owned, and how long it took. */
  open(family: Family, name: string, options?: { mayOwn: boolean }): { owned: boolean; tookMs: number } {
    const startedAt = performance.now();
    const table = ServingTable.open(owner, family, name, usualNames, options);
    this.#tables.set(name, table);
    return { owned: table.owned, tookMs: performance.now() - startedAt };
  }

  setAddresses(name: string, addresses: ServedAddresses): void {
    this.#of(name).setAddresses(addresses);
  }

  giveLifeSigns(name: string, signs: LifeSigns): void {
    this.#of(name).giveLifeSigns(signs);
  }

  /** As many times as a test cannot ask for one by one; the milliseconds of each, and those of CPU. */
  renew(times: number, name: string, signs: LifeSigns): { tookMs: number; cpuMs: number } {
    const [startedAt, cpu] = [performance.now(), process.cpuUsage()];
    for (let count = 0; count < times; count += 1) this.#of(name).giveLifeSigns(signs);
    const { user, system } = process.cpuUsage(cpu);
    return { tookMs: (performance.now() - startedAt) / times, cpuMs: (user + system) / 1_000 / times };
  }

  doubtEverybody(name: string): void {
    this.#of(name).doubtEverybody();
  }

  tryAgain(name: string): void {
    this.#of(name).tryAgain();
  }

  counters(name: string): Record<string, number> {
    return this.#of(name).counters();
  }

  isThere(name: string): boolean {
    return this.#of(name).isThere();
  }

  image(name: string): string[] | undefined {
    return this.#of(name).image();
  }

  close(name: string): void {
    this.#of(name).close();
    this.#tables.delete(name);
  }

  #of(name: string): ServingTable {
    const table = this.#tables.get(name);
    if (table === undefined) throw new Error(`no table ${name} is open`);
    return table;
  }
}

class Tables {
  readonly #netlink = new Netlink(libc, netlinkProtocol.netfilter);

  packets(family: Family, table: string): Record<string, number> {
    return counterPackets(this.#netlink, family, table);
  }

  image(at: TableAt, contents: TableContents): string[] | undefined {
    return tableImage(this.#netlink, at, contents);
  }

  /** Sends the changes as one transaction. */
  replace(at: TableAt, changes: Record<string, NewElement[]>): void {
    const messages = Object.entries(changes).flatMap(([name, elements]) => replaceElements(at, name, elements));
    this.#netlink.request(transaction(messages));
  }
}

class Rules extends NodeRules {
  /** A function cannot be told over the wire. */
  sign(address: string): Promise<void> {
    const signs = [{ address, milliseconds: 60_000 }];
    return this.giveLifeSigns(() => ({ alive: signs, holding: signs }));
  }
}

const subjects = {
  rules: new Rules(libc, usualNames, Number(process.argv[2] ?? 0x0badcafe)),
  serving: new Serving(),
  tables: new Tables(),
  routing: new PolicyRouting(libc, usualNames),
  gates: new Gates(),
  standing: new StandingRules(libc),
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
