/** The EDNS option edns-tcp-keepalive (RFC 7828): how long the other end keeps a TCP connection that is not used. */
import { keepaliveUnitMs, optionCode, optLength } from './edns.ts';
import * as header from './header.ts';
import { setU16, u16 } from './octets.ts';
import { walkRecords } from './records.ts';

/** RFC 7828 §3.1: a client's option is empty. */
const emptyOptionLength = 4;

/** A copy of a query of ours that ends with an OPT record without options, with the option in it. */
export function withKeepalive(query: Buffer): Buffer {
  const message = Buffer.allocUnsafe(query.length + emptyOptionLength);
  query.copy(message);
  setU16(message, query.length - 2, emptyOptionLength);
  setU16(message, query.length, optionCode.tcpKeepalive);
  setU16(message, query.length + 2, 0);
  return message;
}

/**
 * What a reply says; -1 where it says nothing. An option without a timeout says nothing either: CoreDNS sends the client's own
 * one back.
 */
export function keepaliveTimeoutMs(reply: Buffer, questionLength: number): number {
  if (header.questionCount(reply) !== 1) return -1;
  const walk = walkRecords(reply, header.headerLength + questionLength, 0);
  if (walk?.edns !== true) return -1;
  // The walk ends where the OPT record begins, and has seen that all of it is there.
  let at = walk.end + optLength;
  const end = at + u16(reply, at - 2);
  while (at + 4 <= end) {
    const length = u16(reply, at + 2);
    if (u16(reply, at) === optionCode.tcpKeepalive)
      return length === 2 && at + 6 <= end ? u16(reply, at + 4) * keepaliveUnitMs : -1;
    at += 4 + length;
  }
  return -1;
}
