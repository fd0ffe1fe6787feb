/**
 * Protection from rebinding: a name of the public Internet that leads to an address inside lets a page of a stranger reach what
 * only we should. Answers of servers are looked at once, when they come; what is answered on the node itself is not.
 */

import { addressText } from '../wire/address.ts';
import { nameFromText, skipName } from '../wire/name.ts';
import { u16 } from '../wire/octets.ts';
import type { PendingQuery } from '../wire/query.ts';
import type { RecordWalk } from '../wire/records.ts';
import { Suffixes } from '../wire/suffixes.ts';
import { recordType } from './local-records.ts';
import { PrivateAddresses } from './private-addresses.ts';

/**
 * Domains of which nobody can register a name: RFC 6762 §3, RFC 8375, and `internal`, which ICANN set aside for private use and
 * clouds give their machines names in.
 */
const nobodys = ['local', 'home.arpa', 'internal'];

/** RFC 9460 §14.1, and the addresses that its parameters may hint at (§7.3). */
const svcb = 64;
const https = 65;
const ipv4hint = 4;
const ipv6hint = 6;

const sayEveryMs = 1_000;

export interface RebindOptions {
  mode: 'Report' | 'Enforce';
  /** With all names below them they may lead to any address. */
  allowedDomains: readonly string[];
  allowLoopback: boolean;
  extraPrefixes: readonly string[];
}

export interface RebindEvents {
  reported: () => void;
  blocked: () => void;
}

export interface PrivateAnswer {
  /** The first that was found. */
  address: string;
  isBlocked: boolean;
  /** For the log, which gets one line a second: how many there were since the last; undefined where it gets none. */
  answers: number | undefined;
}

export class RebindProtection {
  readonly #mode: RebindOptions['mode'];
  readonly #events: RebindEvents;
  readonly #exempt: Suffixes<true>;
  readonly #private: PrivateAddresses;
  #saidAtMs = Number.NEGATIVE_INFINITY;
  #unsaid = 0;

  constructor({ mode, allowedDomains, allowLoopback, extraPrefixes }: RebindOptions, events: RebindEvents) {
    this.#mode = mode;
    this.#events = events;
    this.#exempt = new Suffixes(new Map([...nobodys, ...allowedDomains].map((name) => [nameFromText(name), true])));
    this.#private = new PrivateAddresses(allowLoopback, extraPrefixes);
  }

  /** What is wrong with an answer of a server; undefined for nothing. */
  check(query: PendingQuery, message: Buffer, walk: RecordWalk, nowMs: number): PrivateAnswer | undefined {
    const address = this.#find(message, walk);
    if (address === undefined || this.#exempt.longest(query.name) !== undefined) return undefined;
    const isBlocked = this.#mode === 'Enforce';
    if (isBlocked) this.#events.blocked();
    else this.#events.reported();
    this.#unsaid += 1;
    const answers = nowMs - this.#saidAtMs < sayEveryMs ? undefined : this.#unsaid;
    if (answers !== undefined) {
      this.#saidAtMs = nowMs;
      this.#unsaid = 0;
    }
    return { address, isBlocked, answers };
  }

  /** Whatever name a record belongs to: an alias leads on. Addresses that are added for other names are as good as any. */
  #find(message: Buffer, { ttlOffsets }: RecordWalk): string | undefined {
    for (const ttlOffset of ttlOffsets) {
      const length = u16(message, ttlOffset + 4);
      const data = ttlOffset + 6;
      const found = this.#findIn(message, u16(message, ttlOffset - 4), data, length);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #findIn(message: Buffer, type: number, data: number, length: number): string | undefined {
    switch (type) {
      case recordType.A:
        return length === 4 ? this.#ifPrivate(message, data, length) : undefined;
      case recordType.AAAA:
        return length === 16 ? this.#ifPrivate(message, data, length) : undefined;
      case svcb:
      case https:
        return this.#findHint(message, data, data + length);
      default:
        return undefined;
    }
  }

  /** RFC 9460 §2.2: a priority, a name, and parameters, each with its key and its length. */
  #findHint(message: Buffer, data: number, end: number): string | undefined {
    const nameEnd = skipName(message, data + 2);
    if (nameEnd < 0) return undefined;
    for (let at = nameEnd; at + 4 <= end; ) {
      const key = u16(message, at);
      const valueEnd = at + 4 + u16(message, at + 2);
      const size = key === ipv4hint ? 4 : key === ipv6hint ? 16 : 0;
      for (let hint = at + 4; size > 0 && hint + size <= Math.min(valueEnd, end); hint += size) {
        const found = this.#ifPrivate(message, hint, size);
        if (found !== undefined) return found;
      }
      at = valueEnd;
    }
    return undefined;
  }

  #ifPrivate(message: Buffer, at: number, length: number): string | undefined {
    return this.#private.has(message, at, length) ? addressText(message.subarray(at, at + length)) : undefined;
  }
}
