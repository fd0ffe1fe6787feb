/**
 * A cached answer: the upstream's message in wire form, without OPT, in {@link Cells}. A hit copies it and patches id, flags, question
 * and TTLs; nothing is decoded again.
 */
import { answerFlags, finishAnswer, maxMessageLength, saysItExists } from '../wire/answer.ts';
import { type EdnsAnswer, extendedError, type Origin, origin } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { lowerCase, skipName } from '../wire/name.ts';
import { copyOctets, setU16, setU32, u8, u16, u32 } from '../wire/octets.ts';
import type { PendingQuery } from '../wire/query.ts';
import { fixedLength, type Question } from '../wire/question.ts';
import type { RecordWalk } from '../wire/records.ts';
import { Cells, cellLength, cellsOf, headLength, Place, Time, timesPerCell, Word, wordsPerCell } from './cells.ts';
import { maxStaleTtlSeconds } from './serve-stale.ts';

/** What a cell is charged with: beside its octets there is the place in the index by which its answer is found. */
export const chargeOfCell = cellLength + 16;

/** What the byte budget is charged with for a message of this length. */
export function sizeOf(length: number): number {
  return cellsOf(length) * chargeOfCell;
}

/** For entries that are only passed on, one after the other. */
export function passingCells(): Cells {
  return new Cells(cellsOf(maxMessageLength));
}

/** In the word of marks the lowest eight bits count uses, the next eight failures, and the highest are the lowest of the type. */
export const maxCount = 0xff;
const failuresShift = 8;
export const flagsShift = 16;
const blockedMark = 1 << 18;
const prefetchedMark = 1 << 19;
export const protectedMark = 1 << 20;
export const typeShift = 21;
/** Of the type, and of DO and CD. */
export const signMask = (-1 << typeShift) | (3 << flagsShift);

const place = new Place();

/** What stands at one place. It is valid until that place is given to another answer: whoever waits keeps a {@link copy}. */
export class Entry {
  readonly cells: Cells;
  readonly first: number;
  /** Which of all that were stored; 0 is not in the cache. */
  readonly stamp: number;

  constructor(cells: Cells, first: number) {
    this.cells = cells;
    this.first = first;
    this.stamp = cells.words[first * wordsPerCell + Word.stamp] as number;
  }

  /**
   * @param message the upstream's answer with its TTLs bounded; copied
   * @param nowMs when it came; before the clock's zero for what a process before this one received
   * @param ttlSeconds 0 for an answer that is only passed on
   * @param cells of its own, or those of the entry that was made before and is of no more use
   */
  static of(
    message: Buffer,
    { end, additionals }: Pick<RecordWalk, 'end' | 'additionals'>,
    nowMs: number,
    ttlSeconds: number,
    staleSeconds: number,
    cells = new Cells(cellsOf(end)),
  ): Entry {
    cells.clear();
    const first = cells.take(cellsOf(end));
    const { words, times } = cells;
    const word = first * wordsPerCell;
    for (let empty = Word.next + 1; empty < headLength / Int32Array.BYTES_PER_ELEMENT; empty += 1)
      words[word + empty] = 0;
    words[word + Word.sizes] = end | (additionals << 16);
    words[word + Word.ttl] = ttlSeconds;
    words[word + Word.staleWindow] = staleSeconds;
    times[first * timesPerCell + Time.storedAt] = Math.floor(nowMs);
    cells.write(first, message, end);
    return new Entry(cells, first);
  }

  /** For as long as anybody has use for it. */
  copy(): Entry {
    const { count } = this;
    const cells = new Cells(count);
    const first = cells.take(count);
    cells.copy(first, this.cells, this.first);
    return new Entry(cells, first);
  }

  /** False once its place has been given to another answer, or to none. */
  get isThere(): boolean {
    return this.cells.stamps[this.first] === this.stamp;
  }

  /** Octets of {@link copyMessage}. */
  get messageLength(): number {
    return this.#word(Word.sizes) & 0xffff;
  }

  /** How many cells it takes. */
  get count(): number {
    return cellsOf(this.messageLength);
  }

  /** What the byte budget is charged with. */
  get size(): number {
    return sizeOf(this.messageLength);
  }

  get storedAtMs(): number {
    return this.cells.times[this.first * timesPerCell + Time.storedAt] as number;
  }

  get ttlSeconds(): number {
    return this.#word(Word.ttl) >>> 0;
  }

  get expiresAtMs(): number {
    return this.storedAtMs + this.ttlSeconds * 1000;
  }

  get staleSeconds(): number {
    return this.#word(Word.staleWindow) >>> 0;
  }

  /** Until when it may be used as a stale answer; `expiresAtMs` where it may not. */
  get staleUntilMs(): number {
    return this.expiresAtMs + this.staleSeconds * 1000;
  }

  /** After a failed refresh of a stale entry: not before this time again. */
  get refreshAfterMs(): number {
    return this.cells.times[this.first * timesPerCell + Time.refreshAfter] as number;
  }

  /** Nothing where it {@link isThere} no more. */
  set refreshAfterMs(ms: number) {
    if (!this.isThere) return;
    this.cells.times[this.first * timesPerCell + Time.refreshAfter] = ms;
  }

  /** Of one that stands for failures (RFC 9520): how many there were in a row. */
  get failures(): number {
    return (this.#word(Word.marks) >>> failuresShift) & maxCount;
  }

  set failures(count: number) {
    const marks = this.#word(Word.marks) & ~(maxCount << failuresShift);
    this.#setWord(Word.marks, marks | (Math.min(count, maxCount) << failuresShift));
  }

  /** How often it was looked up, as far as anybody counts. */
  get uses(): number {
    return this.#word(Word.marks) & maxCount;
  }

  /** Of which server block: see {@link blockOf}. */
  get block(): number {
    return this.#word(Word.block);
  }

  /** Which snapshot of this process has it already. */
  get snapshot(): number {
    return this.#word(Word.snapshot);
  }

  set snapshot(snapshot: number) {
    this.#setWord(Word.snapshot, snapshot);
  }

  /** 2 for DO, and 1 for CD. */
  get questionFlags(): number {
    return (this.#word(Word.marks) >>> flagsShift) & 3;
  }

  /** It stands in the place of an answer that policy withholds. */
  get isBlocked(): boolean {
    return (this.#word(Word.marks) & blockedMark) !== 0;
  }

  /** Whether it was asked for again before its end. */
  get isPrefetched(): boolean {
    return (this.#word(Word.marks) & prefetchedMark) !== 0;
  }

  markBlocked(): void {
    this.#setWord(Word.marks, this.#word(Word.marks) | blockedMark);
  }

  markPrefetched(): void {
    this.#setWord(Word.marks, this.#word(Word.marks) | prefetchedMark);
  }

  get rcode(): number {
    return this.#flags() & 0xf;
  }

  get #answerCount(): number {
    return u16(this.cells.octets, this.first * cellLength + headLength + 6);
  }

  #flags(): number {
    return u16(this.cells.octets, this.first * cellLength + headLength + 2);
  }

  #word(word: number): number {
    return this.cells.words[this.first * wordsPerCell + word] as number;
  }

  #setWord(word: number, value: number): void {
    this.cells.words[this.first * wordsPerCell + word] = value;
  }

  /** Writes the question, its name in lower case, and returns its length. */
  copyQuestion(out: Buffer, to: number): number {
    const { octets } = this.cells;
    place.begin(this.cells, this.first, header.headerLength);
    let at = to;
    let octet = -1;
    for (let label = 0; octet !== 0 || label > 0; at += 1) {
      octet = u8(octets, place.at);
      out[at] = lowerCase(octet);
      place.step();
      label = label > 0 ? label - 1 : octet;
    }
    for (const end = at + fixedLength; at < end; at += 1) {
      out[at] = u8(octets, place.at);
      place.step();
    }
    return at - to;
  }

  /**
   * Whether it answers this question.
   * @param type what stands in the place of the question's own
   */
  answers(asked: Question, type: number): boolean {
    if (!this.#isAbout(asked)) return false;
    const { octets } = this.cells;
    const { questionIn, questionAt, questionLength } = asked;
    const typeAndClass = (type << 16) | u16(questionIn, questionAt + questionLength - 2);
    for (let shift = 24; shift >= 0; shift -= 8) {
      if (u8(octets, place.at) !== ((typeAndClass >>> shift) & 0xff)) return false;
      place.step();
    }
    return true;
  }

  /** Whether it says that this name exists, whatever its type and class. */
  provesName(asked: Question): boolean {
    return this.#isAbout(asked) && saysItExists(this.rcode, this.#answerCount);
  }

  /** The name alone; {@link place} is behind it then. */
  #isAbout({ questionIn, questionAt, questionLength }: Question): boolean {
    const { octets } = this.cells;
    const nameLength = questionLength - fixedLength;
    place.begin(this.cells, this.first, header.headerLength);
    for (let at = 0; at < nameLength; at += 1) {
      const theirs = u8(octets, place.at);
      const ours = u8(questionIn, questionAt + at);
      if (theirs !== ours && lowerCase(theirs) !== lowerCase(ours)) return false;
      place.step();
    }
    return true;
  }

  /** Writes the message as it was stored, a whole one although OPT was cut off, and returns its length. */
  copyMessage(out: Buffer, at: number): number {
    const { messageLength } = this;
    this.cells.read(this.first, out, at, messageLength);
    setU16(out, at + 10, this.#additionals());
    return messageLength;
  }

  #additionals(): number {
    return this.#word(Word.sizes) >>> 16;
  }

  isFresh(nowMs: number): boolean {
    return nowMs < this.expiresAtMs;
  }

  /** Writes the answer to `query` into `out` and returns its length; truncated with TC=1 where it is longer than `limit`. */
  write(out: Buffer, query: PendingQuery, limit: number, nowMs: number, from: Origin): number {
    const end = this.copyMessage(out, 0);
    setU16(out, 0, query.id);
    setU16(out, 2, answerFlags(query, this.rcode) | this.#authenticData(query));
    const { questionIn, questionAt, questionLength } = query;
    copyOctets(questionIn, questionAt, questionAt + questionLength, out, header.headerLength);
    const stale = from === origin.stale;
    const ageSeconds = Math.floor((nowMs - this.storedAtMs) / 1000);
    const records = header.answerCount(out) + header.authorityCount(out) + this.#additionals();
    let at = header.headerLength + questionLength;
    for (let record = 0; record < records; record += 1) {
      const ttlAt = skipName(out, at) + 4;
      const ttl = u32(out, ttlAt);
      setU32(out, ttlAt, stale ? Math.min(ttl, maxStaleTtlSeconds) : Math.max(0, ttl - ageSeconds));
      at = ttlAt + 6 + u16(out, ttlAt + 4);
    }
    return finishAnswer(out, end, query, limit, query.edns ? this.#edns(from) : undefined);
  }

  /** RFC 6840 §5.8: AD only towards clients that set AD or DO; §5.7: it is about data, and an error has none. */
  #authenticData(query: PendingQuery): number {
    if (this.rcode !== header.rcode.noError && this.rcode !== header.rcode.nxDomain) return 0;
    const wanted = query.dnssecOk || (query.flags & header.flag.authenticData) !== 0;
    return wanted ? this.#flags() & header.flag.authenticData : 0;
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
