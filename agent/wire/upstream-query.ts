/** Queries to upstream servers: one question, and an OPT record without options (RFC 6891 §6.1.2) where the server knows EDNS. */
import { dnssecOkBit, maxUdpSize, optLength, typeOpt } from './edns.ts';
import * as header from './header.ts';
import { copyOctets, setU16 } from './octets.ts';
import type { Asked } from './query.ts';

/**
 * RD and AD set (RFC 6840 §5.7), CD and DO as the client has them, the client's spelling kept, and an OPT record of our own. The
 * id is left 0: the transport draws it.
 */
export function writeUpstreamQuery(query: Asked): Buffer {
  const { flags: asked, questionIn, questionAt, questionLength, dnssecOk } = query;
  const at = header.headerLength + questionLength;
  const message = Buffer.allocUnsafe(at + optLength);
  const flags = header.flag.recursionDesired | header.flag.authenticData | (asked & header.flag.checkingDisabled);
  header.writeHeader(message, 0, flags, { question: 1, answer: 0, authority: 0, additional: 1 });
  copyOctets(questionIn, questionAt, questionAt + questionLength, message, header.headerLength);
  message[at] = 0;
  setU16(message, at + 1, typeOpt);
  setU16(message, at + 3, maxUdpSize);
  setU16(message, at + 5, 0);
  setU16(message, at + 7, dnssecOk ? dnssecOkBit : 0);
  setU16(message, at + 9, 0);
  return message;
}

/** A question of our own. @param question name, type and class */
export function writeOwnQuery(question: Buffer): Buffer {
  return writeUpstreamQuery({
    flags: 0,
    questionIn: question,
    questionAt: 0,
    questionLength: question.length,
    dnssecOk: false,
  });
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
