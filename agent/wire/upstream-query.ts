/** Queries to upstream servers: one question, and an OPT record without options (RFC 6891 §6.1.2) where the server knows EDNS. */
import { dnssecOkBit, maxUdpSize, optLength, typeOpt } from './edns.ts';
import * as header from './header.ts';
import { copyOctets, setU16 } from './octets.ts';
import type { PendingQuery } from './query.ts';

/**
 * RD and AD set (RFC 6840 §5.7), CD and DO as the client has them, the client's spelling kept, and an OPT record of our own. The
 * id is left 0: the transport draws it.
 */
export function writeUpstreamQuery({
  flags: asked,
  question,
  dnssecOk,
}: Pick<PendingQuery, 'flags' | 'question' | 'dnssecOk'>): Buffer {
  const at = header.headerLength + question.length;
  const message = Buffer.allocUnsafe(at + optLength);
  const flags = header.flag.recursionDesired | header.flag.authenticData | (asked & header.flag.checkingDisabled);
  header.writeHeader(message, 0, flags, { question: 1, answer: 0, authority: 0, additional: 1 });
  copyOctets(question, 0, question.length, message, header.headerLength);
  message[at] = 0;
  setU16(message, at + 1, typeOpt);
  setU16(message, at + 3, maxUdpSize);
  setU16(message, at + 5, 0);
  setU16(message, at + 7, dnssecOk ? dnssecOkBit : 0);
  setU16(message, at + 9, 0);
  return message;
}

/** The same question for a server that knows no EDNS. */
export function withoutOpt(query: Buffer): Buffer {
  const message = Buffer.from(query.subarray(0, questionEnd(query)));
  setU16(message, 10, 0);
  return message;
}

export function hasOpt(query: Buffer): boolean {
  return header.additionalCount(query) > 0;
}

export function questionEnd(query: Buffer): number {
  return hasOpt(query) ? query.length - optLength : query.length;
}
