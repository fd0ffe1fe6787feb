/** Writing answers made here. Those out of the cache are written by its entries. */
import { type EdnsAnswer, maxUdpSize, minUdpSize, optLength, writeEdns } from './edns.ts';
import { leaveOutExtras } from './extras.ts';
import * as header from './header.ts';
import { copyOctets, setU16 } from './octets.ts';
import { Accept, type PendingQuery } from './query.ts';

/** RFC 1035 §4.2.2: what a TCP length can say. */
export const maxMessageLength = 65535;

/** What an answer says of the name that was asked for: behind an alias an NXDOMAIN is about another one. Other codes say nothing. */
export function saysItExists(code: number, answers: number): boolean {
  return code === header.rcode.noError || (code === header.rcode.nxDomain && answers > 0);
}

/** Longest answer that this client may get over this transport. */
export function sizeLimit(query: PendingQuery, overTcp: boolean): number {
  if (overTcp) return maxMessageLength;
  return query.edns ? Math.min(query.udpSize, maxUdpSize) : minUdpSize;
}

const nothingSaid: EdnsAnswer = { extendedRcode: 0, extendedError: -1, extraText: '', origin: -1 };

/** Flags that every answer shares: RA=1, AA=0 (a forwarder is no authority); RD, CD and opcode are the client's. */
export function answerFlags(query: PendingQuery, code: number): number {
  const echoed = query.flags & (0x7800 | header.flag.recursionDesired | header.flag.checkingDisabled);
  return header.flag.response | header.flag.recursionAvailable | echoed | (code & 0xf);
}

/**
 * An answer without records: an error, or a sign to ask again over TCP. Written into `out`; returns its length.
 * @param info RFC 8914 info code, or -1; sent only to clients that sent OPT (RFC 6891 §6.1.1)
 */
export function writeEmptyAnswer(
  out: Buffer,
  query: PendingQuery,
  code: number,
  info = -1,
  extraText = '',
  from = -1,
  extraFlags = 0,
): number {
  const { questionIn, questionAt, questionLength } = query;
  const counts = { question: questionLength > 0 ? 1 : 0, answer: 0, authority: 0, additional: query.edns ? 1 : 0 };
  header.writeHeader(out, query.id, answerFlags(query, code) | extraFlags, counts);
  copyOctets(questionIn, questionAt, questionAt + questionLength, out, header.headerLength);
  const end = header.headerLength + questionLength;
  if (!query.edns) return end;
  const said = { extendedRcode: code >> 4, extendedError: info, extraText, origin: from };
  // Over TCP there is more room, and nothing that needs it.
  return writeEdns(out, end, query, said, sizeLimit(query, false));
}

/** The answer to a packet that is not served, or 0 for silence. */
export function writeRefusal(out: Buffer, query: PendingQuery, verdict: Accept): number {
  switch (verdict) {
    case Accept.FormErr:
      return writeEmptyAnswer(out, query, header.rcode.formErr);
    case Accept.NotImp:
      return writeEmptyAnswer(out, query, header.rcode.notImp);
    case Accept.BadVers:
      return writeEmptyAnswer(out, query, header.rcode.badVers);
    default:
      return 0;
  }
}

/**
 * Adds an OPT record to the answer in `out[0, wholeEnd)` if the client sent one. Where it is longer than `limit`, extras are left
 * out; if that does not help, it is cut down to its question with TC=1 (RFC 2181 §9: nothing partial). Returns the final length.
 */
export function finishAnswer(
  out: Buffer,
  wholeEnd: number,
  query: PendingQuery,
  limit: number,
  said: EdnsAnswer = nothingSaid,
): number {
  const room = query.edns ? limit - optLength : limit;
  // A server without EDNS has filled all that there is: its answer is worth more than our OPT record.
  if (wholeEnd > room && limit === maxMessageLength) return wholeEnd;
  const end = wholeEnd <= room ? wholeEnd : leaveOutExtras(out, header.headerLength + query.questionLength, room);
  if (end === 0) {
    const { extendedError, extraText, origin } = said;
    return writeEmptyAnswer(
      out,
      query,
      header.responseCode(out),
      extendedError,
      extraText,
      origin,
      header.flag.truncated,
    );
  }
  if (!query.edns) return end;
  setU16(out, 10, header.additionalCount(out) + 1);
  return writeEdns(out, end, query, said, limit);
}
