/**
 * The table that intercepts, of one family and one agent. It belongs to a netlink socket of the agent's own process
 * (NFT_TABLE_F_OWNER, Linux 5.12): the kernel removes it in the moment in which the process dies, whatever killed it, and
 * nobody else can change or flush it. So two agents that hand over have two tables, and neither has to know of the other.
 */
import { type Family, nftFamily } from './family.ts';
import type { DatapathNames } from './names.ts';
import { isNetlinkError, type Netlink, type NetlinkMessage } from './netlink.ts';
import { counterPackets } from './nf-counters.ts';
import { holdsTable, type TableContents, tableImage } from './nf-image.ts';
import { transaction } from './nf-message.ts';
import { deleteTable, ensureTable, type NewElement, replaceElements, type TableAt } from './nf-object.ts';
import { addressKey } from './packet-field.ts';
import { type CounterName, servingChainNames, servingMessages, servingSets } from './serving-rules.ts';

/** Which addresses are whose; all of one family. */
export interface ServedAddresses {
  served: readonly string[];
  /** A part of `served`. */
  tracked: readonly string[];
  clusterDns: readonly string[];
}

export interface LifeSign {
  address: string;
  milliseconds: number;
}

export interface LifeSigns {
  /** Answered for so long from now. */
  alive: readonly LifeSign[];
  /** Keep their connections for so long. */
  holding: readonly LifeSign[];
}

/** Each method throws a NetlinkError where the kernel says no: nothing has changed then. */
export class ServingTable {
  /** Whether it goes with this process. Where it does not, queries of the node's own processes are lost after a kill until `alive` has timed out. */
  readonly owned: boolean;
  readonly #netlink: Netlink;
  readonly #at: TableAt;
  readonly #family: Family;
  readonly #contents: TableContents;

  private constructor(netlink: Netlink, family: Family, at: TableAt, owned: boolean, contents: TableContents) {
    this.#netlink = netlink;
    this.#family = family;
    this.#at = at;
    this.owned = owned;
    this.#contents = contents;
  }

  /**
   * Makes the table, and with it interception of nothing yet. A kernel that knows no owned tables gets one that anybody may
   * change, and whose rules do not ask for the gate, which there cannot be either; one that was left over is replaced.
   */
  static open(
    netlink: Netlink,
    family: Family,
    table: string,
    names: DatapathNames,
    { mayOwn = true }: { mayOwn?: boolean } = {},
  ): ServingTable {
    const at = { family: nftFamily[family], table } as const;
    const owned = mayOwn && makeOwned(netlink, servingMessages(family, table, names, { owned: true }));
    if (!owned) {
      const made = servingMessages(family, table, names, { owned: false });
      netlink.request(transaction([ensureTable(at), deleteTable(at), ...made]));
    }
    const chains = servingChainNames(family, names);
    return new ServingTable(netlink, family, at, owned, { chains, sets: servingSets(family) });
  }

  setAddresses({ served, tracked, clusterDns }: ServedAddresses): void {
    const keys = (addresses: readonly string[]) => addresses.map((address) => ({ key: addressKey(address) }));
    this.#replace({
      served: keys(served),
      tracked: keys(tracked),
      itself: keys(tracked).map(({ key }) => ({ key, data: key })),
      clusterdns: keys(clusterDns),
    });
  }

  /** These addresses, and no others. */
  giveLifeSigns({ alive, holding }: LifeSigns): void {
    const timed = (signs: readonly LifeSign[]) =>
      signs.map(({ address, milliseconds }) => ({ key: addressKey(address), timeoutMs: milliseconds }));
    this.#replace({ alive: timed(alive), holding: timed(holding) });
  }

  /**
   * No source's packets count as getting through any more: each is tried anew. Connections with them: what something drops on
   * its way to us now is not dropped on its way to cluster DNS, which knows none of these connections and resets them at once.
   */
  doubtEverybody(): void {
    this.#replace({ proved: [], trying: [], flows: [] });
  }

  /** Sources whose trial was not theirs to pass are tried again. */
  tryAgain(): void {
    this.#replace({ trying: [] });
  }

  /** Packets that each rule has counted. */
  counters(): Record<CounterName, number> {
    return counterPackets(this.#netlink, this.#family, this.#at.table) as Record<CounterName, number>;
  }

  isThere(): boolean {
    return holdsTable(this.#netlink, this.#at);
  }

  /** What it is made of and what we have put into it; undefined where a part of it is gone. */
  image(): string[] | undefined {
    return tableImage(this.#netlink, this.#at, this.#contents);
  }

  /** The table goes. */
  close(): void {
    try {
      this.#netlink.request(transaction([deleteTable(this.#at)]));
    } catch (error) {
      if (!isNetlinkError(error, 'ENOENT')) throw error;
    }
  }

  /** In one transaction, so that every packet sees all of it or nothing. */
  #replace(sets: Record<string, readonly NewElement[]>): void {
    this.#netlink.request(
      transaction(Object.entries(sets).flatMap(([name, elements]) => replaceElements(this.#at, name, elements))),
    );
  }
}

/** Returns false where the kernel knows no tables that end with their owner. */
function makeOwned(netlink: Netlink, messages: readonly NetlinkMessage[]): boolean {
  try {
    netlink.request(transaction(messages));
    return true;
  } catch (error) {
    if (!isNetlinkError(error, 'ENOTSUP', 'EINVAL')) throw error;
    return false;
  }
}
