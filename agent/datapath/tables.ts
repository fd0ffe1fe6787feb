/**
 * The tables of a node, and what is in them. Not by `nft -j list tables` or `… ruleset`: nft 1.0.6 prints the flags of an owned
 * table (`flags owner`) from memory that it has given back, so that its JSON may end in the middle; a living agent has such
 * tables, and newer firewalld too. As text, and for single chains, it prints them well.
 */
import { list, NftError, type NftObject, type RunNft } from './nft.ts';

export interface TableName {
  readonly family: string;
  readonly name: string;
}

/** Rejects with an {@link NftError}. */
export async function tableNames(runNft: RunNft): Promise<TableName[]> {
  const { stdout, stderr, code } = await runNft(['list', 'tables']);
  if (code !== 0) throw new NftError(`nft cannot list tables: ${stderr.trim() || `it ended with ${code}`}`);
  return [...stdout.matchAll(/^table (\S+) (\S+)$/gm)].map(([, family = '', name = '']) => ({ family, name }));
}

/** Chains, rules and sets of one table, and a `table` of its name; nothing where it has gone. Rejects with an {@link NftError}. */
export async function tableContents({ family, name }: TableName, runNft: RunNft): Promise<NftObject[]> {
  const table = [family, name];
  try {
    const objects = await list(['table', ...table], runNft);
    return objects === undefined ? [] : [{ table: { family, name } }, ...objects.filter((object) => !object.table)];
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const { stdout } = await runNft(['list', 'table', ...table]);
  const chains = [...stdout.matchAll(/^\tchain (\S+) \{/gm)].map(([, chain = '']) => chain);
  const contents: NftObject[] = [{ table: { family, name } }];
  for (const chain of chains) contents.push(...((await list(['chain', ...table, chain], runNft)) ?? []));
  return contents;
}
