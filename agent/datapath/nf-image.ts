/**
 * What a table in the kernel is made of, to see by comparison whether somebody has changed it. By netlink: nft(8) would take
 * a process for each look.
 */
import { isNetlinkError, type Netlink, type NetlinkMessage } from './netlink.ts';
import { attributes, findAttribute, text, textOf } from './netlink-attribute.ts';
import { nfFamily, nfHeaderLength, nfMessage } from './nf-message.ts';
import type { SetDefinition, TableAt } from './nf-object.ts';

/** What is looked at. What others have added to a set that packets fill, or that empties by itself, is not. */
export interface TableContents {
  chains: readonly string[];
  sets: Readonly<Record<string, Pick<SetDefinition, 'dynamicSize' | 'timeout'>>>;
}

/** enum nft_table_attributes, nft_chain_attributes, nft_rule_attributes, nft_set_attributes, nft_set_elem_list_attributes. */
const tableName = 1;
const tableFlags = 2;
/** NFT_TABLE_F_OWNER. */
const ownerFlag = 2;
const chain = { table: 1, handle: 2, name: 3 } as const;
const rule = { table: 1, handle: 3, position: 6 } as const;
const set = { table: 1, name: 2, handle: 16 } as const;
const elements = { table: 1, set: 2, list: 3 } as const;

/** Two tables of the same script have the same image. Undefined where the table, or a part of it, is not there. */
export function tableImage(netlink: Netlink, at: TableAt, { chains, sets }: TableContents): string[] | undefined {
  const family = nfFamily[at.family];
  const get = (message: NetlinkMessage, ...numbers: number[]) => without(netlink.get(message), numbers);
  try {
    return [
      ...chains.map((name) =>
        get(nfMessage('getChain', family, [text(chain.table, at.table), text(chain.name, name)]), chain.handle),
      ),
      ...netlink
        .dump(nfMessage('getRule', family, [text(rule.table, at.table)]))
        // A position is the number of the rule before it.
        .map((payload) => without(payload, [rule.handle, rule.position])),
      ...Object.entries(sets).flatMap(([name, { dynamicSize, timeout = false }]) => {
        const payload = get(nfMessage('getSet', family, [text(set.table, at.table), text(set.name, name)]), set.handle);
        const changesByItself = timeout || dynamicSize !== undefined;
        return changesByItself ? [name] : [payload, ...elementsOf(netlink, at, name)];
      }),
    ];
  } catch (error) {
    if (!isNetlinkError(error, 'ENOENT')) throw error;
    return undefined;
  }
}

export function holdsTable(netlink: Netlink, { family, table }: TableAt): boolean {
  try {
    netlink.get(nfMessage('getTable', nfFamily[family], [text(tableName, table)]));
    return true;
  } catch (error) {
    if (!isNetlinkError(error, 'ENOENT')) throw error;
    return false;
  }
}

/** The tables of a family; of those with an owner alone, whose process lives. */
export function tablesOf(netlink: Netlink, family: TableAt['family'], owned = false): string[] {
  return netlink.dump(nfMessage('getTable', nfFamily[family])).flatMap((payload) => {
    const name = findAttribute(payload, tableName, nfHeaderLength);
    const flags = findAttribute(payload, tableFlags, nfHeaderLength)?.readUInt32BE(0) ?? 0;
    return name === undefined || (owned && (flags & ownerFlag) === 0) ? [] : [textOf(name)];
  });
}

/** In an order of their own, not the kernel's. */
function elementsOf(netlink: Netlink, { family, table }: TableAt, name: string): string[] {
  return netlink
    .dump(nfMessage('getSetElement', nfFamily[family], [text(elements.table, table), text(elements.set, name)]))
    .flatMap((payload) => {
      const list = findAttribute(payload, elements.list, nfHeaderLength);
      return list === undefined ? [] : [...attributes(list)].map(([, element]) => element.toString('hex'));
    })
    .sort();
}

/** The attributes but for some, which are another number each time that the same thing is made. */
function without(payload: Buffer, numbers: readonly number[]): string {
  return [...attributes(payload, nfHeaderLength)]
    .filter(([number]) => !numbers.includes(number))
    .map(([number, value]) => `${number} ${value.toString('hex')}`)
    .join(', ');
}
