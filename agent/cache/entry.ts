/**
 * A cached answer: the upstream's message in wire form, without OPT, and the places of its TTLs. A hit copies it and patches
 * id, flags, question and TTLs; nothing is decoded again.
 */
import { answerFlags, finishAnswer } from '../wire/answer.ts';
import { type EdnsAnswer, extendedError, type Origin, origin } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { lowerCase } from '../wire/name.ts';
import { setU16, setU32, u32 } from '../wire/octets.ts';
import type { PendingQuery } from '../wire/query.ts';
import { fixedLength, isQuestionOf, type Question } from '../wire/question.ts';
import type { RecordWalk } from '../wire/records.ts';
import { maxStaleTtlSeconds } from './serve-stale.ts';

/** Octets of an entry beside the message and the places in it: what holds them, measured with 50,000 entries. */
const entryOverhead = 160;

/** latin1 strings hold octets more cheaply than buffers do: a Buffer costs some 400 octets before it holds the first. */
const encoding = 'latin1';

export class Entry {
  /** The message, one character an octet. */
  readonly #message: string;
  /** Where the TTLs stand, one character each: a message has at most 65,535 octets. */
  readonly #ttlOffsets: string;
  readonly #additionals: number;
  readonly storedAtMs: number;
  readonly expiresAtMs: number;
  /** Until when it may be used as a stale answer; `expiresAtMs` where it may not. */
  readonly staleUntilMs: number;
  /** After a failed refresh of a stale entry: not before this time again. */
  refreshAfterMs = 0;
  /** Of one that stands for failures (RFC 9520): how many there were in a row. */
  failures = 0;
  /** It stands in the place of an answer that policy withholds. */
  isBlocked = false;
  /** How often it was looked up; and whether it was asked for again before its end. */
  uses = 0;
  prefetched = false;
  /** Which snapshot of this process has it already; see {@link ResponseCache.collect}. */
  snapshot = 0;
  /** Where it is kept, which is the cache's business: block, hash and flags of the question, and what stands beside it there. */
  prefix = '';
  hash = 0;
  questionFlags = 0;
  chained: Entry | undefined;
  segment: object | undefined;
  newer: Entry | undefined;
  older: Entry | undefined;

  /**
   * @param message the upstream's answer with its TTLs bounded; copied
   * @param nowMs when it came; before the clock's zero for what a process before this one received
   * @param ttlSeconds 0 for an answer that is only passed on
   */
  constructor(message: Buffer, walk: RecordWalk, nowMs: number, ttlSeconds: number, staleSeconds: number) {
    this.#message = message.toString(encoding, 0, walk.end);
    this.#ttlOffsets = String.fromCharCode(...walk.ttlOffsets);
    this.#additionals = walk.additionals;
    this.storedAtMs = Math.floor(nowMs);
    this.expiresAtMs = this.storedAtMs + ttlSeconds * 1000;
    this.staleUntilMs = this.expiresAtMs + staleSeconds * 1000;
  }

  get rcode(): number {
    return this.#flags & 0xf;
  }

  get #flags(): number {
    return (this.#message.charCodeAt(2) << 8) | this.#message.charCodeAt(3);
  }

  /** What the byte budget is charged with. */
  get size(): number {
    return this.#message.length + this.#ttlOffsets.length * 2 + entryOverhead;
  }

  /** @param type what stands in the place of the question's own */
  answers(question: Question, type: number): boolean {
    return isQuestionOf(this.#message, header.headerLength, question, type);
  }

  /** Octets of the question. */
  get questionLength(): number {
    let at = header.headerLength;
    while (this.#message.charCodeAt(at) > 0) at += 1 + this.#message.charCodeAt(at);
    return at + 1 + fixedLength - header.headerLength;
  }

  /** Writes the question, its name in lower case, and returns its length. */
  copyQuestion(out: Buffer, at: number): number {
    const length = this.questionLength;
    for (let octet = 0; octet < length; octet += 1) {
      const value = this.#message.charCodeAt(header.headerLength + octet);
      out[at + octet] = octet < length - fixedLength ? lowerCase(value) : value;
    }
    return length;
  }

  /** Octets of {@link copyMessage}. */
  get messageLength(): number {
    return this.#message.length;
  }

  /** Writes the message as it was stored, a whole one although OPT was cut off, and returns its length. */
  copyMessage(out: Buffer, at: number): number {
    const length = out.write(this.#message, at, encoding);
    setU16(out, at + 10, this.#additionals);
    return length;
  }

  isFresh(nowMs: number): boolean {
    return nowMs < this.expiresAtMs;
  }

  /** Writes the answer to `query` into `out` and returns its length; truncated with TC=1 where it is longer than `limit`. */
  write(out: Buffer, query: PendingQuery, limit: number, nowMs: number, from: Origin): number {
    const ttlOffsets = this.#ttlOffsets;
    const end = out.write(this.#message, 0, encoding);
    setU16(out, 0, query.id);
    setU16(out, 2, answerFlags(query, this.rcode) | this.#authenticData(query));
    const { questionIn, questionAt, questionLength } = query;
    questionIn.copy(out, header.headerLength, questionAt, questionAt + questionLength);
    setU16(out, 10, this.#additionals);
    const stale = from === origin.stale;
    const ageSeconds = Math.floor((nowMs - this.storedAtMs) / 1000);
    for (let index = 0; index < ttlOffsets.length; index += 1) {
      const at = ttlOffsets.charCodeAt(index);
      const ttl = u32(out, at);
      setU32(out, at, stale ? Math.min(ttl, maxStaleTtlSeconds) : Math.max(0, ttl - ageSeconds));
    }
    return finishAnswer(out, end, query, limit, query.edns ? this.#edns(from) : undefined);
  }

  /** RFC 6840 §5.8: AD only towards clients that set AD or DO; §5.7: it is about data, and an error has none. */
  #authenticData(query: PendingQuery): number {
    if (this.rcode !== header.rcode.noError && this.rcode !== header.rcode.nxDomain) return 0;
    const wanted = query.dnssecOk || (query.flags & header.flag.authenticData) !== 0;
    return wanted ? this.#flags & header.flag.authenticData : 0;
  }

  #edns(from: Origin): EdnsAnswer {
    return {
      extendedRcode: 0,
      extendedError: this.#extendedError(from),
      extraText: this.#extraText(from),
      origin: from,
    };
  }

  #extraText(from: Origin): string {
    if (this.isBlocked) return 'protection.rebind';
    return this.#isTheirFailure(from) ? 'this is what the servers answered' : '';
  }

  /** A client that is told of a failure shall know whose it is. */
  #isTheirFailure(from: Origin): boolean {
    return from === origin.forwarded && this.rcode !== header.rcode.noError && this.rcode !== header.rcode.nxDomain;
  }

  #extendedError(from: Origin): number {
    if (this.failures > 0) return extendedError.cachedError;
    if (this.isBlocked) return extendedError.blocked;
    if (this.#isTheirFailure(from)) return extendedError.other;
    if (from !== origin.stale) return -1;
    return this.rcode === header.rcode.nxDomain ? extendedError.staleNxDomain : extendedError.staleAnswer;
  }
}
