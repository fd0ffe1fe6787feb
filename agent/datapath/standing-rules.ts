/** What stands in the kernel under names that this agent does not work under: whose it is, and how it goes. */
import type { Libc } from '../libc.ts';
import { families, nftFamily } from './family.ts';
import { type DatapathNames, servingTableName } from './names.ts';
import type { Standing } from './names-file.ts';
import { isNetlinkError, Netlink, netlinkProtocol } from './netlink.ts';
import { tableImage, tablesOf } from './nf-image.ts';
import { transaction } from './nf-message.ts';
import { deleteTable } from './nf-object.ts';
import { PolicyRouting } from './routing.ts';

/** A part of every fallback of ours: another program may have a table of the name by now. */
const partOfFallback = { chains: [], sets: { cluster_addresses: {} } };

/** Each method throws a NetlinkError where the kernel says no. */
export class StandingRules {
  readonly #libc: Libc;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** Which of these agents have tables that intercept; and which of them are gone for certain when these are: they own them. */
  living({ names, starts }: Standing): { starts: number[]; owned: boolean } {
    if (starts.length === 0) return { starts: [], owned: false };
    return this.#withNetlink((netlink) => {
      const [all, owned] = [false, true].map(
        (isOwned) => new Set(families.flatMap((family) => orNone(() => tablesOf(netlink, nftFamily[family], isOwned)))),
      );
      const among = (tables: Set<string> | undefined) =>
        starts.filter((start) => tables?.has(servingTableName(names, start)));
      return { starts: among(all), owned: among(owned).length > 0 };
    });
  }

  /** All of it but what the kept names have, too. */
  remove({ names, starts }: Standing, kept: readonly DatapathNames[]): void {
    const routing = new PolicyRouting(this.#libc, names);
    try {
      for (const family of families) orNone(() => [routing.remove(family, kept)]);
    } finally {
      routing.close();
    }
    this.#withNetlink((netlink) => {
      for (const family of families) {
        const tables = orNone(() => tablesOf(netlink, nftFamily[family]));
        const gone = [...starts.map((start) => servingTableName(names, start)), names.table].filter((table) => {
          if (!tables.includes(table) || kept.some((each) => each.table === table)) return false;
          return table !== names.table || tableImage(netlink, { family: nftFamily[family], table }, partOfFallback);
        });
        for (const table of gone) netlink.request(transaction([deleteTable({ family: nftFamily[family], table })]));
      }
    });
  }

  #withNetlink<T>(use: (netlink: Netlink) => T): T {
    const netlink = new Netlink(this.#libc, netlinkProtocol.netfilter);
    try {
      return use(netlink);
    } finally {
      netlink.close();
    }
  }
}

/** The node may lack a family. */
function orNone<T>(list: () => T[]): T[] {
  try {
    return list();
  } catch (error) {
    if (isNetlinkError(error, 'EAFNOSUPPORT', 'EOPNOTSUPP')) return [];
    throw error;
  }
}
