/**
 * Many datagrams in one system call: recvmmsg(2) and sendmmsg(2), over memory that the kernel may keep addresses of. One of
 * these serves all sockets of a thread: what was received is used before anything else is, and what is sent is copied.
 */
import type { BatchCalls } from '../libc.ts';
import { maxMessageLength } from '../wire/answer.ts';
import { copyOctets, copyWords, type Wordwise, wordwise } from '../wire/octets.ts';

/** Datagrams in one call: beyond some dozens it costs little of what they cost. */
export const batchSize = 64;
/** By so much each place is longer than what fits: at multiples of 4 KiB all would share a few lines of the processor's caches. */
const shift = 192;
/** Of a datagram that is sent; whoever has a longer one is told to ask over TCP (RFC 9715). */
const maxSentLength = 4_096;

const messagesKnown = 8;

/** Longer than most queries. */
const usualLength = 128;

/** struct mmsghdr on 64-bit Linux, in words of 32 bits: a struct msghdr of 14, the datagram's length, and padding. */
const headerWords = 16;
const nameLengthWord = 2;
const controlLengthWord = 10;
const lengthWord = 14;
/** Addresses and counts in it, in words of 64 bits. */
const longOf = { name: 0, vectors: 2, vectorCount: 3, control: 4 } as const;
/** struct iovec: an address and a length of 64 bits each. */
const vectorWords = 4;
/** Who is at the other end: a sockaddr, and a control message that says which of the socket's addresses it concerns. */
const nameWords = 8;
const controlWords = 10;
const peerWords = nameWords + controlWords;

/** How much of a peer the sockets of one kind use, in octets. */
export interface PeerShape {
  /** sockaddr_in, sockaddr_in6. */
  name: 16 | 28;
  /** With in_pktinfo, with in6_pktinfo; 0 on a socket with one address. */
  control: 0 | 32 | 40;
}

/** A copy of a peer in words of 32 bits, as many as its shape has, for an answer that comes later. */
export type Peer = readonly number[];

/** Places for datagrams, each with its header, its peer and its payload. */
class Places {
  readonly headers: Buffer;
  readonly payload: Wordwise;
  readonly stride: number;
  readonly #words: Uint32Array;
  readonly #vectorsAt = batchSize * headerWords;
  readonly #peersAt = batchSize * (headerWords + vectorWords);

  constructor(calls: BatchCalls, stride: number) {
    this.stride = stride;
    const head = calls.allocate((this.#peersAt + batchSize * peerWords) * 4);
    const body = calls.allocate(batchSize * stride);
    head.octets.fill(0);
    this.headers = head.octets;
    this.payload = wordwise(body.octets);
    const { buffer, byteOffset, length } = head.octets;
    this.#words = new Uint32Array(buffer, byteOffset, length / 4);
    const longs = new BigUint64Array(buffer, byteOffset, length / 8);
    const addressOf = (word: number) => head.address + BigInt(word * 4);
    for (let place = 0; place < batchSize; place += 1) {
      const header = (place * headerWords) / 2;
      const vector = this.#vectorsAt + place * vectorWords;
      longs[header + longOf.name] = addressOf(this.#peerAt(place));
      longs[header + longOf.vectors] = addressOf(vector);
      longs[header + longOf.vectorCount] = 1n;
      longs[header + longOf.control] = addressOf(this.#peerAt(place) + nameWords);
      longs[vector / 2] = body.address + BigInt(place * stride);
      longs[vector / 2 + 1] = BigInt(stride);
    }
  }

  #peerAt(place: number): number {
    return this.#peersAt + place * peerWords;
  }

  setShape(place: number, { name, control }: PeerShape): void {
    const header = place * headerWords;
    this.#words[header + nameLengthWord] = name;
    this.#words[header + controlLengthWord] = control;
  }

  length(place: number): number {
    return this.#words[place * headerWords + lengthWord] as number;
  }

  setLength(place: number, length: number): void {
    this.#words[this.#vectorsAt + place * vectorWords + 2] = length;
  }

  /** In network byte order, at the same place in both families. */
  port(place: number): number {
    const octets = (this.#words[this.#peerAt(place)] as number) >>> 16;
    return ((octets & 0xff) << 8) | (octets >> 8);
  }

  /** The control message names the interface too, which would bind the answer to it: which way that takes is the routes' to say. */
  forgetInterface(place: number, { control }: PeerShape): void {
    const data = this.#peerAt(place) + nameWords + 4;
    if (control === 32) this.#words[data] = 0;
    // fe80::/10, in the order of this machine's octets: on each link there may be the same address (RFC 4007 §6).
    else if (((this.#words[data] as number) & 0xc0ff) !== 0x80fe) this.#words[data + 4] = 0;
  }

  peer(place: number, { name, control }: PeerShape): Peer {
    const at = this.#peerAt(place);
    // All that there is of the usual one, family, port and address, in one piece.
    if (name === 16 && control === 0) return [this.#words[at] as number, this.#words[at + 1] as number, 0, 0];
    const words: number[] = [];
    for (let word = 0; word < name / 4; word += 1) words.push(this.#words[at + word] as number);
    for (let word = 0; word < control / 4; word += 1) words.push(this.#words[at + nameWords + word] as number);
    return words;
  }

  setPeer(place: number, peer: Peer, { name, control }: PeerShape): void {
    const at = this.#peerAt(place);
    for (let word = 0; word < name / 4; word += 1) this.#words[at + word] = peer[word] as number;
    for (let word = 0; word < control / 4; word += 1) {
      this.#words[at + nameWords + word] = peer[name / 4 + word] as number;
    }
  }

  copyPeer(place: number, from: Places, fromPlace: number, { name, control }: PeerShape): void {
    const to = this.#peerAt(place);
    const source = from.#peerAt(fromPlace);
    for (let word = 0; word < name / 4; word += 1) this.#words[to + word] = from.#words[source + word] as number;
    for (let word = nameWords; word < nameWords + control / 4; word += 1) {
      this.#words[to + word] = from.#words[source + word] as number;
    }
  }
}

export class Datagrams {
  /** Of all that is received: a packet stands in it from its `byteOffset` on. */
  readonly memory: Int32Array;
  readonly #calls: BatchCalls;
  readonly #received: Places;
  readonly #sent: Places;
  #receivedShape: PeerShape | undefined;
  /** By place and length: to make one for each packet is a tenth of our own part of an answer from the cache. */
  readonly #views: (Buffer | undefined)[] = new Array(batchSize * usualLength).fill(undefined);
  /** What answers are written in, one of each listener: to ask a buffer for its memory leaves JavaScript. */
  readonly #messages: Wordwise[] = [];
  /** What waits to be sent, all from one socket. */
  #count = 0;
  #from: Sender | undefined;

  constructor(calls: BatchCalls) {
    this.#calls = calls;
    this.#received = new Places(calls, maxMessageLength + 1 + shift);
    this.#sent = new Places(calls, maxSentLength + shift);
    const { buffer } = this.#received.payload.octets;
    this.memory = new Int32Array(buffer, 0, buffer.byteLength >> 2);
  }

  /** How many came, at most {@link batchSize}: at the places from 0 on, until the next call. */
  receive(fd: number, shape: PeerShape): number {
    const places = this.#received;
    // The kernel writes over the lengths what it has used of them.
    if (shape !== this.#receivedShape || shape.control > 0) {
      for (let place = 0; place < batchSize; place += 1) places.setShape(place, shape);
      this.#receivedShape = shape;
    }
    const count = Math.max(0, this.#calls.receive(fd, places.headers, batchSize));
    if (shape.control > 0) for (let place = 0; place < count; place += 1) places.forgetInterface(place, shape);
    return count;
  }

  packet(place: number): Buffer {
    const length = this.#received.length(place);
    if (length >= usualLength) return this.#view(place, length);
    const which = place * usualLength + length;
    this.#views[which] ??= this.#view(place, length);
    return this.#views[which] as Buffer;
  }

  #view(place: number, length: number): Buffer {
    const { payload, stride } = this.#received;
    return payload.octets.subarray(place * stride, place * stride + length);
  }

  port(place: number): number {
    return this.#received.port(place);
  }

  peer(place: number, shape: PeerShape): Peer {
    return this.#received.peer(place, shape);
  }

  /**
   * Sends a copy of `message[0, length)` with the next batch: when that is full, at {@link flush}, or before another socket's.
   * @param to a place of what was received last, or a copy of its peer
   */
  send(from: Sender, to: number | Peer, message: Buffer, length: number): void {
    if (length > maxSentLength) {
      from.unsent();
      return;
    }
    if (this.#count === batchSize || this.#from !== from) this.flush();
    this.#from = from;
    const places = this.#sent;
    const place = this.#count;
    places.setShape(place, from.shape);
    if (typeof to === 'number') places.copyPeer(place, this.#received, to, from.shape);
    else places.setPeer(place, to, from.shape);
    const words = this.#wordsOf(message);
    if (words === undefined) copyOctets(message, 0, length, places.payload.octets, place * places.stride);
    else copyWords(words, 0, length, places.payload, place * places.stride);
    places.setLength(place, length);
    this.#count += 1;
  }

  #wordsOf(message: Buffer): Wordwise | undefined {
    for (const known of this.#messages) if (known.octets === message) return known;
    if (message.byteOffset % Int32Array.BYTES_PER_ELEMENT !== 0) return undefined;
    const found = wordwise(message);
    if (this.#messages.push(found) > messagesKnown) this.#messages.shift();
    return found;
  }

  flush(): void {
    const [from, count] = [this.#from, this.#count];
    this.#count = 0;
    if (from === undefined) return;
    for (let at = 0; at < count; ) {
      const { headers } = this.#sent;
      const sent = this.#calls.send(from.fd, at === 0 ? headers : headers.subarray(at * headerWords * 4), count - at);
      if (sent > 0) at += sent;
      else {
        // The kernel has no room for the first of them, or a rule forbids it: that one is lost, as on the wire.
        from.unsent();
        at += 1;
      }
    }
  }
}

/** A socket that answers. */
export interface Sender {
  readonly fd: number;
  readonly shape: PeerShape;
  /** An answer of its was not taken by the kernel. */
  unsent(): void;
}
