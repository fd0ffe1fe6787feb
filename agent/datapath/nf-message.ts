/** Messages of nf_tables (linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h). */
import type { NetlinkMessage } from './netlink.ts';
import { attribute, nested } from './netlink-attribute.ts';

/** linux/netfilter.h: NFPROTO_*; the name is nft(8)'s. */
export const nfFamily = { inet: 1, ip: 2, ip6: 10 } as const;

/** enum nf_tables_msg_types: NFT_MSG_*. */
export const nfMessageType = {
  newTable: 0,
  getTable: 1,
  delTable: 2,
  newChain: 3,
  getChain: 4,
  newRule: 6,
  getRule: 7,
  newSet: 9,
  getSet: 10,
  newSetElement: 12,
  getSetElement: 13,
  delSetElement: 14,
  newObject: 18,
  getObject: 19,
} as const;

const subsystem = 10;
const batchBegin = 0x10;
const batchEnd = 0x11;
/** NFTA_LIST_ELEM. */
const listElement = 1;
/** NFTA_DATA_VALUE. */
const dataValue = 1;

/** Of struct nfgenmsg: family, version, and a number that only batches need. */
export const nfHeaderLength = 4;

export function nfMessage(
  type: keyof typeof nfMessageType,
  family: number,
  attributes: readonly Buffer[] = [],
  flags = 0,
): NetlinkMessage {
  const payload = Buffer.concat([Buffer.from([family, 0, 0, 0]), ...attributes]);
  return { type: (subsystem << 8) | nfMessageType[type], flags, payload };
}

/** One transaction: all of it comes into force at once, or nothing. */
export function transaction(changes: readonly NetlinkMessage[]): NetlinkMessage[] {
  const payload = Buffer.from([0, 0, 0, subsystem]);
  return [{ type: batchBegin, payload }, ...changes, { type: batchEnd, payload }];
}

export function list(type: number, items: readonly (readonly Buffer[])[]): Buffer {
  return nested(type, ...items.map((item) => nested(listElement, ...item)));
}

/** A key, a value or a constant of an expression: octets inside an attribute inside another. */
export function data(type: number, value: Buffer): Buffer {
  return nested(type, attribute(dataValue, value));
}
