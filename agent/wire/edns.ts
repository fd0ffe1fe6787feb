/** EDNS(0): the OPT record (RFC 6891 §6.1.2) and the options that the agent reads and writes; it is hop by hop. */
import { setU16 } from './octets.ts';

export const typeOpt = 41;
export const dnssecOkBit = 0x8000;

/** RFC 6891 §6.2.3: smaller sizes mean this one. */
export const minUdpSize = 512;
/** RFC 9715 §3.1: advertised and used at most, so that nothing is fragmented. */
export const maxUdpSize = 1232;

export const optionCode = {
  /** RFC 7873 §4; looked at and not answered: cookies are hop by hop, and a server need not have any. */
  cookie: 10,
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

const recordLength = 11;

/**
 * An error is told whatever it is about: header 12, longest question 259, OPT record 11, extended error 6, origin 5, and this
 * text stay below the 512 octets that every client takes.
 */
const maxExtraTextLength = 200;

/** What one answer carries in its OPT record. */
export interface EdnsAnswer {
  dnssecOk: boolean;
  /** Upper eight bits of a 12-bit response code. */
  extendedRcode: number;
  /** RFC 8914 info code, or -1 for none. */
  extendedError: number;
  /** For people, in the extended error; cut to 200 octets. */
  extraText: string;
  /** -1 where the client did not ask. */
  origin: number;
}

export function ednsLength(edns: EdnsAnswer): number {
  const textLength = Math.min(Buffer.byteLength(edns.extraText), maxExtraTextLength);
  return recordLength + (edns.extendedError < 0 ? 0 : 6 + textLength) + (edns.origin < 0 ? 0 : 5);
}

/** Writes the OPT record at `at`; returns where it ends. */
export function writeEdns(message: Buffer, at: number, edns: EdnsAnswer): number {
  message[at] = 0;
  setU16(message, at + 1, typeOpt);
  setU16(message, at + 3, maxUdpSize);
  message[at + 5] = edns.extendedRcode;
  message[at + 6] = 0;
  setU16(message, at + 7, edns.dnssecOk ? dnssecOkBit : 0);
  let end = at + recordLength;
  if (edns.extendedError >= 0) {
    setU16(message, end, optionCode.extendedError);
    const textLength = message.write(edns.extraText, end + 6, maxExtraTextLength, 'utf8');
    setU16(message, end + 2, 2 + textLength);
    setU16(message, end + 4, edns.extendedError);
    end += 6 + textLength;
  }
  if (edns.origin >= 0) {
    setU16(message, end, optionCode.origin);
    setU16(message, end + 2, 1);
    message[end + 4] = edns.origin;
    end += 5;
  }
  setU16(message, at + 9, end - at - recordLength);
  return end;
}
