/** What the datapath has put into the kernel of this node: two tables for each family, and the policy routing. */
import { isDeepStrictEqual } from 'node:util';
import type { Libc } from '../libc.ts';
import { type Family, nftFamily } from './family.ts';
import { type Gate, gateTable, openGate } from './gate.ts';
import type { DatapathNames } from './names.ts';
import { NfCounters } from './nf-counters.ts';
import { NftError, type NftObject } from './nft.ts';
import { NftSession } from './nft-session.ts';
import type { ofFamily } from './plan.ts';
import { PolicyRouting } from './routing.ts';
import {
  type CounterName,
  doubtEverybody,
  dynamicSets,
  fallbacks,
  fallbackTable,
  lifeSigns,
  servedAddresses,
  servingTable,
} from './ruleset.ts';

export type FamilyPlan = ReturnType<typeof ofFamily>;
export type Counters = Record<CounterName, number>;

interface Tables {
  /** What the fallback table looked like after our last change. */
  fallback: NftObject[];
  /** What the serving table looked like; undefined where nobody but us can change it. */
  serving: NftObject[] | undefined;
  plan: FamilyPlan;
}

/** Every method rejects with an NftError or a NetlinkError where the kernel, or nft, says no. */
export class NodeRules {
  readonly #names: DatapathNames;
  readonly #servingTable: string;
  readonly #routing: PolicyRouting;
  readonly #counters: NfCounters;
  readonly #tables = new Map<Family, Tables>();
  readonly #onLost: (reason: string) => void;
  #session: NftSession | undefined;
  readonly #libc: Libc;
  readonly #gateTable: string;
  #gate: Gate | undefined;

  /**
   * @param startId 32 bits that tell this agent's tables from those of others on the node
   * @param onLost the serving tables are gone, and with them all interception
   */
  constructor(libc: Libc, names: DatapathNames, startId: number, onLost: (reason: string) => void) {
    this.#names = names;
    this.#libc = libc;
    this.#servingTable = `${names.table}-${startId.toString(16).padStart(8, '0')}`;
    this.#gateTable = gateTable(names.table, process.pid, startId);
    this.#routing = new PolicyRouting(libc, names);
    this.#counters = new NfCounters(libc);
    this.#onLost = onLost;
  }

  get families(): Family[] {
    return [...this.#tables.keys()];
  }

  /** Everything for these addresses, except that nothing is intercepted before there is a sign of life. */
  async put(family: Family, plan: FamilyPlan): Promise<void> {
    const known = this.#tables.get(family);
    const ensured = this.#routing.ensure(family, plan.served, known?.plan.served);
    if ('reason' in ensured) throw new NftError(ensured.reason);
    const owned = known === undefined ? this.#openGate() : known.serving === undefined;
    if (known === undefined) {
      await this.#open().run(this.#fallbackAnew(family));
      await this.#open().run(this.#servingAnew(family, owned));
    }
    await this.#open().run(
      servedAddresses(family, this.#servingTable, plan) + fallbacks(family, this.#names, plan.fallback),
    );
    this.#tables.set(family, {
      plan,
      fallback: await this.#look(family, this.#names.table),
      serving: owned ? undefined : await this.#look(family, this.#servingTable),
    });
  }

  /** Of all families in one transaction, so that it costs one. */
  async giveLifeSigns(signs: (family: Family) => Parameters<typeof lifeSigns>[2]): Promise<void> {
    const families = this.families;
    if (families.length === 0) return;
    await this.#open().run(families.map((family) => lifeSigns(family, this.#servingTable, signs(family))).join(''));
  }

  async doubtEverybody(family: Family): Promise<void> {
    await this.#open().run(doubtEverybody(family, this.#servingTable));
  }

  /** Packets that each rule has counted. */
  counters(family: Family): Counters {
    return this.#counters.packets(family, this.#servingTable) as Counters;
  }

  /** Packets that the fallback has sent elsewhere. */
  fallbackPackets(family: Family): number {
    return this.#counters.packets(family, this.#names.table).fallback ?? 0;
  }

  /** Puts right what somebody else has changed; what that was, in words. */
  async restore(family: Family): Promise<string[]> {
    const known = this.#tables.get(family);
    if (known === undefined) return [];
    const found: string[] = [];
    const ensured = this.#routing.ensure(family, known.plan.served);
    if ('reason' in ensured) throw new NftError(ensured.reason);
    if (ensured.changed) found.push('policy routing');
    if (!(await this.#isAsLeft(family, this.#names.table, known.fallback))) {
      found.push(`table ${nftFamily[family]} ${this.#names.table}`);
      await this.#open().run(this.#fallbackAnew(family) + fallbacks(family, this.#names, known.plan.fallback));
    }
    if (known.serving !== undefined && !(await this.#isAsLeft(family, this.#servingTable, known.serving))) {
      found.push(`table ${nftFamily[family]} ${this.#servingTable}`);
      const addresses = servedAddresses(family, this.#servingTable, known.plan);
      await this.#open().run(this.#servingAnew(family, false) + addresses);
    }
    return found;
  }

  /** Takes everything of a family out of the kernel. */
  async remove(family: Family): Promise<void> {
    if (!this.#tables.delete(family)) return;
    const ip = nftFamily[family];
    const { table } = this.#names;
    // Somebody may have removed the fallback already.
    await this.#open().run(
      `delete table ${ip} ${this.#servingTable}\ntable ${ip} ${table}\ndelete table ${ip} ${table}`,
    );
    this.#routing.remove(family);
    if (this.#tables.size === 0) this.#closeGate();
  }

  #closeGate(): void {
    this.#gate?.close();
    this.#gate = undefined;
  }

  /** The serving tables go with the session; what outlives the agent stays. */
  close(): void {
    this.#session?.close();
    this.#session = undefined;
    this.#tables.clear();
    this.#closeGate();
    this.#routing.close();
    this.#counters.close();
  }

  /** One that an older version left, or that somebody changed, goes in the same transaction. */
  #fallbackAnew(family: Family): string {
    const at = `${nftFamily[family]} ${this.#names.table}`;
    return `table ${at}\ndelete table ${at}\n${fallbackTable(family, this.#names)}`;
  }

  /** One that is owned has been changed by nobody, and was not there before. */
  #servingAnew(family: Family, owned: boolean): string {
    const at = `${nftFamily[family]} ${this.#servingTable}`;
    const anew = owned ? '' : `table ${at}\ndelete table ${at}\n`;
    return anew + servingTable(family, this.#servingTable, this.#names, owned);
  }

  /** Returns false where the kernel knows no tables that end with their owner. */
  #openGate(): boolean {
    if (this.#gate !== undefined) return true;
    const gate = openGate(this.#libc, this.#gateTable, this.#names.marks.gate);
    if ('reason' in gate) return false;
    this.#gate = gate;
    return true;
  }

  #open(): NftSession {
    this.#session ??= new NftSession((reason) => {
      this.#session = undefined;
      this.#tables.clear();
      this.#onLost(reason);
    });
    return this.#session;
  }

  async #look(family: Family, table: string): Promise<NftObject[]> {
    return essence(await this.#open().list(`table ${nftFamily[family]} ${table}`));
  }

  async #isAsLeft(family: Family, table: string, left: NftObject[]): Promise<boolean> {
    try {
      return isDeepStrictEqual(await this.#look(family, table), left);
    } catch (error) {
      if (error instanceof NftError) return false;
      throw error;
    }
  }
}

/** A listing without what changes by itself: handles, counts, elements that come and go. */
function essence(objects: readonly NftObject[]): NftObject[] {
  return objects.map((object) => {
    const [[kind, value] = ['', {}]] = Object.entries(object);
    const { handle: _, packets: _p, bytes: _b, ...rest } = value;
    if (dynamicSets.includes(String(rest.name))) delete rest.elem;
    return { [kind]: rest };
  });
}
