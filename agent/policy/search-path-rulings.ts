/**
 * What cluster DNS has said of the names that the specification rules out, kind by kind: all names with one suffix are of a kind
 * (see ./search-path.ts). A kind is ruled out once it was asked about and is not there, and is asked about again every so many
 * names, and every so often. Where a name of it exists it is an exception.
 *
 * Pods choose the names, and so the kinds: both tables have a bound. A flood of kinds pushes out those that nobody asks for, each
 * of which then costs one query again; no flood pushes out an exception, which would hide names that exist.
 */
import type { LocalRecord } from '../wire/local-answer.ts';

/** Some 300 octets each. */
const maxRulings = 1_024;
const maxExceptions = 1_024;

/** Of the names of a kind, the first and every so many after it are asked about all the same. */
const sampleEvery = 64;
/** And one of them after so long: records are added to a domain, too. */
const askAgainMs = 300_000;

/** An exception none of whose names has been there for so long is over. */
const exceptionMs = 24 * 3_600_000;
/** It is ruled out again once so many of its names are not there: a name that is may be among them. */
const proofsAfterException = sampleEvery;

/** To find the one that is to go no more of them are looked at, or a packet waits for it. */
const maxLooks = 16;
const maxUses = 255;

interface Ruling {
  /** How many names that are not there it takes to rule out the others. */
  proofsLeft: number;
  /** A name exists, and there was no room among the exceptions. */
  isRefuted: boolean;
  /** Names since it was made. */
  names: number;
  askedAtMs: number;
  /** Of late: halved whenever it is looked at as one that may go. */
  uses: number;
}

/** `ruledOut`, or why the servers are asked all the same. */
export type Verdict = 'ruledOut' | 'unproven' | 'sample' | 'exception';

export class SearchPathRulings {
  readonly #rulings = new Map<string, Ruling>();
  /** When a name of the kind was there last: the longest ago comes first. */
  readonly #exceptions = new Map<string, number>();
  /** The domain's, from the last negative answer: what a name that does not exist is answered with (RFC 2308 §3). */
  soa: LocalRecord | undefined;
  readonly #forgotten: () => void;

  /** @param forgotten a kind had to go for want of room */
  constructor(forgotten: () => void) {
    this.#forgotten = forgotten;
  }

  /** What becomes of one more name of the kind. */
  judge(suffix: string, nowMs: number): Verdict {
    if (this.#isException(suffix, nowMs)) return 'exception';
    const ruling = this.#rulings.get(suffix) ?? this.#open(suffix, 1, nowMs);
    ruling.names += 1;
    ruling.uses = Math.min(ruling.uses + 1, maxUses);
    if (ruling.isRefuted) return 'exception';
    if (ruling.proofsLeft > 0) return 'unproven';
    if (ruling.names % sampleEvery !== 1 && nowMs - ruling.askedAtMs < askAgainMs) return 'ruledOut';
    ruling.askedAtMs = nowMs;
    return 'sample';
  }

  /** A name of the kind was asked about, and is not there. */
  deny(suffix: string): void {
    const ruling = this.#rulings.get(suffix);
    if (ruling !== undefined && ruling.proofsLeft > 0) ruling.proofsLeft -= 1;
  }

  /** A name of the kind was asked about, and exists. `unkept`: that is news as well, and there is no room for it. */
  refute(suffix: string, nowMs: number): 'news' | 'unkept' | 'known' {
    const isKnown = this.#exceptions.delete(suffix);
    const [oldest, atMs] = this.#exceptions.entries().next().value ?? [];
    if (oldest !== undefined && atMs !== undefined && nowMs - atMs >= exceptionMs) this.#exceptions.delete(oldest);
    if (this.#exceptions.size >= maxExceptions) {
      const ruling = this.#rulings.get(suffix) ?? this.#open(suffix, 1, nowMs);
      const was = ruling.isRefuted;
      ruling.isRefuted = true;
      return was ? 'known' : 'unkept';
    }
    this.#exceptions.set(suffix, nowMs);
    this.#rulings.delete(suffix);
    return isKnown ? 'known' : 'news';
  }

  #isException(suffix: string, nowMs: number): boolean {
    const atMs = this.#exceptions.get(suffix);
    if (atMs === undefined) return false;
    if (nowMs - atMs < exceptionMs) return true;
    this.#exceptions.delete(suffix);
    this.#open(suffix, proofsAfterException, nowMs);
    return false;
  }

  #open(suffix: string, proofsLeft: number, nowMs: number): Ruling {
    if (this.#rulings.size >= maxRulings) this.#forgetOne();
    const ruling = { proofsLeft, isRefuted: false, names: 0, askedAtMs: nowMs, uses: 0 };
    this.#rulings.set(suffix, ruling);
    return ruling;
  }

  /** The oldest; one that is in use comes after the others, and counts half as much from then on. */
  #forgetOne(): void {
    let looks = 0;
    for (const [suffix, ruling] of this.#rulings) {
      looks += 1;
      this.#rulings.delete(suffix);
      if (ruling.uses <= 1 || looks >= maxLooks) break;
      ruling.uses >>= 1;
      this.#rulings.set(suffix, ruling);
    }
    this.#forgotten();
  }
}
