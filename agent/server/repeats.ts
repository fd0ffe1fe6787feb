/**
 * Answers to queries that come again octet for octet, but for their id, within the same second: then the answer is the same one, too, as its TTLs
 * are. Most of what pods ask a cache is of this kind, and to find it here costs a third of what it costs to read the query, look it up and write
 * the answer. What is here is a copy: whoever takes it sees to it that the entry of the cache is still there.
 */
import { endianness } from 'node:os';
import type { Entry } from '../cache/entry.ts';
import { copyWords, type Wordwise, wordwise } from '../wire/octets.ts';

/** A power of two. */
const places = 4_096;
/** Which the hash of a query leaves to it. Where they are taken the next one has one of theirs. */
const choices = 4;
/** Of a hash, in the word that says which place is taken by it: most others are told by that alone. */
const signMask = 0xffff0000 | 0;
const placeMask = 0xffff;
/** Of most queries, and of most answers. */
const maxQueryOctets = 124;
const maxAnswerOctets = 256;
const octetsPerWord = Int32Array.BYTES_PER_ELEMENT;
/** Of the first word of a query; before them stands the id, which is the query's own (RFC 1035 §4.1.1). */
const flagsOfWord = endianness() === 'LE' ? 0xffff0000 | 0 : 0xffff;
const none = -1;

/**
 * What a place is made of, in words of 32 bits. It stands side by side, and places are taken one after the other: what a hit costs is above
 * all the lines and the pages of memory that the processor has to fetch for it.
 */
const Place = {
  /** Of the query, in octets; of the first place, which nobody takes, 0. */
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
  #known: Int32Array = new Int32Array(0);
  all = this.#known;
  from = 0;
  /** Whole ones; up to three octets may stand behind them. */
  count = 0;

  /** False where the packet cannot be read so. */
  pointAt(packet: Buffer, memory = this.#memoryOf(packet)): boolean {
    const { byteOffset, length } = packet;
    this.all = memory;
    this.from = byteOffset >> 2;
    this.count = length >> 2;
    return (byteOffset & 3) === 0 && this.count > 0 && length <= maxQueryOctets;
  }

  #memoryOf({ buffer }: Buffer): Int32Array {
    if (buffer !== this.#known.buffer) this.#known = new Int32Array(buffer, 0, buffer.byteLength >> 2);
    return this.#known;
  }

  /** Without the id. */
  at(index: number): number {
    const word = this.all[this.from + index] as number;
    return index === 0 ? word & flagsOfWord : word;
  }
}

export class Repeats<Owner> {
  /** The sign of each query and its place, by its hash; 0 where there is none. */
  readonly #index = new Int32Array(places);
  #taken = 0;
  #evicted = 0;
  readonly #places = wordwise(Buffer.alloc((places + 1) * wordsPerPlace * octetsPerWord));
  readonly #times = new Float64Array(this.#places.words.buffer);
  readonly #owners: Owner[] = [];
  readonly #query = new Words();

  /**
   * The place of the answer to `packet`, or -1.
   * @param memory which it lies in, from its `byteOffset` on, where that is known
   */
  find(packet: Buffer, nowMs: number, memory?: Int32Array): number {
    const query = this.#query;
    if (!query.pointAt(packet, memory)) return none;
    const { words } = this.#places;
    const place = this.#placeOf(hashOf(query, packet));
    if (words[place + Place.queryLength] !== packet.length) return none;
    if (nowMs >= (this.#times[(place + Place.untilMs) >> 1] as number)) return none;
    const from = place + Place.query;
    for (let at = 0; at < query.count; at += 1) if (words[from + at] !== query.at(at)) return none;
    return words[from + query.count] === restOf(packet) ? place : none;
  }

  owner(place: number): Owner {
    return this.#owners[this.#places.words[place + Place.owner] as number] as Owner;
  }

  /** Of the entry of the cache. */
  first(place: number): number {
    return this.#places.words[place + Place.first] as number;
  }

  stamp(place: number): number {
    return this.#places.words[place + Place.stamp] as number;
  }

  /** Writes the answer to `packet` to `out`, with its id. Returns its length. */
  answer(place: number, packet: Buffer, out: Wordwise): number {
    const length = this.#places.words[place + Place.answerLength] as number;
    copyWords(this.#places, (place + Place.answer) * octetsPerWord, length, out, 0);
    const { octets } = out;
    octets[0] = packet[0] as number;
    octets[1] = packet[1] as number;
    return length;
  }

  /**
   * Keeps what was answered from `entry`, if it is no longer than most.
   * @param untilMs from then on the answer would be another one
   */
  keep(
    packet: Buffer,
    answer: Wordwise,
    length: number,
    owner: Owner,
    { first, stamp }: Entry,
    untilMs: number,
    memory?: Int32Array,
  ): void {
    const query = this.#query;
    if (length > maxAnswerOctets || !query.pointAt(packet, memory)) return;
    const { words } = this.#places;
    const place = this.#take(hashOf(query, packet));
    const from = place + Place.query;
    for (let at = 0; at < query.count; at += 1) words[from + at] = query.at(at);
    words[from + query.count] = restOf(packet);
    words[place + Place.queryLength] = packet.length;
    words[place + Place.answerLength] = length;
    this.#times[(place + Place.untilMs) >> 1] = untilMs;
    words[place + Place.first] = first;
    words[place + Place.stamp] = stamp;
    words[place + Place.owner] = this.#numberOf(owner);
    copyWords(answer, 0, length, this.#places, (place + Place.answer) * octetsPerWord);
  }

  /** The first place, which nobody takes, where there is none. */
  #placeOf(hash: number): number {
    const from = firstChoice(hash);
    for (let at = from; at < from + choices; at += 1) {
      const word = this.#index[at] as number;
      if (word !== 0 && ((word ^ hash) & signMask) === 0) return (word & placeMask) * wordsPerPlace;
    }
    return 0;
  }

  #take(hash: number): number {
    const known = this.#placeOf(hash);
    if (known !== 0) return known;
    const from = firstChoice(hash);
    let at = from;
    while (at < from + choices && this.#index[at] !== 0) at += 1;
    if (at === from + choices) at = from + (this.#evicted++ & (choices - 1));
    const place = (this.#index[at] as number) & placeMask || ++this.#taken;
    this.#index[at] = (hash & signMask) | place;
    return place * wordsPerPlace;
  }

  /** They are few. */
  #numberOf(owner: Owner): number {
    const known = this.#owners.indexOf(owner);
    return known < 0 ? this.#owners.push(owner) - 1 : known;
  }

  /** Other answers are right from now on. */
  clear(): void {
    this.#index.fill(0);
    this.#taken = 0;
    this.#owners.length = 0;
  }
}

/** When the TTLs of the answer that is made from it now will be a second less. */
export function olderAtMs({ storedAtMs }: Entry, nowMs: number): number {
  return storedAtMs + (Math.floor((nowMs - storedAtMs) / 1_000) + 1) * 1_000;
}

function hashOf(words: Words, packet: Buffer): number {
  let hash = packet.length ^ restOf(packet);
  for (let at = 0; at < words.count; at += 1) {
    hash = Math.imul(hash ^ words.at(at), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash;
}

function firstChoice(hash: number): number {
  return hash & (places - choices);
}

/** The octets behind the last whole word. */
function restOf(packet: Buffer): number {
  let rest = 0;
  for (let at = packet.length & ~3; at < packet.length; at += 1) rest = (rest << 8) | (packet[at] as number);
  return rest;
}
