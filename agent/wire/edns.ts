/** EDNS(0): the OPT record (RFC 6891 §6.1.2) and the options that the agent reads and writes; it is hop by hop. */
import { setU16 } from './octets.ts';

export const typeOpt = 41;
export const dnssecOkBit = 0x8000;

/** RFC 6891 §6.2.3: smaller sizes mean this one. */
export const minUdpSize = 512;
/** RFC 9715 §3.1: advertised and used at most, so that nothing is fragmented. */
export const maxUdpSize = 1232;

export const optionCode = {
  /** RFC 5001 §2.3. */
  nsid: 3,
  /** RFC 7873 §4; looked at and not answered: cookies are hop by hop, and a server need not have any. */
  cookie: 10,
  /** RFC 7828 §3.1. */
  tcpKeepalive: 11,
  /** Extended DNS Errors, RFC 8914 §2. */
  extendedError: 15,
  /** Local use (RFC 6891 §9): a query with it is told where its answer came from, one octet of {@link origin}. */
  origin: 65001,
} as const;

/** RFC 8914 §4. */
export const extendedError = {
  other: 0,
  staleAnswer: 3,
  cachedError: 13,
  notReady: 14,
  blocked: 15,
  staleNxDomain: 19,
  noReachableAuthority: 22,
  networkError: 23,
} as const;

/** Where an answer came from. */
export const origin = { forwarded: 0, cache: 1, stale: 2, local: 3 } as const;
export type Origin = (typeof origin)[keyof typeof origin];

/** Of an OPT record without options. */
export const optLength = 11;

/**
 * An error is told whatever it is about: header 12, longest question 259, OPT record 11, extended error 6, origin 5, and this
 * text stay below the 512 octets that every client takes.
 */
const maxExtraTextLength = 200;
/** RFC 7828 §3.1: a timeout is counted in these. */
export const keepaliveUnitMs = 100;
const maxKeepaliveUnits = 0xffff;

/** What a client wants to be told in the OPT record. */
export interface EdnsAsked {
  readonly dnssecOk: boolean;
  readonly asksOrigin: boolean;
  /** Who answers (RFC 5001); without an octet where the client did not ask. */
  readonly nsid: Buffer;
  /** How long its connection stays open without a query (RFC 7828); -1 where it did not ask, or has none. */
  readonly keepaliveMs: number;
}

/** What one answer says in its OPT record. */
export interface EdnsAnswer {
  /** Upper eight bits of a 12-bit response code. */
  extendedRcode: number;
  /** RFC 8914 info code, or -1 for none. */
  extendedError: number;
  /** For people, in the extended error; cut to 200 octets. */
  extraText: string;
  /** -1 where it came from nowhere: the packet was no query to be served. */
  origin: number;
}

/**
 * Writes the OPT record at `at`, for which there is room; returns where it ends. Options beside the point give way: what would end
 * behind `limit` is left out, for a truncated answer would cost the client another query (RFC 8914 §3).
 */
export function writeEdns(message: Buffer, at: number, asked: EdnsAsked, said: EdnsAnswer, limit: number): number {
  message[at] = 0;
  setU16(message, at + 1, typeOpt);
  setU16(message, at + 3, maxUdpSize);
  message[at + 5] = said.extendedRcode;
  message[at + 6] = 0;
  setU16(message, at + 7, asked.dnssecOk ? dnssecOkBit : 0);
  let end = at + optLength;
  if (said.extendedError >= 0 && end + 6 <= limit) {
    const room = Math.min(maxExtraTextLength, limit - end - 6);
    const textLength = message.write(said.extraText, end + 6, room, 'utf8');
    setU16(message, end + 4, said.extendedError);
    end = endOption(message, end, optionCode.extendedError, 2 + textLength);
  }
  if (asked.asksOrigin && said.origin >= 0 && end + 5 <= limit) {
    message[end + 4] = said.origin;
    end = endOption(message, end, optionCode.origin, 1);
  }
  if (asked.keepaliveMs >= 0 && end + 6 <= limit) {
    setU16(message, end + 4, Math.min(Math.floor(asked.keepaliveMs / keepaliveUnitMs), maxKeepaliveUnits));
    end = endOption(message, end, optionCode.tcpKeepalive, 2);
  }
  const { nsid } = asked;
  if (nsid.length > 0 && end + 4 + nsid.length <= limit) {
    nsid.copy(message, end + 4);
    end = endOption(message, end, optionCode.nsid, nsid.length);
  }
  setU16(message, at + 9, end - at - optLength);
  return end;
}

/** The option's head goes before its data, which have been written; returns where they end. */
function endOption(message: Buffer, at: number, code: number, length: number): number {
  setU16(message, at, code);
  setU16(message, at + 2, length);
  return at + 4 + length;
}
