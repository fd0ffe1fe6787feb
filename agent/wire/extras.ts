/** Records that an answer can do without: they spare the client another question, and no more. */
import * as header from './header.ts';
import { skipName } from './name.ts';
import { setU16, u16 } from './octets.ts';

const typeNs = 2;
const fixedLength = 10;

/**
 * Leaves out of the whole message in `out[0, end)` what is only extra, so that it is no longer than `limit`: the additional section,
 * and servers' names beside an answer (RFC 2181 §9: no reason for TC). Returns where it ends then, or 0 where that is too little.
 */
export function leaveOutExtras(out: Buffer, questionEnd: number, limit: number): number {
  const answers = header.answerCount(out);
  const records = answers + header.authorityCount(out);
  let at = questionEnd;
  let answersEnd = at;
  let areServers = answers > 0;
  for (let record = 0; record < records; record += 1) {
    const nameEnd = skipName(out, at);
    if (nameEnd < 0) return 0;
    at = nameEnd + fixedLength + u16(out, nameEnd + fixedLength - 2);
    if (record < answers) answersEnd = at;
    else if (u16(out, nameEnd) !== typeNs) areServers = false;
  }
  const end = at <= limit || !areServers ? at : answersEnd;
  if (end > limit) return 0;
  if (end < at) setU16(out, 8, 0);
  setU16(out, 10, 0);
  return end;
}
