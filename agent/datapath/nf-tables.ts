/**
 * What is done to our tables many times a second, by netlink: nft(8) would take a process and two milliseconds each time.
 * Making the tables is nft's work, from text that a person can read.
 */
import type { Family } from './family.ts';
import {
  isNetlinkError,
  Netlink,
  type NetlinkMessage,
  netlinkFlag,
  netlinkProtocol,
  type SocketCalls,
} from './netlink.ts';
import { attributes, findAttribute, netU32, netU64, text, textOf } from './netlink-attribute.ts';
import { data, list, nfFamily, nfHeaderLength, nfMessage, transaction } from './nf-message.ts';

/** An element as the kernel holds it; ./set-element.ts makes keys and data. */
export interface SetElement {
  key: Buffer;
  /** Of a map. */
  data?: Buffer;
}

export interface NewElement extends SetElement {
  /** After this it is gone. Absent: as the set says, which may be never. */
  timeoutMs?: number;
}

export interface HeldElement extends SetElement {
  /** Absent: it stays. */
  remainingMs?: number;
}

export interface SetChange {
  set: string;
  /** Whether what is in it goes first. */
  flush: boolean;
  elements: readonly NewElement[];
}

export interface Counter {
  packets: number;
  bytes: number;
}

const protocols = { 4: nfFamily.ip, 6: nfFamily.ip6 } as const;

/** An attribute's length has 16 bits; the largest of our elements takes 76 octets. */
const elementsPerMessage = 500;

/** enum nft_set_elem_list_attributes, nft_set_elem_attributes, nft_list_attributes, nft_data_attributes. */
const listTable = 1;
const listSet = 2;
const listElements = 3;
const element = { key: 1, data: 2, timeout: 4, expiration: 5 } as const;
const dataValue = 1;

/** enum nft_table_attributes, nft_set_attributes, nft_object_attributes, nft_counter_attributes, nft_gen_attributes. */
const tableName = 1;
const set = { table: 1, name: 2 } as const;
const object = { table: 1, name: 2, type: 3, data: 4 } as const;
const counterType = 1;
const counter = { bytes: 1, packets: 2 } as const;
const generationId = 1;

/** Each method throws a NetlinkError, whose code is ENOENT where the table or the set is gone. */
export class NfTables {
  readonly #netlink: Netlink;

  constructor(libc: SocketCalls) {
    this.#netlink = new Netlink(libc, netlinkProtocol.netfilter);
  }

  /**
   * Changes sets and maps in one transaction. An element that is flushed and put back is there for every packet, and its time
   * begins anew; without the flush, kernels before 6.12 leave the time of an element that is there already as it was. Kernels
   * before 6.17 may, for nanoseconds, not find an element that another processor is putting back; its packet takes the other way.
   */
  replaceElements(family: Family, table: string, changes: readonly SetChange[]): void {
    const messages = changes.flatMap((change) => elementMessages(protocols[family], table, change));
    if (messages.length > 0) this.#netlink.request(transaction(messages));
  }

  hasElement(family: Family, table: string, setName: string, key: Buffer): boolean {
    try {
      this.#netlink.get(
        nfMessage('getSetElement', protocols[family], [
          text(listTable, table),
          text(listSet, setName),
          list(listElements, [[data(element.key, key)]]),
        ]),
      );
      return true;
    } catch (error) {
      if (!isNetlinkError(error, 'ENOENT')) throw error;
    }
    // Was it the element that is missing, or the whole set? The latter throws.
    this.#netlink.get(nfMessage('getSet', protocols[family], [text(set.table, table), text(set.name, setName)]));
    return false;
  }

  /** What is in a set or a map. */
  elements(family: Family, table: string, setName: string): HeldElement[] {
    const request = [text(listTable, table), text(listSet, setName)];
    return this.#netlink
      .dump(nfMessage('getSetElement', protocols[family], request))
      .flatMap((payload) => [...heldElements(payload)]);
  }

  /** The named counters of a table. */
  counters(family: Family, table: string): Map<string, Counter> {
    const counters = new Map<string, Counter>();
    const request = [text(object.table, table), netU32(object.type, counterType)];
    for (const payload of this.#netlink.dump(nfMessage('getObject', protocols[family], request))) {
      const name = findAttribute(payload, object.name, nfHeaderLength);
      const values = findAttribute(payload, object.data, nfHeaderLength);
      if (name === undefined || values === undefined) continue;
      const packets = u64(findAttribute(values, counter.packets));
      const bytes = u64(findAttribute(values, counter.bytes));
      counters.set(textOf(name), { packets, bytes });
    }
    // A table that is gone has no counters, and that is how the kernel says it.
    if (counters.size === 0) this.#netlink.get(nfMessage('getTable', protocols[family], [text(tableName, table)]));
    return counters;
  }

  /** The number of the rule set of this network namespace: one more after each transaction, ours and anybody's. */
  generation(): number {
    const payload = this.#netlink.get(nfMessage('getGeneration', 0));
    return findAttribute(payload, generationId, nfHeaderLength)?.readUInt32BE(0) ?? 0;
  }

  close(): void {
    this.#netlink.close();
  }
}

/** Exported for its tests. */
export function elementMessages(protocol: number, table: string, change: SetChange): NetlinkMessage[] {
  const where = [text(listTable, table), text(listSet, change.set)];
  const messages: NetlinkMessage[] = [];
  // Without elements, it means all.
  if (change.flush) messages.push(nfMessage('delSetElement', protocol, where));
  for (let at = 0; at < change.elements.length; at += elementsPerMessage) {
    const some = change.elements.slice(at, at + elementsPerMessage).map(elementAttributes);
    messages.push(nfMessage('newSetElement', protocol, [...where, list(listElements, some)], netlinkFlag.create));
  }
  return messages;
}

function elementAttributes({ key, data: value, timeoutMs }: NewElement): Buffer[] {
  const attributes = [data(element.key, key)];
  if (timeoutMs !== undefined) attributes.unshift(netU64(element.timeout, timeoutMs));
  if (value !== undefined) attributes.push(data(element.data, value));
  return attributes;
}

function* heldElements(payload: Buffer): Generator<HeldElement> {
  const elements = findAttribute(payload, listElements, nfHeaderLength);
  if (elements === undefined) return;
  for (const [, held] of attributes(elements)) {
    const key = octetsOf(findAttribute(held, element.key));
    if (key === undefined) continue;
    const value = octetsOf(findAttribute(held, element.data));
    const expiration = findAttribute(held, element.expiration);
    yield {
      key,
      ...(value !== undefined && { data: value }),
      ...(expiration !== undefined && { remainingMs: u64(expiration) }),
    };
  }
}

function octetsOf(value: Buffer | undefined): Buffer | undefined {
  return value === undefined ? undefined : findAttribute(value, dataValue);
}

/** Exact up to 2^53. */
function u64(value: Buffer | undefined): number {
  return value === undefined ? 0 : Number(value.readBigUInt64BE(0));
}
