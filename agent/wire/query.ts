/**
 * The first gate. A listener owns one Query and points it at each packet; it is valid until the next parse, so whatever waits
 * works on a copy ({@link Query.detach}). Parsing never throws: the verdict says what a packet deserves.
 */
import { dnssecOkBit, type EdnsAsked, minUdpSize, optionCode, typeOpt } from './edns.ts';
import * as header from './header.ts';
import { copyCanonicalName, maxNameLength, skipName } from './name.ts';
import { u8, u16 } from './octets.ts';
import { fixedLength, hashName, mixed, type Question } from './question.ts';
import { writeUpstreamQuery } from './upstream-query.ts';

/** What to do with a packet. */
export const Accept = {
  /** Serve it. */
  Yes: 0,
  /** Say nothing: not a query, or too short to trust its header. */
  Drop: 1,
  /** RFC 1035 §4.1.1: cannot be interpreted. */
  FormErr: 2,
  /** RFC 8906 §3.1.4: an opcode or a transfer that is not implemented. */
  NotImp: 3,
  /** RFC 6891 §6.1.3: an EDNS version above 0. */
  BadVers: 4,
} as const;
export type Accept = (typeof Accept)[keyof typeof Accept];

export const classIn = 1;
export const classChaos = 3;
const typeIxfr = 251;
const typeAxfr = 252;

/** More records than any query has: an OPT and a transaction signature (RFC 8945 §5.1) stand in the additional section. */
const maxAdditional = 2;

/** What of a query its upstream servers are told. */
export type Asked = Pick<PendingQuery, 'flags' | 'questionIn' | 'questionAt' | 'questionLength' | 'dnssecOk'>;

/** What is known of a query when it is answered. */
export interface PendingQuery extends EdnsAsked, Question {
  readonly id: number;
  readonly flags: number;
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly edns: boolean;
  /** Largest UDP answer that the client takes. */
  readonly udpSize: number;
}

/** A query as it waits for its answer. Its question stands in what is sent upstream, so that it is copied once. */
export interface DetachedQuery extends PendingQuery {
  /** Without an id. */
  readonly forUpstream: Buffer;
}

const nobody = Buffer.alloc(0);

export class Query implements PendingQuery {
  packet: Buffer = Buffer.alloc(0);
  id = 0;
  flags = 0;
  /** Canonical wire form. */
  name = '';
  type = 0;
  class = 0;
  /** 0: none could be read. */
  questionEnd = 0;
  questionFlags = 0;
  hash = 0;
  nameHash = 0;
  edns = false;
  udpSize: number = minUdpSize;
  dnssecOk = false;
  asksOrigin = false;
  /** Whoever parses packets here is known to clients by this. */
  identity: Buffer = nobody;
  /** How long the connection of the packet stays open without a query; -1 for one without. */
  idleMs = -1;
  #asksIdentity = false;
  #asksKeepalive = false;

  readonly #scratch = Buffer.alloc(maxNameLength + 5);

  get questionIn(): Buffer {
    return this.packet;
  }

  get questionAt(): number {
    return header.headerLength;
  }

  get questionLength(): number {
    return this.questionEnd === 0 ? 0 : this.questionEnd - header.headerLength;
  }

  get nsid(): Buffer {
    return this.#asksIdentity ? this.identity : nobody;
  }

  get keepaliveMs(): number {
    return this.#asksKeepalive ? this.idleMs : -1;
  }

  parse(packet: Buffer): Accept {
    this.packet = packet;
    this.questionEnd = 0;
    this.edns = false;
    this.udpSize = minUdpSize;
    this.dnssecOk = false;
    this.asksOrigin = false;
    this.#asksIdentity = false;
    this.#asksKeepalive = false;
    if (packet.length < header.headerLength) return Accept.Drop;
    this.id = header.id(packet);
    this.flags = header.flags(packet);
    if ((this.flags & header.flag.response) !== 0) return Accept.Drop;
    if (header.opcode(packet) !== 0) return Accept.NotImp;
    if (header.questionCount(packet) !== 1) return Accept.FormErr; // RFC 9619 §3
    if (header.answerCount(packet) + header.authorityCount(packet) > 1) return Accept.FormErr;
    if (header.additionalCount(packet) > maxAdditional) return Accept.FormErr;
    const scratch = this.#scratch;
    const nameEnd = copyCanonicalName(packet, header.headerLength, scratch, 0);
    if (nameEnd < 0 || header.headerLength + nameEnd + 4 > packet.length) return Accept.FormErr;
    this.questionEnd = header.headerLength + nameEnd + 4;
    this.type = u16(packet, this.questionEnd - 4);
    this.class = u16(packet, this.questionEnd - 2);
    const verdict = this.#records(packet);
    if (verdict !== Accept.Yes) return verdict;
    for (let at = 0; at < fixedLength; at += 1) scratch[nameEnd + at] = u8(packet, this.questionEnd - fixedLength + at);
    this.questionFlags = (this.dnssecOk ? 2 : 0) | ((this.flags & header.flag.checkingDisabled) !== 0 ? 1 : 0);
    this.nameHash = mixed(hashName(scratch, 0, nameEnd), (this.class << 2) | this.questionFlags);
    this.hash = mixed(this.nameHash, this.type);
    this.name = scratch.toString('latin1', 0, nameEnd);
    if (this.type === typeAxfr || this.type === typeIxfr) return Accept.NotImp;
    return Accept.Yes;
  }

  #records(packet: Buffer): Accept {
    const firstAdditional = header.answerCount(packet) + header.authorityCount(packet);
    const count = firstAdditional + header.additionalCount(packet);
    let at = this.questionEnd;
    for (let record = 0; record < count; record += 1) {
      const nameEnd = skipName(packet, at);
      if (nameEnd < 0 || nameEnd + 10 > packet.length) return Accept.FormErr;
      const end = nameEnd + 10 + u16(packet, nameEnd + 8);
      if (end > packet.length) return Accept.FormErr;
      if (u16(packet, nameEnd) === typeOpt) {
        // RFC 6891 §6.1.1: one OPT, named root, in the additional section.
        if (this.edns || nameEnd !== at + 1 || record < firstAdditional) return Accept.FormErr;
        this.edns = true;
        this.udpSize = Math.max(minUdpSize, u16(packet, nameEnd + 2));
        this.dnssecOk = (u16(packet, nameEnd + 6) & dnssecOkBit) !== 0;
        if (u8(packet, nameEnd + 5) > 0) return Accept.BadVers;
        if (!this.#options(packet, nameEnd + 10, end)) return Accept.FormErr;
      }
      at = end;
    }
    return Accept.Yes;
  }

  #options(packet: Buffer, from: number, to: number): boolean {
    for (let at = from; at < to; ) {
      if (at + 4 > to) return false;
      const end = at + 4 + u16(packet, at + 2);
      if (end > to) return false;
      const length = end - at - 4;
      switch (u16(packet, at)) {
        case optionCode.origin:
          this.asksOrigin = true;
          break;
        case optionCode.nsid:
          this.#asksIdentity = true;
          break;
        case optionCode.tcpKeepalive:
          // RFC 7828 §3.2: a client names no timeout; what does is not this option.
          this.#asksKeepalive = length === 0;
          break;
        case optionCode.cookie:
          if (!isCookieLength(length)) return false;
          break;
      }
      at = end;
    }
    return true;
  }

  /** A copy that outlives the packet. */
  detach(): DetachedQuery {
    const forUpstream = writeUpstreamQuery(this);
    return {
      id: this.id,
      flags: this.flags,
      questionIn: forUpstream,
      questionAt: header.headerLength,
      questionLength: this.questionLength,
      questionFlags: this.questionFlags,
      hash: this.hash,
      nameHash: this.nameHash,
      name: this.name,
      type: this.type,
      class: this.class,
      edns: this.edns,
      udpSize: this.udpSize,
      dnssecOk: this.dnssecOk,
      asksOrigin: this.asksOrigin,
      nsid: this.nsid,
      keepaliveMs: this.keepaliveMs,
      forUpstream,
    };
  }
}

/** RFC 7873 §4: a client's cookie of 8 octets, alone or with a server's of 8 to 32; §5.2.2: any other length is malformed. */
function isCookieLength(length: number): boolean {
  return length === 8 || (length >= 16 && length <= 40);
}
