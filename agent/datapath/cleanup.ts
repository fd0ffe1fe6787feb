/** Takes everything of ours out of the kernel, whoever made it and however that one ended. */
import { isDeepStrictEqual } from 'node:util';
import type { Libc } from '../libc.ts';
import { forgetConnections } from './conntrack.ts';
import { families, nftFamily } from './family.ts';
import { type DatapathNames, isOurTable } from './names.ts';
import type { NamesFile } from './names-file.ts';
import { isNetlinkError } from './netlink.ts';
import { list, NftError, type RunNft, runNft as realNft } from './nft.ts';
import { PolicyRouting } from './routing.ts';
import { type TableName, tableNames } from './tables.ts';

export interface Cleaned {
  /** A line for each thing that was removed. */
  readonly removed: readonly string[];
  /** Tables of agents that still run: nobody else can remove them, and nothing that they use was touched. */
  readonly inUse: readonly string[];
}

/**
 * Under these names, and under all that agents of this node have had; the file goes with the last of it. Rejects with an NftError or
 * a NetlinkError where the kernel, or nft, says no, and as the file system does where the file is there and cannot be used.
 */
export async function cleanUp(
  given: DatapathNames,
  file: Pick<NamesFile, 'read' | 'write'>,
  libc: Libc,
  runNft: RunNft = realNft,
): Promise<Cleaned> {
  const standing = (await file.read()).map((each) => each.names);
  const all = [given, ...standing.filter((names) => !isDeepStrictEqual(names, given))];
  const tables = [...new Set((await tableNames(runNft)).flatMap((table) => ourTable(table, all)))];
  const removed: string[] = [];
  const inUse: string[] = [];
  // First those of agents: one that cannot be removed belongs to a process that lives, and needs all the rest.
  for (const table of tables.filter((each) => !isFallback(each, all))) {
    (await removeTable(table, runNft)) ? removed.push(`table ${table}`) : inUse.push(`table ${table}`);
  }
  if (inUse.length > 0) return { removed, inUse };

  const fallbacks = tables.filter((each) => isFallback(each, all));
  const addresses = await ownAddresses(fallbacks, runNft);
  for (const table of fallbacks) if (await removeTable(table, runNft)) removed.push(`table ${table}`);
  for (const names of all) removed.push(...removeRouting(names, libc));
  const forgotten = addresses.length > 0 ? forgetConnections(libc, addresses) : 0;
  if (forgotten > 0) removed.push(`${forgotten} conntrack entries of ${addresses.join(', ')}`);
  if (standing.length > 0) await file.write([]);
  return { removed, inUse };
}

function ourTable({ family, name }: TableName, all: readonly DatapathNames[]): string[] {
  const possible: readonly string[] = [...Object.values(nftFamily), 'inet'];
  const isOurs = possible.includes(family) && all.some((names) => isOurTable(name, names));
  return isOurs ? [`${family} ${name}`] : [];
}

function isFallback(table: string, all: readonly DatapathNames[]): boolean {
  return all.some((names) => Object.values(nftFamily).some((family) => table === `${family} ${names.table}`));
}

/** False where it is another process's own (NFT_TABLE_F_OWNER). */
async function removeTable(table: string, runNft: RunNft): Promise<boolean> {
  const { code, stderr } = await runNft(['delete', 'table', ...table.split(' ')]);
  // It may have gone with its owner meanwhile.
  if (code === 0 || /No such file or directory/.test(stderr)) return true;
  if (/Operation not permitted/.test(stderr)) return false;
  throw new NftError(`nft cannot remove table ${table}: ${stderr.trim()}`);
}

/** Those that the fallback sends elsewhere: our own ones, which nobody else has. */
async function ownAddresses(tables: readonly string[], runNft: RunNft): Promise<string[]> {
  const addresses = new Set<string>();
  for (const table of tables) {
    for (const { set } of (await list(['table', ...table.split(' ')], runNft)) ?? []) {
      if (set?.name !== 'cluster_addresses' && set?.name !== 'node_addresses') continue;
      for (const element of [set.elem ?? []].flat()) if (typeof element === 'string') addresses.add(element);
    }
  }
  return [...addresses];
}

function removeRouting(names: DatapathNames, libc: Libc): string[] {
  const routing = new PolicyRouting(libc, names);
  try {
    return families.flatMap((family) => {
      try {
        const what = `IPv${family} rule ${names.rulePriority} and the routes of table ${names.routeTable}`;
        return routing.remove(family) ? [what] : [];
      } catch (error) {
        if (isNetlinkError(error, 'EAFNOSUPPORT', 'EOPNOTSUPP')) return [];
        throw error;
      }
    });
  } finally {
    routing.close();
  }
}
