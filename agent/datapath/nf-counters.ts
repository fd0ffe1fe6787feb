/** Reads the named counters of a table by netlink: twice a second, nft(8) would take a process each time. */
import { type Family, nftFamily } from './family.ts';
import type { Netlink } from './netlink.ts';
import { findAttribute, netU32, text, textOf } from './netlink-attribute.ts';
import { nfFamily, nfHeaderLength, nfMessage } from './nf-message.ts';

/** enum nft_table_attributes, nft_object_attributes, nft_counter_attributes; NFT_OBJECT_COUNTER. */
const tableName = 1;
const object = { table: 1, name: 2, type: 3, data: 4 } as const;
const counterType = 1;
const counter = { packets: 2 } as const;

/** Packets by counter. Throws a NetlinkError, whose code is ENOENT where the table is gone. */
export function counterPackets(netlink: Netlink, family: Family, table: string): Record<string, number> {
  const protocol = nfFamily[nftFamily[family]];
  const packets: Record<string, number> = {};
  const request = [text(object.table, table), netU32(object.type, counterType)];
  for (const payload of netlink.dump(nfMessage('getObject', protocol, request))) {
    const name = findAttribute(payload, object.name, nfHeaderLength);
    const values = findAttribute(payload, object.data, nfHeaderLength);
    if (name === undefined || values === undefined) continue;
    // Exact up to 2^53.
    packets[textOf(name)] = Number(findAttribute(values, counter.packets)?.readBigUInt64BE(0) ?? 0n);
  }
  // A table that is gone has no counters, and that is how the kernel says it.
  if (Object.keys(packets).length === 0) netlink.get(nfMessage('getTable', protocol, [text(tableName, table)]));
  return packets;
}
