/** Saves cluster DNS the names that search paths make, as far as the specification rules them out; see ./search-path.ts. */
import { saysItExists } from '../wire/answer.ts';
import * as header from '../wire/header.ts';
import { writeLocalAnswer } from '../wire/local-answer.ts';
import { nameAt } from '../wire/name.ts';
import { classIn, type PendingQuery } from '../wire/query.ts';
import type { Question } from '../wire/question.ts';
import type { RecordWalk } from '../wire/records.ts';
import { soaOf } from '../wire/soa.ts';
import { ruledOutBy } from './search-path.ts';
import type { SearchPathRulings, Verdict } from './search-path-rulings.ts';

/** Why a name is asked about that cannot exist. */
export type WhyAsked = Exclude<Verdict, 'ruledOut'> | 'dnssec' | 'soa';

export interface SearchPathEvents {
  /** A name was not asked about; with Report: would not have been. */
  saved: () => void;
  asked: (why: WhyAsked) => void;
  /** A name exists that was ruled out. */
  wrong: () => void;
}

export class SearchPathRelief {
  readonly #domain: string;
  readonly #mode: 'Report' | 'Spec';
  readonly #rulings: SearchPathRulings;
  readonly #nowMs: () => number;
  readonly #events: SearchPathEvents;
  readonly #isKnown: (asked: Question) => boolean;

  /**
   * @param domain the cluster's, in canonical wire form
   * @param rulings outlive the configuration
   * @param isKnown whether an answer that says that the name exists is at hand
   */
  constructor(
    domain: string,
    mode: 'Report' | 'Spec',
    rulings: SearchPathRulings,
    nowMs: () => number,
    events: SearchPathEvents,
    isKnown: (asked: Question) => boolean,
  ) {
    this.#isKnown = isKnown;
    this.#domain = domain;
    this.#mode = mode;
    this.#rulings = rulings;
    this.#nowMs = nowMs;
    this.#events = events;
  }

  /** Writes NXDOMAIN into `out` and returns its length; 0: ask the servers. */
  answer(query: PendingQuery, out: Buffer, limit: number): number {
    const suffix = this.#ruledOutBy(query);
    if (suffix === undefined) return 0;
    const { soa } = this.#rulings;
    // Who wants proofs (DO) gets them from the servers.
    let verdict: WhyAsked | 'ruledOut' = query.dnssecOk ? 'dnssec' : this.#rulings.judge(suffix, this.#nowMs());
    // Of what was learned before there were rulings, or from what has been forgotten since, the cache knows yet.
    if (verdict === 'ruledOut' && this.#isKnown(query)) {
      this.#rulings.refute(suffix, this.#nowMs());
      verdict = 'exception';
    }
    if (verdict !== 'ruledOut' || soa === undefined) {
      this.#events.asked(verdict === 'ruledOut' ? 'soa' : verdict);
      return 0;
    }
    this.#events.saved();
    if (this.#mode === 'Report') return 0;
    const authority = { ...soa, ownerLength: this.#domain.length };
    return writeLocalAnswer(out, query, limit, { rcode: header.rcode.nxDomain, authority });
  }

  /** From each answer of the servers; returns the suffix of names that are an exception from now on, and for good. */
  learn(query: PendingQuery, message: Buffer, walk: RecordWalk): string | undefined {
    if (walk.soaOffset >= 0 && nameAt(message, walk.soaOffset) === this.#domain) {
      this.#rulings.soa = soaOf(message, walk);
    }
    const suffix = this.#ruledOutBy(query);
    if (suffix === undefined) return undefined;
    const code = header.responseCode(message);
    if (code !== header.rcode.nxDomain && code !== header.rcode.noError) return undefined;
    if (!saysItExists(code, walk.answers)) {
      this.#rulings.deny(suffix);
      return undefined;
    }
    const became = this.#rulings.refute(suffix, this.#nowMs());
    if (became !== 'known') this.#events.wrong();
    return became === 'news' ? suffix : undefined;
  }

  /** The process before this one had an answer to this question: what it knew of exceptions went with it. */
  recall(asked: Pick<PendingQuery, 'name' | 'class'>): void {
    const suffix = this.#ruledOutBy(asked);
    if (suffix !== undefined) this.#rulings.refute(suffix, this.#nowMs());
  }

  #ruledOutBy({ name, class: of }: Pick<PendingQuery, 'name' | 'class'>): string | undefined {
    return of === classIn ? ruledOutBy(name, this.#domain) : undefined;
  }
}
