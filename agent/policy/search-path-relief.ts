/** Saves cluster DNS the names that search paths make, as far as the specification rules them out; see ./search-path.ts. */
import * as header from '../wire/header.ts';
import { type LocalRecord, writeLocalAnswer } from '../wire/local-answer.ts';
import { nameAt } from '../wire/name.ts';
import { classIn, type PendingQuery } from '../wire/query.ts';
import type { RecordWalk } from '../wire/records.ts';
import { soaOf } from '../wire/soa.ts';
import { ruledOutBy } from './search-path.ts';

/** Of the names that one ruling is about, the first and every so many after it are asked about all the same. */
const sampleEvery = 64;
const maxRulings = 1_024;

interface Ruling {
  /** Names so far. */
  names: number;
  /** A name exists against it: it rules nothing out any more. */
  isRefuted: boolean;
}

export interface SearchPathEvents {
  /** A name was not asked about; with Report: would not have been. */
  saved: () => void;
  /** A name exists that was ruled out. */
  wrong: () => void;
}

export class SearchPathRelief {
  readonly #domain: string;
  readonly #mode: 'Report' | 'Spec';
  readonly #events: SearchPathEvents;
  readonly #rulings = new Map<string, Ruling>();
  /** The domain's, from the last negative answer: what a name that does not exist is answered with (RFC 2308 §3). */
  #soa: LocalRecord | undefined;

  /** @param domain the cluster's, in canonical wire form */
  constructor(domain: string, mode: 'Report' | 'Spec', events: SearchPathEvents) {
    this.#domain = domain;
    this.#mode = mode;
    this.#events = events;
  }

  /** Writes NXDOMAIN into `out` and returns its length; 0: ask the servers. */
  answer(query: PendingQuery, out: Buffer, limit: number): number {
    const ruling = this.#ruling(query);
    // Who wants proofs (DO) gets them from the servers.
    if (ruling === undefined || ruling.isRefuted || query.dnssecOk) return 0;
    if (this.#mode === 'Report') {
      this.#events.saved();
      return 0;
    }
    ruling.names += 1;
    if (this.#soa === undefined || ruling.names % sampleEvery === 1) return 0;
    this.#events.saved();
    const authority = { ...this.#soa, ownerLength: this.#domain.length };
    return writeLocalAnswer(out, query, limit, { rcode: header.rcode.nxDomain, authority });
  }

  /** From each answer of the servers; returns the suffix of names that were ruled out until now, and are not any more. */
  learn(query: PendingQuery, message: Buffer, walk: RecordWalk): string | undefined {
    if (walk.soaOffset >= 0 && nameAt(message, walk.soaOffset) === this.#domain) this.#soa = soaOf(message, walk);
    const suffix = query.class === classIn ? ruledOutBy(query.name, this.#domain) : undefined;
    const exists = header.responseCode(message) === header.rcode.noError;
    const ruling = suffix === undefined || !exists ? undefined : this.#rulings.get(suffix);
    if (ruling === undefined || ruling.isRefuted) return undefined;
    ruling.isRefuted = true;
    this.#events.wrong();
    return suffix;
  }

  #ruling({ name, class: of }: PendingQuery): Ruling | undefined {
    const suffix = of === classIn ? ruledOutBy(name, this.#domain) : undefined;
    if (suffix === undefined) return undefined;
    const known = this.#rulings.get(suffix);
    if (known !== undefined || this.#rulings.size >= maxRulings) return known;
    const ruling = { names: 0, isRefuted: false };
    this.#rulings.set(suffix, ruling);
    return ruling;
  }
}
