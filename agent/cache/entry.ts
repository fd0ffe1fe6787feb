/**
 * A cached answer: the upstream's message in wire form, without OPT, and the places of its TTLs. A hit copies it and patches
 * id, flags, question and TTLs; nothing is decoded again.
 */
import { answerFlags, finishAnswer } from '../wire/answer.ts';
import { type EdnsAnswer, extendedError, type Origin, origin } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { setU16, setU32, u32 } from '../wire/octets.ts';
import type { PendingQuery } from '../wire/query.ts';
import type { RecordWalk } from '../wire/records.ts';
import { maxStaleTtlSeconds } from './serve-stale.ts';

/** Octets of an entry beside its message and key: the objects around it, measured with 100,000 entries. */
const entryOverhead = 500;

export class Entry {
  readonly message: Buffer;
  readonly ttlOffsets: Uint16Array;
  readonly additionals: number;
  readonly storedAtMs: number;
  readonly expiresAtMs: number;
  /** Until when it may be used as a stale answer; `expiresAtMs` where it may not. */
  readonly staleUntilMs: number;
  /** After a failed refresh of a stale entry: not before this time again. */
  refreshAfterMs = 0;

  /**
   * @param message the upstream's answer with its TTLs bounded; copied
   * @param ttlSeconds 0 for an answer that is only passed on
   */
  constructor(message: Buffer, walk: RecordWalk, nowMs: number, ttlSeconds: number, staleSeconds: number) {
    this.message = Buffer.allocUnsafeSlow(walk.end);
    message.copy(this.message, 0, 0, walk.end);
    this.ttlOffsets = Uint16Array.from(walk.ttlOffsets);
    this.additionals = walk.additionals;
    this.storedAtMs = nowMs;
    this.expiresAtMs = nowMs + ttlSeconds * 1000;
    this.staleUntilMs = this.expiresAtMs + staleSeconds * 1000;
  }

  get rcode(): number {
    return header.responseCode(this.message);
  }

  /** What the byte budget is charged with. */
  size(key: string): number {
    return this.message.length + this.ttlOffsets.length * 2 + key.length + entryOverhead;
  }

  isFresh(nowMs: number): boolean {
    return nowMs < this.expiresAtMs;
  }

  /** Writes the answer to `query` into `out` and returns its length; truncated with TC=1 where it is longer than `limit`. */
  write(out: Buffer, query: PendingQuery, limit: number, nowMs: number, from: Origin): number {
    const { message, ttlOffsets } = this;
    message.copy(out);
    setU16(out, 0, query.id);
    setU16(out, 2, answerFlags(query, this.rcode) | this.#authenticData(query));
    query.question.copy(out, header.headerLength);
    setU16(out, 10, this.additionals);
    const stale = from === origin.stale;
    const ageSeconds = Math.floor((nowMs - this.storedAtMs) / 1000);
    for (let index = 0; index < ttlOffsets.length; index += 1) {
      const at = ttlOffsets[index] as number;
      const ttl = u32(message, at);
      setU32(out, at, stale ? Math.min(ttl, maxStaleTtlSeconds) : Math.max(0, ttl - ageSeconds));
    }
    return finishAnswer(out, message.length, query, limit, query.edns ? this.#edns(query, from) : undefined);
  }

  /** RFC 6840 §5.8: AD only towards clients that set AD or DO. */
  #authenticData(query: PendingQuery): number {
    const wanted = query.dnssecOk || (query.flags & header.flag.authenticData) !== 0;
    return wanted ? header.flags(this.message) & header.flag.authenticData : 0;
  }

  #edns(query: PendingQuery, from: Origin): EdnsAnswer {
    const nxDomain = this.rcode === header.rcode.nxDomain;
    const info = nxDomain ? extendedError.staleNxDomain : extendedError.staleAnswer;
    return {
      dnssecOk: query.dnssecOk,
      extendedRcode: 0,
      extendedError: from === origin.stale ? info : -1,
      extraText: '',
      origin: query.asksOrigin ? from : -1,
    };
  }
}
