/**
 * Expressions of nf_tables (linux/netfilter/nf_tables.h), of which a rule is a list: each loads something into a register,
 * compares a register, or acts. Pure; `nft --debug=netlink` shows the expressions of any rule that is written as text.
 */
import { hostU16Octets, hostU32Octets, nested, netU32, netU64, text } from './netlink-attribute.ts';
import { data, nfFamily } from './nf-message.ts';

/** The attributes of one expression. */
export type Expression = readonly Buffer[];

/** IPPROTO_TCP, IPPROTO_UDP. */
export const protocolNumber = { tcp: 6, udp: 17 } as const;

/** enum nft_meta_keys. */
export const metaKey = { mark: 3, interfaceIn: 6, interfaceOut: 7, l4proto: 16 } as const;

/** What can be read from a packet: enum nft_payload_bases, and where in that header it stands, in octets. */
export interface PacketField {
  base: 1 | 2;
  offset: number;
  length: number;
}

const networkHeader = 1;
const transportHeader = 2;

/** `ip saddr`, `ip daddr`, `ip6 saddr`, `ip6 daddr`. */
export const addressField = {
  4: {
    source: { base: networkHeader, offset: 12, length: 4 },
    destination: { base: networkHeader, offset: 16, length: 4 },
  },
  6: {
    source: { base: networkHeader, offset: 8, length: 16 },
    destination: { base: networkHeader, offset: 24, length: 16 },
  },
} as const;

/** `th sport`, `th dport`. */
export const portField = {
  source: { base: transportHeader, offset: 0, length: 2 },
  destination: { base: transportHeader, offset: 2, length: 2 },
} as const;

/** `tcp flags`, with two bits of it. */
export const tcpFlagsField = { base: transportHeader, offset: 13, length: 1 } as const;
export const tcpFlag = { syn: 0x02, ack: 0x10 } as const;

/** enum nft_registers: what is loaded, compared and acted on when a slot is not given. Each slot has four octets. */
const firstSlot = 0;
const verdictRegister = 0;
const firstSmallRegister = 8;
const slotsOfLargeRegister = 4;

/** enum nft_cmp_ops, nft_dynset_ops, nft_socket_keys, nft_nat_types; NFT_LOOKUP_F_INV, NFT_OBJECT_COUNTER. */
const comparison = { eq: 0, neq: 1 } as const;
const dynsetOperation = { add: 0, update: 1 } as const;
const socketTransparent = 0;
const invertedFlag = 1;
const counterType = 1;
const destinationNat = 1;
/** NFT_CT_ZONE. */
const ctZone = 17;

/** enum nft_verdicts, and NF_ACCEPT. */
const verdictCode = { accept: 1, jump: -3, goto: -4, return: -5 } as const;

/** enum nft_expr_attributes, and those of each expression. */
const expression = { name: 1, data: 2 } as const;
const meta = { destination: 1, key: 2, source: 3 } as const;
const cmp = { source: 1, operation: 2, data: 3 } as const;
const payload = { destination: 1, base: 2, offset: 3, length: 4 } as const;
const bits = { source: 1, destination: 2, length: 3, mask: 4, xor: 5 } as const;
const look = { set: 1, source: 2, destination: 3, setId: 4, flags: 5 } as const;
const dynset = { set: 1, operation: 3, keySource: 4, timeout: 6 } as const;
const socket = { key: 1, destination: 2 } as const;
const objref = { type: 1, name: 2 } as const;
const immediate = { destination: 1, data: 2 } as const;
const dataVerdict = 2;
const verdictAttribute = { code: 1, chain: 2 } as const;
const ct = { key: 2, source: 4 } as const;
const nat = { type: 1, family: 2, addressSource: 3 } as const;

/** @param slot as of {@link payloadLoad} */
export function metaLoad(key: number, slot = firstSlot): Expression {
  return expressionOf('meta', [netU32(meta.key, key), netU32(meta.destination, register(slot))]);
}

export function metaSet(key: number): Expression {
  return expressionOf('meta', [netU32(meta.key, key), netU32(meta.source, register(firstSlot))]);
}

/** @param slot where it goes; the parts of a concatenation follow each other */
export function payloadLoad({ base, offset, length }: PacketField, slot = firstSlot): Expression {
  return expressionOf('payload', [
    netU32(payload.destination, register(slot)),
    netU32(payload.base, base),
    netU32(payload.offset, offset),
    netU32(payload.length, length),
  ]);
}

export function compare(operation: keyof typeof comparison, value: Buffer): Expression {
  return expressionOf('cmp', [
    netU32(cmp.source, register(firstSlot)),
    netU32(cmp.operation, comparison[operation]),
    data(cmp.data, value),
  ]);
}

/** What was loaded, AND `mask`, XOR `xor`; all of one length. */
export function bitwise(mask: Buffer, xor: Buffer): Expression {
  return expressionOf('bitwise', [
    netU32(bits.source, register(firstSlot)),
    netU32(bits.destination, register(firstSlot)),
    netU32(bits.length, mask.length),
    data(bits.mask, mask),
    data(bits.xor, xor),
  ]);
}

/** The rule goes on if what was loaded is in the set, or `inverted` if it is not. An anonymous set is known by its number. */
export function lookup(
  set: string,
  { inverted = false, setId }: { inverted?: boolean; setId?: number } = {},
): Expression {
  return expressionOf('lookup', [
    netU32(look.source, register(firstSlot)),
    text(look.set, set),
    ...(setId === undefined ? [] : [netU32(look.setId, setId)]),
    ...(inverted ? [netU32(look.flags, invertedFlag)] : []),
  ]);
}

/** Puts what the map has for what was loaded in its place. */
export function translate(map: string): Expression {
  return expressionOf('lookup', [
    netU32(look.source, register(firstSlot)),
    text(look.set, map),
    netU32(look.destination, register(firstSlot)),
  ]);
}

/** Loads one octet: whether a socket that is bound to an address of nobody (IP_TRANSPARENT) takes the packet. */
export function socketTransparency(): Expression {
  return expressionOf('socket', [
    netU32(socket.key, socketTransparent),
    netU32(socket.destination, register(firstSlot)),
  ]);
}

/** Puts what was loaded into the set: `add` leaves the time of what is there already, `update` begins it anew. */
export function putInto(operation: keyof typeof dynsetOperation, set: string, timeoutMs: number): Expression {
  return expressionOf('dynset', [
    text(dynset.set, set),
    netU32(dynset.operation, dynsetOperation[operation]),
    netU32(dynset.keySource, register(firstSlot)),
    netU64(dynset.timeout, timeoutMs),
  ]);
}

/** Adds the packet to a named counter of the table. */
export function count(counter: string): Expression {
  return expressionOf('objref', [netU32(objref.type, counterType), text(objref.name, counter)]);
}

/** The packet is tracked among those of this zone alone. @param zone 16 bits */
export function setConntrackZone(zone: number): Expression[] {
  return [
    expressionOf('immediate', [
      netU32(immediate.destination, register(firstSlot)),
      data(immediate.data, hostU16Octets(zone)),
    ]),
    expressionOf('ct', [netU32(ct.key, ctZone), netU32(ct.source, register(firstSlot))]),
  ];
}

export function notrack(): Expression {
  return expressionOf('notrack', []);
}

export function verdict(code: 'accept' | 'return'): Expression;
export function verdict(code: 'jump' | 'goto', chain: string): Expression;
export function verdict(code: keyof typeof verdictCode, chain?: string): Expression {
  const to = chain === undefined ? [] : [text(verdictAttribute.chain, chain)];
  const what = nested(dataVerdict, netU32(verdictAttribute.code, verdictCode[code]), ...to);
  return expressionOf('immediate', [netU32(immediate.destination, verdictRegister), nested(immediate.data, what)]);
}

/** The address that was loaded becomes the packet's destination. */
export function dnat(family: 'ip' | 'ip6'): Expression {
  return expressionOf('nat', [
    netU32(nat.type, destinationNat),
    netU32(nat.family, nfFamily[family]),
    netU32(nat.addressSource, register(firstSlot)),
  ]);
}

export function loaded(load: Expression, operation: keyof typeof comparison, value: Buffer): Expression[] {
  return [load, compare(operation, value)];
}

/** `meta l4proto`. */
export function overProtocol(protocol: keyof typeof protocolNumber): Expression[] {
  return loaded(metaLoad(metaKey.l4proto), 'eq', Buffer.from([protocolNumber[protocol]]));
}

/** Others' bits are not looked at. */
export function hasMarkBit(bit: number): Expression[] {
  const octets = hostU32Octets(bit);
  return [metaLoad(metaKey.mark), bitwise(octets, hostU32Octets(0)), compare('eq', octets)];
}

/** Others' bits stay as they are. */
export function setMarkBit(bit: number): Expression[] {
  return [metaLoad(metaKey.mark), bitwise(hostU32Octets(~bit), hostU32Octets(bit)), metaSet(metaKey.mark)];
}

/** Takes a bit off that is set. */
export function flipMarkBit(bit: number): Expression[] {
  return [metaLoad(metaKey.mark), bitwise(hostU32Octets(~0), hostU32Octets(bit)), metaSet(metaKey.mark)];
}

/** The kernel has large registers, and cuts each into four small ones; the first octets of a large one are its first small one. */
function register(slot: number): number {
  return slot % slotsOfLargeRegister === 0 ? slot / slotsOfLargeRegister + 1 : firstSmallRegister + slot;
}

function expressionOf(name: string, attributes: readonly Buffer[]): Expression {
  // Without attributes it is only its name.
  const parts = attributes.length === 0 ? [] : [nested(expression.data, ...attributes)];
  return [text(expression.name, name), ...parts];
}
