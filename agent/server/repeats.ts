/**
 * Answers to queries that come again octet for octet, but for their id, within the same second: then the answer is the same one, too, as its TTLs
 * are. Most of what pods ask a cache is of this kind, and to find it here costs a third of what it costs to read the query, look it up and write
 * the answer. What is here is a copy: whoever takes it sees to it that the entry of the cache is still there.
 */
import { endianness } from 'node:os';
import type { Entry } from '../cache/entry.ts';
import { copyOctets } from '../wire/octets.ts';

/** A power of two. Of two queries that fall on one place the later one has it. */
const places = 4_096;
/** Of most queries, and of most answers. */
const maxQueryOctets = 124;
const maxAnswerOctets = 256;
/** And one for what stands behind the last whole one. */
const maxQueryWords = maxQueryOctets / Int32Array.BYTES_PER_ELEMENT + 1;
/** Of the first word of a query; before them stands the id, which is the query's own (RFC 1035 §4.1.1). */
const flagsOfWord = endianness() === 'LE' ? 0xffff0000 | 0 : 0xffff;
const none = -1;

/** The octets of a query as words of 32 bits: a quarter of the steps. */
class Words {
  #memory: ArrayBufferLike = new ArrayBuffer(0);
  all: Int32Array = new Int32Array(0);
  from = 0;
  /** Whole ones; up to three octets may stand behind them. */
  count = 0;

  /** False where the packet cannot be read so. */
  pointAt(packet: Buffer): boolean {
    const { buffer, byteOffset, length } = packet;
    if (buffer !== this.#memory) {
      this.#memory = buffer;
      this.all = new Int32Array(buffer, 0, buffer.byteLength >> 2);
    }
    this.from = byteOffset >> 2;
    this.count = length >> 2;
    return (byteOffset & 3) === 0 && this.count > 0 && length <= maxQueryOctets;
  }

  /** Without the id. */
  at(index: number): number {
    const word = this.all[this.from + index] as number;
    return index === 0 ? word & flagsOfWord : word;
  }
}

export class Repeats<Owner> {
  readonly #queries = new Int32Array(places * maxQueryWords);
  readonly #words = new Words();
  /** 0 where nothing is kept. */
  readonly #queryLengths = new Uint8Array(places);
  /** Views of one memory, each made when its place is first used. */
  readonly #memory = Buffer.alloc(places * maxAnswerOctets);
  readonly #answers: (Buffer | undefined)[] = new Array(places).fill(undefined);
  readonly #answerLengths = new Uint16Array(places);
  readonly #owners: (Owner | undefined)[] = new Array(places).fill(undefined);
  readonly #firsts = new Int32Array(places);
  readonly #stamps = new Int32Array(places);
  readonly #untilMs = new Float64Array(places);

  /** The place of the answer to `packet`, or -1. */
  find(packet: Buffer, nowMs: number): number {
    const words = this.#words;
    if (!words.pointAt(packet)) return none;
    const place = placeOf(words, packet);
    if (this.#queryLengths[place] !== packet.length || nowMs >= (this.#untilMs[place] as number)) return none;
    const queries = this.#queries;
    const from = place * maxQueryWords;
    for (let at = 0; at < words.count; at += 1) if (queries[from + at] !== words.at(at)) return none;
    return queries[from + words.count] === restOf(packet) ? place : none;
  }

  owner(place: number): Owner {
    return this.#owners[place] as Owner;
  }

  /** Of the entry of the cache. */
  first(place: number): number {
    return this.#firsts[place] as number;
  }

  stamp(place: number): number {
    return this.#stamps[place] as number;
  }

  answerLength(place: number): number {
    return this.#answerLengths[place] as number;
  }

  /** With the id of `packet`; its octets are used again for the next one at this place. */
  answer(place: number, packet: Buffer): Buffer {
    const answer = this.#answers[place] as Buffer;
    answer[0] = packet[0] as number;
    answer[1] = packet[1] as number;
    return answer;
  }

  /**
   * Keeps what was answered from `entry`, if it is no longer than most.
   * @param untilMs from then on the answer would be another one
   */
  keep(packet: Buffer, answer: Buffer, length: number, owner: Owner, { first, stamp }: Entry, untilMs: number): void {
    const words = this.#words;
    if (length > maxAnswerOctets || !words.pointAt(packet)) return;
    const place = placeOf(words, packet);
    const from = place * maxQueryWords;
    for (let at = 0; at < words.count; at += 1) this.#queries[from + at] = words.at(at);
    this.#queries[from + words.count] = restOf(packet);
    this.#queryLengths[place] = packet.length;
    this.#answers[place] ??= this.#memory.subarray(place * maxAnswerOctets, (place + 1) * maxAnswerOctets);
    copyOctets(answer, 0, length, this.#answers[place], 0);
    this.#answerLengths[place] = length;
    this.#owners[place] = owner;
    this.#firsts[place] = first;
    this.#stamps[place] = stamp;
    this.#untilMs[place] = untilMs;
  }

  /** Other answers are right from now on. */
  clear(): void {
    this.#queryLengths.fill(0);
    this.#owners.fill(undefined);
  }
}

/** When the TTLs of the answer that is made from it now will be a second less. */
export function olderAtMs({ storedAtMs }: Entry, nowMs: number): number {
  return storedAtMs + (Math.floor((nowMs - storedAtMs) / 1_000) + 1) * 1_000;
}

function placeOf(words: Words, packet: Buffer): number {
  let hash = packet.length ^ restOf(packet);
  for (let at = 0; at < words.count; at += 1) {
    hash = Math.imul(hash ^ words.at(at), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash & (places - 1);
}

/** The octets behind the last whole word. */
function restOf(packet: Buffer): number {
  let rest = 0;
  for (let at = packet.length & ~3; at < packet.length; at += 1) rest = (rest << 8) | (packet[at] as number);
  return rest;
}
