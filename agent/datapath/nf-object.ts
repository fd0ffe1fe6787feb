/** Messages that make what a table consists of, and the table (linux/netfilter/nf_tables.h). Pure. */
import { type NetlinkMessage, netlinkFlag } from './netlink.ts';
import { attribute, nested, netU32, netU64, text } from './netlink-attribute.ts';
import type { Expression } from './nf-expression.ts';
import { data, list, nfFamily, nfMessage } from './nf-message.ts';

/** Where a table's messages go. */
export interface TableAt {
  family: keyof typeof nfFamily;
  table: string;
}

/** linux/netfilter.h: enum nf_inet_hooks. */
export const hookNumber = { prerouting: 0, input: 1, output: 3 } as const;

export interface BaseChain {
  type: 'filter' | 'route' | 'nat';
  hook: keyof typeof hookNumber;
  priority: number;
}

export interface SetDefinition {
  key: readonly DataType[];
  /** Of a map. */
  data?: DataType;
  /** How many elements it may have; packets may put elements into it then. */
  dynamicSize?: number;
  timeout?: boolean;
}

/** Types as nft(8) numbers and names them, and their length in octets. */
const dataTypes = {
  ipv4_addr: { number: 7, length: 4 },
  ipv6_addr: { number: 8, length: 16 },
  inet_proto: { number: 12, length: 1 },
  inet_service: { number: 13, length: 2 },
} as const;
export type DataType = keyof typeof dataTypes;

export interface NewElement {
  key: Buffer;
  /** Of a map. */
  data?: Buffer;
  /** After this it is gone. Absent: it stays. */
  timeoutMs?: number;
}

/** NFT_TABLE_F_OWNER, NF_ACCEPT, NFT_OBJECT_COUNTER. */
const ownerFlag = 2;
const accept = 1;
const counterType = 1;

/** enum nft_set_flags. */
const setFlag = { anonymous: 0x1, constant: 0x2, map: 0x8, timeout: 0x10, dynamic: 0x20 } as const;
/** The kernel puts a number in the place of the last two characters. */
export const anonymousSet = '__set%d';

/** enum nft_table_attributes, nft_chain_attributes, nft_hook_attributes, nft_rule_attributes, nft_object_attributes. */
const tableAttribute = { name: 1, flags: 2 } as const;
const chain = { table: 1, name: 3, hook: 4, policy: 5, type: 7 } as const;
const hook = { number: 1, priority: 2 } as const;
const rule = { table: 1, chain: 2, expressions: 4 } as const;
const object = { table: 1, name: 2, type: 3, data: 4 } as const;
const counter = { bytes: 1, packets: 2 } as const;

/** enum nft_set_attributes, nft_set_desc_attributes, nft_set_elem_list_attributes, nft_set_elem_attributes. */
const set = {
  table: 1,
  name: 2,
  flags: 3,
  keyType: 4,
  keyLength: 5,
  dataType: 6,
  dataLength: 7,
  description: 9,
  id: 10,
  userData: 13,
} as const;
const descriptionSize = 1;
const elements = { table: 1, set: 2, list: 3, setId: 4 } as const;
const element = { key: 1, data: 2, timeout: 4 } as const;

/** What nft(8) keeps for itself with a set, to print its elements in the right order of octets: libnftnl, enum nftnl_udata_set_types. */
const userData = { keyByteOrder: 0, dataByteOrder: 1 } as const;
const bigEndian = 2;

/** A part of a concatenation takes a multiple of so many octets; its type so many bits. */
const partOctets = 4;
const typeBits = 6;

/** An attribute's length has 16 bits; the largest of our elements takes 76 octets. */
const elementsPerMessage = 500;

const { create, excl, append } = netlinkFlag;

/** @param owned it belongs to the socket that makes it (NFT_TABLE_F_OWNER, Linux 5.12), and goes with it; nobody else can change it */
export function newTable(at: TableAt, owned: boolean): NetlinkMessage {
  const flags = owned ? [netU32(tableAttribute.flags, ownerFlag)] : [];
  return nfMessage('newTable', nfFamily[at.family], [text(tableAttribute.name, at.table), ...flags], create | excl);
}

/** A table of this name is there after it, be it that it was or not. */
export function ensureTable(at: TableAt): NetlinkMessage {
  return nfMessage('newTable', nfFamily[at.family], [text(tableAttribute.name, at.table)], create);
}

export function deleteTable(at: TableAt): NetlinkMessage {
  return nfMessage('delTable', nfFamily[at.family], [text(tableAttribute.name, at.table)]);
}

/** Without `base`: one that others jump to. */
export function newChain(at: TableAt, name: string, base?: BaseChain): NetlinkMessage {
  const hooked =
    base === undefined
      ? []
      : [
          text(chain.type, base.type),
          netU32(chain.policy, accept),
          nested(chain.hook, netU32(hook.number, hookNumber[base.hook]), netU32(hook.priority, base.priority)),
        ];
  const attributes = [text(chain.table, at.table), text(chain.name, name), ...hooked];
  return nfMessage('newChain', nfFamily[at.family], attributes, create | excl);
}

/** It comes after the rules that the chain has. */
export function newRule(at: TableAt, chainName: string, expressions: readonly Expression[]): NetlinkMessage {
  const attributes = [text(rule.table, at.table), text(rule.chain, chainName), list(rule.expressions, expressions)];
  return nfMessage('newRule', nfFamily[at.family], attributes, create | append);
}

export function newCounter(at: TableAt, name: string): NetlinkMessage {
  const zero = nested(object.data, netU64(counter.bytes, 0), netU64(counter.packets, 0));
  const attributes = [text(object.table, at.table), text(object.name, name), netU32(object.type, counterType), zero];
  return nfMessage('newObject', nfFamily[at.family], attributes, create | excl);
}

/** @param id any number that no other set of the transaction has */
export function newSet(at: TableAt, name: string, id: number, definition: SetDefinition): NetlinkMessage {
  const { key, data: value, dynamicSize, timeout = false } = definition;
  const flags =
    (value === undefined ? 0 : setFlag.map) |
    (timeout ? setFlag.timeout : 0) |
    (dynamicSize === undefined ? 0 : setFlag.dynamic);
  const attributes = [
    ...setAttributes(at, name, id, flags, key),
    ...(value === undefined
      ? []
      : [netU32(set.dataType, dataTypes[value].number), netU32(set.dataLength, dataTypes[value].length)]),
    ...(dynamicSize === undefined ? [] : [nested(set.description, netU32(descriptionSize, dynamicSize))]),
    // In a concatenation each part has its own.
    ...(key.length > 1 ? [] : [byteOrders(value !== undefined)]),
  ];
  return nfMessage('newSet', nfFamily[at.family], attributes, create | excl);
}

/** A set of one rule, which it is made for in the same transaction; it never changes. */
export function newAnonymousSet(at: TableAt, id: number, key: DataType, keys: readonly Buffer[]): NetlinkMessage[] {
  const size = nested(set.description, netU32(descriptionSize, keys.length));
  const attributes = [...setAttributes(at, anonymousSet, id, setFlag.anonymous | setFlag.constant, [key]), size];
  const where = [text(elements.table, at.table), text(elements.set, anonymousSet), netU32(elements.setId, id)];
  const filled = [
    ...where,
    list(
      elements.list,
      keys.map((each) => [data(element.key, each)]),
    ),
  ];
  return [
    nfMessage('newSet', nfFamily[at.family], attributes, create | excl),
    nfMessage('newSetElement', nfFamily[at.family], filled, create),
  ];
}

/**
 * The set, or map, has these elements and no others. One that was there is there for every packet, and its time begins anew;
 * without the emptying, kernels before 6.12 leave the time of an element that is there already as it was.
 */
export function replaceElements(at: TableAt, setName: string, replacements: readonly NewElement[]): NetlinkMessage[] {
  const where = [text(elements.table, at.table), text(elements.set, setName)];
  // Without elements, it means all.
  const messages = [nfMessage('delSetElement', nfFamily[at.family], where)];
  for (let from = 0; from < replacements.length; from += elementsPerMessage) {
    const some = replacements.slice(from, from + elementsPerMessage).map(elementAttributes);
    messages.push(nfMessage('newSetElement', nfFamily[at.family], [...where, list(elements.list, some)], create));
  }
  return messages;
}

function elementAttributes({ key, data: value, timeoutMs }: NewElement): Buffer[] {
  return [
    ...(timeoutMs === undefined ? [] : [netU64(element.timeout, timeoutMs)]),
    data(element.key, key),
    ...(value === undefined ? [] : [data(element.data, value)]),
  ];
}

function setAttributes(at: TableAt, name: string, id: number, flags: number, key: readonly DataType[]): Buffer[] {
  const types = key.map((type) => dataTypes[type]);
  const padded = types.map(({ length }) => Math.ceil(length / partOctets) * partOctets);
  const [only] = types;
  const length = types.length === 1 && only !== undefined ? only.length : padded.reduce((sum, each) => sum + each, 0);
  return [
    text(set.table, at.table),
    text(set.name, name),
    netU32(set.flags, flags),
    netU32(
      set.keyType,
      types.reduce((concatenated, { number }) => (concatenated << typeBits) | number, 0),
    ),
    netU32(set.keyLength, length),
    netU32(set.id, id),
  ];
}

/** Addresses are in network byte order. Each entry: type, length, a number in the byte order of the machine. */
function byteOrders(isMap: boolean): Buffer {
  const entry = (type: number) => [type, 4, bigEndian, 0, 0, 0];
  return attribute(
    set.userData,
    Buffer.from([...entry(userData.keyByteOrder), ...(isMap ? entry(userData.dataByteOrder) : [])]),
  );
}
