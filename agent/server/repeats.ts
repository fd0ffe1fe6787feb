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
const octetsPerWord = Int32Array.BYTES_PER_ELEMENT;
/** Of the first word of a query; before them stands the id, which is the query's own (RFC 1035 §4.1.1). */
const flagsOfWord = endianness() === 'LE' ? 0xffff0000 | 0 : 0xffff;
const none = -1;

/**
 * What a place is made of, in words of 32 bits. It stands side by side: where the names that are asked for are many, what a hit costs is the
 * lines of memory that the processor has to fetch for it.
 */
const Place = {
  /** Of the query, in octets; 0 where nothing is kept. */
  queryLength: 0,
  answerLength: 1,
  /** A number of 64 bits. */
  untilMs: 2,
  first: 4,
  stamp: 5,
  owner: 6,
  /** And one word for what stands behind the last whole one. */
  query: 8,
  answer: 8 + maxQueryOctets / octetsPerWord + 1,
} as const;
const wordsPerPlace = Place.answer + maxAnswerOctets / octetsPerWord;

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
  readonly #octets = Buffer.alloc(places * wordsPerPlace * octetsPerWord);
  readonly #words = new Int32Array(this.#octets.buffer);
  readonly #times = new Float64Array(this.#octets.buffer);
  readonly #owners: Owner[] = [];
  readonly #query = new Words();

  /** The place of the answer to `packet`, or -1. */
  find(packet: Buffer, nowMs: number): number {
    const query = this.#query;
    if (!query.pointAt(packet)) return none;
    const words = this.#words;
    const place = placeOf(query, packet);
    if (words[place + Place.queryLength] !== packet.length) return none;
    if (nowMs >= (this.#times[(place + Place.untilMs) >> 1] as number)) return none;
    const from = place + Place.query;
    for (let at = 0; at < query.count; at += 1) if (words[from + at] !== query.at(at)) return none;
    return words[from + query.count] === restOf(packet) ? place : none;
  }

  owner(place: number): Owner {
    return this.#owners[this.#words[place + Place.owner] as number] as Owner;
  }

  /** Of the entry of the cache. */
  first(place: number): number {
    return this.#words[place + Place.first] as number;
  }

  stamp(place: number): number {
    return this.#words[place + Place.stamp] as number;
  }

  /** Writes the answer to `packet` to `out`, with its id. Returns its length. */
  answer(place: number, packet: Buffer, out: Buffer): number {
    const from = (place + Place.answer) * octetsPerWord;
    const length = this.#words[place + Place.answerLength] as number;
    copyOctets(this.#octets, from, from + length, out, 0);
    out[0] = packet[0] as number;
    out[1] = packet[1] as number;
    return length;
  }

  /**
   * Keeps what was answered from `entry`, if it is no longer than most.
   * @param untilMs from then on the answer would be another one
   */
  keep(packet: Buffer, answer: Buffer, length: number, owner: Owner, { first, stamp }: Entry, untilMs: number): void {
    const query = this.#query;
    if (length > maxAnswerOctets || !query.pointAt(packet)) return;
    const words = this.#words;
    const place = placeOf(query, packet);
    const from = place + Place.query;
    for (let at = 0; at < query.count; at += 1) words[from + at] = query.at(at);
    words[from + query.count] = restOf(packet);
    words[place + Place.queryLength] = packet.length;
    words[place + Place.answerLength] = length;
    this.#times[(place + Place.untilMs) >> 1] = untilMs;
    words[place + Place.first] = first;
    words[place + Place.stamp] = stamp;
    words[place + Place.owner] = this.#numberOf(owner);
    copyOctets(answer, 0, length, this.#octets, (place + Place.answer) * octetsPerWord);
  }

  /** They are few. */
  #numberOf(owner: Owner): number {
    const known = this.#owners.indexOf(owner);
    return known < 0 ? this.#owners.push(owner) - 1 : known;
  }

  /** Other answers are right from now on. */
  clear(): void {
    for (let place = 0; place < this.#words.length; place += wordsPerPlace) this.#words[place + Place.queryLength] = 0;
    this.#owners.length = 0;
  }
}

/** When the TTLs of the answer that is made from it now will be a second less. */
export function olderAtMs({ storedAtMs }: Entry, nowMs: number): number {
  return storedAtMs + (Math.floor((nowMs - storedAtMs) / 1_000) + 1) * 1_000;
}

/** Of its first word. */
function placeOf(words: Words, packet: Buffer): number {
  let hash = packet.length ^ restOf(packet);
  for (let at = 0; at < words.count; at += 1) {
    hash = Math.imul(hash ^ words.at(at), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return (hash & (places - 1)) * wordsPerPlace;
}

/** The octets behind the last whole word. */
function restOf(packet: Buffer): number {
  let rest = 0;
  for (let at = packet.length & ~3; at < packet.length; at += 1) rest = (rest << 8) | (packet[at] as number);
  return rest;
}
