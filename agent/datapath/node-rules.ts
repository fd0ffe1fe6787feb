/** What the datapath has put into the kernel of this node: two tables for each family, and the policy routing. */
import { isDeepStrictEqual } from 'node:util';
import type { Libc } from '../libc.ts';
import { type Family, nftFamily } from './family.ts';
import { type Gate, gateTable, openGate } from './gate.ts';
import { type DatapathNames, isServingTable, servingTableName } from './names.ts';
import { Netlink, netlinkProtocol } from './netlink.ts';
import { counterPackets } from './nf-counters.ts';
import { tableImage, tablesOf } from './nf-image.ts';
import { applyScript, NftError } from './nft.ts';
import type { ofFamily } from './plan.ts';
import { PolicyRouting } from './routing.ts';
import { fallbackContents, fallbacks, fallbackTable } from './ruleset.ts';
import type { CounterName } from './serving-rules.ts';
import { type LifeSigns, ServingTable } from './serving-table.ts';

export type FamilyPlan = ReturnType<typeof ofFamily>;
export type Counters = Record<CounterName, number>;

interface Tables {
  serving: ServingTable;
  /** What the tables looked like after our last change; the serving one's where others than we can change it. */
  servingImage: string[] | undefined;
  fallbackImage: string[] | undefined;
  plan: FamilyPlan;
}

/** Every method rejects, or throws, an NftError or a NetlinkError where nft, or the kernel, says no. */
export class NodeRules {
  readonly #names: DatapathNames;
  readonly #servingTable: string;
  readonly #routing: PolicyRouting;
  readonly #netlink: Netlink;
  /** Has the gate and the serving tables, so that they go at once: before the listeners' sockets, if the process dies. */
  readonly #owner: Netlink;
  readonly #tables = new Map<Family, Tables>();
  readonly #gateTable: string;
  #gate: Gate | undefined;

  /** @param startId 32 bits that tell this agent's tables from those of others on the node */
  constructor(libc: Libc, names: DatapathNames, startId: number) {
    this.#names = names;
    this.#servingTable = servingTableName(names, startId);
    this.#gateTable = gateTable(names.table, process.pid, startId);
    this.#routing = new PolicyRouting(libc, names);
    this.#netlink = new Netlink(libc, netlinkProtocol.netfilter);
    this.#owner = new Netlink(libc, netlinkProtocol.netfilter, { endsFirst: true });
  }

  get families(): Family[] {
    return [...this.#tables.keys()];
  }

  /** Whether nobody else can change, or flush, what intercepts. */
  get owned(): boolean {
    return [...this.#tables.values()].every(({ serving }) => serving.owned);
  }

  /** Everything for these addresses, except that nothing is intercepted before there is a sign of life. */
  async put(family: Family, plan: FamilyPlan): Promise<void> {
    const known = this.#tables.get(family);
    const ensured = this.#routing.ensure(family, plan.served, known?.plan.served);
    if ('reason' in ensured) throw new NftError(ensured.reason);
    // What somebody has changed is put right when the rules are looked at: here, only what shall be different.
    const isFallbackTheSame = isDeepStrictEqual(known?.plan.fallback, plan.fallback);
    if (known === undefined) await applyScript(this.#fallbackAnew(family, plan));
    else if (!isFallbackTheSame) await applyScript(fallbacks(family, this.#names, plan.fallback));
    const serving = known?.serving ?? this.#openServing(family);
    try {
      serving.setAddresses(plan);
      this.#tables.set(family, {
        serving,
        servingImage: serving.owned ? undefined : serving.image(),
        fallbackImage: known !== undefined && isFallbackTheSame ? known.fallbackImage : this.#fallbackImage(family),
        plan,
      });
    } catch (error) {
      if (known === undefined) serving.close();
      throw error;
    }
  }

  /** One transaction for each family. */
  async giveLifeSigns(signs: (family: Family) => LifeSigns): Promise<void> {
    for (const [family, { serving }] of this.#tables) serving.giveLifeSigns(signs(family));
  }

  async doubtEverybody(family: Family): Promise<void> {
    this.#tables.get(family)?.serving.doubtEverybody();
  }

  /** Packets that each rule has counted. Throws where {@link families} has not this one. */
  counters(family: Family): Counters {
    const known = this.#tables.get(family);
    if (known === undefined) throw new NftError(`there is no table of the family ${nftFamily[family]}`);
    return known.serving.counters();
  }

  /** Packets that the fallback has sent elsewhere. */
  fallbackPackets(family: Family): number {
    return counterPackets(this.#netlink, family, this.#names.table).fallback ?? 0;
  }

  /** Puts right what somebody else has changed; what that was, in words. */
  async restore(family: Family): Promise<string[]> {
    const known = this.#tables.get(family);
    if (known === undefined) return [];
    const found: string[] = [];
    const ensured = this.#routing.ensure(family, known.plan.served);
    if ('reason' in ensured) throw new NftError(ensured.reason);
    if (ensured.changed) {
      found.push('policy routing');
      // Nothing could have reached us.
      known.serving.tryAgain();
    }
    if (!isAsLeft(known.fallbackImage, this.#fallbackImage(family))) {
      found.push(`table ${nftFamily[family]} ${this.#names.table}`);
      await applyScript(this.#fallbackAnew(family, known.plan));
      known.fallbackImage = this.#fallbackImage(family);
    }
    if (!known.serving.owned && !isAsLeft(known.servingImage, known.serving.image())) {
      found.push(`table ${nftFamily[family]} ${this.#servingTable}`);
      known.serving.close();
      known.serving = this.#openServing(family);
      known.serving.setAddresses(known.plan);
      known.servingImage = known.serving.image();
    }
    return found;
  }

  /** Takes everything of a family out of the kernel, but for what another agent of the node uses too: the last one takes that. */
  async remove(family: Family): Promise<void> {
    const known = this.#tables.get(family);
    if (known === undefined) return;
    this.#tables.delete(family);
    known.serving.close();
    if (this.#tables.size === 0) this.#closeGate();
    if (tablesOf(this.#netlink, nftFamily[family]).some((table) => isServingTable(table, this.#names))) return;
    this.#routing.remove(family);
    await applyScript(this.#withoutFallback(family));
  }

  /** The serving tables and the gate go; what outlives the agent stays. */
  close(): void {
    for (const { serving } of this.#tables.values()) if (!serving.owned) serving.close();
    this.#tables.clear();
    this.#owner.close();
    this.#routing.close();
    this.#netlink.close();
  }

  #closeGate(): void {
    this.#gate?.close();
    this.#gate = undefined;
  }

  /** The rules of one that is owned ask for the gate. */
  #openServing(family: Family): ServingTable {
    const serving = ServingTable.open(this.#owner, family, this.#servingTable, this.#names);
    try {
      if (serving.owned) this.#openGate();
      return serving;
    } catch (error) {
      serving.close();
      throw error;
    }
  }

  #openGate(): void {
    if (this.#gate !== undefined) return;
    const gate = openGate(this.#owner, this.#gateTable, this.#names.marks.gate);
    if ('reason' in gate) throw new NftError(gate.reason);
    this.#gate = gate;
  }

  /** One that an older version left, or that somebody changed, goes in the same transaction. */
  #fallbackAnew(family: Family, plan: FamilyPlan): string {
    const anew = this.#withoutFallback(family) + fallbackTable(family, this.#names);
    return anew + fallbacks(family, this.#names, plan.fallback);
  }

  /** Somebody may have removed it already. */
  #withoutFallback(family: Family): string {
    const at = `${nftFamily[family]} ${this.#names.table}`;
    return `table ${at}\ndelete table ${at}\n`;
  }

  #fallbackImage(family: Family): string[] | undefined {
    return tableImage(this.#netlink, { family: nftFamily[family], table: this.#names.table }, fallbackContents);
  }
}

/** One of which a part is gone is not as it was left, even if that part was gone then. */
function isAsLeft(left: string[] | undefined, now: string[] | undefined): boolean {
  return now !== undefined && isDeepStrictEqual(left, now);
}
