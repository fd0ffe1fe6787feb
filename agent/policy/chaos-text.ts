/** Answers of the class CHAOS: one text, in one record that nobody may keep. */
import { finishAnswer, writeEmptyAnswer } from '../wire/answer.ts';
import { origin } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { setU16, setU32 } from '../wire/octets.ts';
import { classChaos, type PendingQuery } from '../wire/query.ts';

export const typeTxt = 16;
const pointerToQuestion = 0xc000 | header.headerLength;

/**
 * Writes the answer that holds `text` into `out`, cut down to TC=1 where it is longer than `limit`; returns its length.
 * @param text at most 255 octets (RFC 1035 §3.3)
 */
export function writeChaosText(out: Buffer, query: PendingQuery, limit: number, text: Buffer): number {
  return finishAnswer(out, writeText(out, query, text), query, limit, {
    dnssecOk: query.dnssecOk,
    extendedRcode: 0,
    extendedError: -1,
    extraText: '',
    origin: query.asksOrigin ? origin.local : -1,
  });
}

function writeText(out: Buffer, query: PendingQuery, text: Buffer): number {
  const { question } = query;
  writeEmptyAnswer(out, query, header.rcode.noError);
  setU16(out, 6, 1);
  setU16(out, 10, 0);
  const at = header.headerLength + question.length;
  setU16(out, at, pointerToQuestion);
  setU16(out, at + 2, typeTxt);
  setU16(out, at + 4, classChaos);
  setU32(out, at + 6, 0);
  setU16(out, at + 10, text.length + 1);
  out[at + 12] = text.length;
  text.copy(out, at + 13);
  return at + 13 + text.length;
}
