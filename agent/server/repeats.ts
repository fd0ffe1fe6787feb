/**
 * Answers to queries that come again octet for octet, but for their id, within the same second: then the answer is the same one, too, as its TTLs
 * are. Most of what pods ask a cache is of this kind, and to find it here costs a third of what it costs to read the query, look it up and write
 * the answer. What is here is a copy: whoever takes it sees to it that the entry of the cache is still there.
 */
import type { Entry } from '../cache/entry.ts';
import { copyOctets } from '../wire/octets.ts';

/** A power of two. Of two queries that fall on one place the later one has it. */
const places = 4_096;
/** Of most queries, and of most answers. */
const maxQueryOctets = 128;
const maxAnswerOctets = 256;
/** A query's id is its own (RFC 1035 §4.1.1). */
const idOctets = 2;
const none = -1;

export class Repeats<Owner> {
  readonly #queries = new Uint8Array(places * maxQueryOctets);
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
    const { length } = packet;
    const place = placeOf(packet);
    if (this.#queryLengths[place] !== length || length === 0 || nowMs >= (this.#untilMs[place] as number)) return none;
    const queries = this.#queries;
    const from = place * maxQueryOctets;
    for (let at = idOctets; at < length; at += 1) if (queries[from + at] !== packet[at]) return none;
    return place;
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
    if (packet.length > maxQueryOctets || length > maxAnswerOctets) return;
    const place = placeOf(packet);
    const from = place * maxQueryOctets;
    for (let at = idOctets; at < packet.length; at += 1) this.#queries[from + at] = packet[at] as number;
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

/** All octets count, but for the last ones of an odd length, which are of no name. */
function placeOf(packet: Buffer): number {
  let hash = packet.length;
  for (let at = idOctets; at + 3 < packet.length; at += 4) {
    const low = (packet[at] as number) | ((packet[at + 1] as number) << 8);
    const word = low | ((packet[at + 2] as number) << 16) | ((packet[at + 3] as number) << 24);
    hash = Math.imul(hash ^ word, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash & (places - 1);
}
