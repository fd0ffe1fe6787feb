/**
 * The response cache as octets, for the process that comes after this one: over a socket or by way of a file.
 *
 *     frame      u32 length of kind and content | u32 CRC-32 of both | u8 kind | content
 *     start      magic | u16 format version | f64 wall clock, ms | u32 blocks, each: u32 length, identity in UTF-8
 *     answers    each: u16 block | u16 key length | u16 message length | u32 age, ms | u32 TTL, s | u32 stale window, s | key | message
 *     end        u32 answers in all
 *
 * What was used last comes first: who stops early, writer or reader, has the part that is worth most. Prefixes of the cache are
 * one process's own, so blocks go by their identity; clocks that never go back start anew with each process, so times go as ages.
 *
 * The octets come from outside: every length is checked before it is used, nothing throws, and an answer is taken only if
 * it is a whole message and answers the question of its key. A snapshot with one octet wrong is not used at all.
 */
import { crc32 } from 'node:zlib';
import { saysItExists } from '../wire/answer.ts';
import * as header from '../wire/header.ts';
import { nameAt } from '../wire/name.ts';
import { setU16, setU32, u8, u16, u32 } from '../wire/octets.ts';
import { type Question, questionAt } from '../wire/question.ts';
import { hasQuestion, walkRecords } from '../wire/records.ts';
import { Entry, passingCells, sizeOf } from './entry.ts';
import { blockOf, type ResponseCache } from './response-cache.ts';

const magic = 'localdns cache snapshot\n';
export const formatVersion = 1;

const Kind = { start: 1, answers: 2, end: 3 } as const;
const frameHeaderLength = 8;
const answerHeaderLength = 18;
/** Behind the name in a key: type, class, and the octet of DO and CD. */
const keyTail = 5;
const maxU16 = 0xffff;
const maxU32 = 0xffffffff;

/** Answers that are written or stored in one step, so that serving waits for a fraction of a millisecond. */
const answersPerStep = 256;
/** A frame of answers ends when it is this long; the last one of them may be as long as key and message can be. */
const fullFrameLength = 64 * 1024;
const answersFrameLength = fullFrameLength + answerHeaderLength + 2 * (maxU16 + 1);
/** A longer frame is no frame of ours: the identities of some thousand server blocks take less. */
const maxFrameLength = 4 * 1024 * 1024;

/**
 * A wall clock that was set back by less is taken to have stood still. By more, the age of every answer is unknown, and an answer
 * past its TTL would be served as fresh; a cold cache only costs time.
 */
const clockErrorMs = 5_000;

/** One moment on two clocks: the process's own, which never goes back, and the one that processes share. */
export interface Moment {
  nowMs: number;
  wallMs: number;
}

/** Server blocks by identity, with their prefixes in the cache. */
export type Blocks = ReadonlyMap<string, string>;

/**
 * The frames of a snapshot; each is valid until the next one is asked for, and undefined is a step without one.
 * @param isEnough asked before each step: true ends the snapshot early, and it is whole all the same
 */
export function* writeSnapshot(
  cache: ResponseCache,
  blocks: Blocks,
  { nowMs, wallMs }: Moment,
  isEnough: () => boolean,
): Generator<Buffer | undefined, void> {
  const places = new Map([...blocks.values()].map((prefix, place) => [blockOf(prefix), place]));
  yield startFrame([...blocks.keys()], wallMs);
  cache.snapshots += 1;
  const snapshot = cache.snapshots;
  const entries = yield* cache.collect();
  const frame = Buffer.alloc(answersFrameLength);
  let answers = 0;
  for (let next = 0; next < entries.length && !isEnough(); ) {
    const last = Math.min(next + answersPerStep, entries.length);
    let end = frameHeaderLength + 1;
    for (; next < last && end < fullFrameLength; next += 1) {
      const entry = entries.at(next);
      const place = entry && places.get(entry.block);
      if (place === undefined || entry === undefined || entry.snapshot === snapshot) continue;
      entry.snapshot = snapshot;
      const length = writeAnswer(frame, end, place, entry, nowMs);
      if (length > 0) answers += 1;
      end += length;
    }
    yield sealed(frame.subarray(0, end), Kind.answers);
  }
  const end = Buffer.alloc(frameHeaderLength + 5);
  setU32(end, frameHeaderLength + 1, answers);
  yield sealed(end, Kind.end);
}

function startFrame(identities: string[], wallMs: number): Buffer {
  const fixed = Buffer.alloc(magic.length + 2 + 8 + 4);
  fixed.write(magic, 'latin1');
  setU16(fixed, magic.length, formatVersion);
  fixed.writeDoubleBE(wallMs, magic.length + 2);
  setU32(fixed, magic.length + 10, identities.length);
  const named = identities.flatMap((identity) => {
    const octets = Buffer.from(identity);
    const length = Buffer.alloc(4);
    setU32(length, 0, octets.length);
    return [length, octets];
  });
  return sealed(Buffer.concat([Buffer.alloc(frameHeaderLength + 1), fixed, ...named]), Kind.start);
}

/** Returns its length; 0 for one that is past all use, that stands for one that is withheld, or for a failure, which was this process's. */
function writeAnswer(out: Buffer, at: number, place: number, entry: Entry, nowMs: number): number {
  // One that came while the snapshot was written has no age.
  const ageMs = Math.max(0, Math.floor(nowMs) - entry.storedAtMs);
  if (nowMs >= entry.staleUntilMs || ageMs > maxU32 || entry.isBlocked || entry.failures > 0) return 0;
  const keyAt = at + answerHeaderLength;
  const keyLength = entry.copyQuestion(out, keyAt) + 1;
  out[keyAt + keyLength - 1] = entry.questionFlags;
  setU16(out, at, place);
  setU16(out, at + 2, keyLength);
  setU16(out, at + 4, entry.messageLength);
  setU32(out, at + 6, ageMs);
  setU32(out, at + 10, entry.ttlSeconds);
  setU32(out, at + 14, entry.staleSeconds);
  return answerHeaderLength + keyLength + entry.copyMessage(out, keyAt + keyLength);
}

function sealed(frame: Buffer, kind: number): Buffer {
  frame[frameHeaderLength] = kind;
  setU32(frame, 0, frame.length - frameHeaderLength);
  setU32(frame, 4, crc32(frame.subarray(frameHeaderLength)));
  return frame;
}

interface Held {
  prefix: string;
  asked: Question;
  message: Buffer;
  additionals: number;
  storedAtMs: number;
  ttlSeconds: number;
  staleSeconds: number;
}

/**
 * Takes a snapshot in pieces of any length, and holds its answers aside until {@link SnapshotReader.store}: not before the end is it
 * known to be whole. Answers of blocks that do not exist here, and what is past all use by now, are left out.
 */
export class SnapshotReader {
  readonly #cache: ResponseCache;
  readonly #blocks: Blocks;
  readonly #now: Moment;
  #rest: Buffer = Buffer.alloc(0);
  /** Prefixes by their place in the snapshot; undefined before its start was read. */
  #prefixes: (string | undefined)[] | undefined;
  #elapsedMs = 0;
  #seen = 0;
  #ended = false;
  #bytes = 0;
  readonly #held: Held[] = [];
  readonly #passing = passingCells();
  readonly #exists: (prefix: string, asked: { name: string; class: number }) => void;

  /** @param exists told of each answer that a name has, in canonical wire form */
  constructor(
    cache: ResponseCache,
    blocks: Blocks,
    now: Moment,
    exists: (prefix: string, asked: { name: string; class: number }) => void = () => {},
  ) {
    this.#cache = cache;
    this.#blocks = blocks;
    this.#now = now;
    this.#exists = exists;
  }

  /** Milliseconds since it was written. */
  get elapsedMs(): number {
    return this.#elapsedMs;
  }

  /** Undefined while all is well, otherwise why the snapshot cannot be used. Its work is bounded by the length of `octets`. */
  push(octets: Buffer): string | undefined {
    this.#rest = this.#rest.length === 0 ? octets : Buffer.concat([this.#rest, octets]);
    for (;;) {
      const rest = this.#rest;
      if (rest.length === 0) return undefined;
      if (this.#ended) return 'octets follow its end';
      if (rest.length < frameHeaderLength) return undefined;
      const length = u32(rest, 0);
      if (length === 0 || length > maxFrameLength) return 'it is no snapshot, or damaged';
      const end = frameHeaderLength + length;
      if (rest.length < end) return undefined;
      const content = rest.subarray(frameHeaderLength, end);
      if (crc32(content) !== u32(rest, 4)) return 'it is damaged: a checksum is wrong';
      const trouble = this.#frame(u8(content, 0), content.subarray(1));
      if (trouble !== undefined) return trouble;
      this.#rest = rest.subarray(end);
    }
  }

  /** After the last octet: why what came is no whole snapshot; undefined where it is one. */
  finish(): string | undefined {
    return this.#ended ? undefined : 'it is cut off';
  }

  /**
   * Moves what was read into the cache step by step, and says how many answers that were. What is there already is newer, and
   * stays. Before the end was read this takes the part that came.
   */
  *store(): Generator<void, number> {
    let stored = 0;
    for (let left = this.#held.length; left > 0; ) {
      const stop = Math.max(0, left - answersPerStep);
      while (left > stop) {
        left -= 1;
        if (this.#store(this.#held[left] as Held)) stored += 1;
      }
      this.#held.length = left;
      yield;
    }
    return stored;
  }

  #store({ prefix, asked, message, additionals, storedAtMs, ttlSeconds, staleSeconds }: Held): boolean {
    const walk = { end: message.length, additionals };
    if (saysItExists(header.responseCode(message), header.answerCount(message))) {
      const { questionIn, questionAt: at, questionLength } = asked;
      this.#exists(prefix, { name: nameAt(questionIn, at), class: u16(questionIn, at + questionLength - 2) });
    }
    return this.#cache.add(prefix, asked, Entry.of(message, walk, storedAtMs, ttlSeconds, staleSeconds, this.#passing));
  }

  #frame(kind: number, content: Buffer): string | undefined {
    if (this.#prefixes === undefined) {
      return kind === Kind.start ? this.#start(content) : 'it is no snapshot';
    }
    if (kind === Kind.answers) return this.#answers(content, this.#prefixes);
    if (kind !== Kind.end || content.length !== 4 || u32(content, 0) !== this.#seen) return 'it is damaged';
    this.#ended = true;
    return undefined;
  }

  #start(content: Buffer): string | undefined {
    const fixed = magic.length + 14;
    if (content.length < fixed || content.toString('latin1', 0, magic.length) !== magic) return 'it is no snapshot';
    const version = u16(content, magic.length);
    if (version !== formatVersion) return `its format is version ${version}, not ${formatVersion}`;
    const elapsedMs = this.#now.wallMs - content.readDoubleBE(magic.length + 2);
    if (!(elapsedMs > -clockErrorMs)) return 'it was written in the future: the clock was set back';
    this.#elapsedMs = Math.max(0, elapsedMs);
    const prefixes: (string | undefined)[] = [];
    let at = fixed;
    for (let left = u32(content, fixed - 4); left > 0; left -= 1) {
      const end = at + 4 + u32(content, at);
      if (end > content.length) return 'it is damaged';
      prefixes.push(this.#blocks.get(content.toString('utf8', at + 4, end)));
      at = end;
    }
    if (at !== content.length) return 'it is damaged';
    this.#prefixes = prefixes;
    return undefined;
  }

  #answers(content: Buffer, prefixes: readonly (string | undefined)[]): string | undefined {
    for (let at = 0; at < content.length; ) {
      const keyAt = at + answerHeaderLength;
      const messageAt = keyAt + u16(content, at + 2);
      const end = messageAt + u16(content, at + 4);
      if (end > content.length) return 'it is damaged';
      const prefix = prefixes[u16(content, at)];
      if (prefix !== undefined) this.#answer(content, at, messageAt, end, prefix);
      this.#seen += 1;
      at = end;
    }
    return undefined;
  }

  #answer(content: Buffer, at: number, messageAt: number, end: number, prefix: string): void {
    const { nowMs } = this.#now;
    const storedAtMs = nowMs - this.#elapsedMs - u32(content, at + 6);
    const ttlSeconds = u32(content, at + 10);
    const staleSeconds = u32(content, at + 14);
    if (nowMs >= storedAtMs + (ttlSeconds + staleSeconds) * 1000) return;
    const keyAt = at + answerHeaderLength;
    // At least the root name: otherwise the places below lie outside.
    if (messageAt - keyAt < 1 + keyTail) return;
    const question = content.subarray(keyAt, messageAt - 1);
    const message = content.subarray(messageAt, end);
    if (!hasQuestion(message, question)) return;
    const walk = walkRecords(message, header.headerLength + question.length, u16(question, question.length - 4));
    if (walk === undefined) return;
    const { end: length, additionals } = walk;
    // What does not fit would push out what was used later.
    this.#bytes += sizeOf(length);
    if (this.#bytes > this.#cache.maxBytes - this.#cache.bytes) return;
    const asked = questionAt(content, keyAt, messageAt - 1);
    const kept = message.subarray(0, length);
    this.#held.push({ prefix, asked, message: kept, additionals, storedAtMs, ttlSeconds, staleSeconds });
  }
}
