/** Answers that are made here, of records that all belong to the name that was asked. */
import { finishAnswer, writeEmptyAnswer } from './answer.ts';
import { optLength, origin } from './edns.ts';
import * as header from './header.ts';
import { setU16, setU32 } from './octets.ts';
import type { PendingQuery } from './query.ts';

const pointerToQuestion = 0xc000 | header.headerLength;
/** Name, type, class, TTL and length of a record. */
const fixedLength = 12;

export interface LocalRecord {
  type: number;
  ttlSeconds: number;
  data: Buffer;
}

export interface LocalAnswer {
  rcode?: number;
  records?: readonly LocalRecord[];
  /** In the authority section; it belongs to the last `ownerLength` octets of the name that was asked. */
  authority?: LocalRecord & { ownerLength: number };
  /** RFC 8914 info code, and a text for people. */
  extendedError?: number;
  extraText?: string;
}

/** Writes the answer into `out`, cut down to TC=1 where it is longer than `limit`; returns its length. */
export function writeLocalAnswer(out: Buffer, query: PendingQuery, limit: number, answer: LocalAnswer): number {
  const { rcode = header.rcode.noError, records = [], authority, extendedError = -1, extraText = '' } = answer;
  const truncated = () => {
    return writeEmptyAnswer(out, query, rcode, extendedError, extraText, origin.local, header.flag.truncated);
  };
  writeEmptyAnswer(out, query, rcode);
  const room = query.edns ? limit - optLength : limit;
  let at = header.headerLength + query.questionLength;
  const write = (owner: number, { type, ttlSeconds, data }: LocalRecord) => {
    setU16(out, at, owner);
    setU16(out, at + 2, type);
    setU16(out, at + 4, query.class);
    setU32(out, at + 6, ttlSeconds);
    setU16(out, at + 10, data.length);
    at += fixedLength + data.copy(out, at + fixedLength);
  };
  for (const record of records) {
    // A profile may say more of one name than any message holds (RFC 1035 §4.2.2), and than there is room for here.
    if (at + fixedLength + record.data.length > room) return truncated();
    write(pointerToQuestion, record);
  }
  setU16(out, 6, records.length);
  if (authority !== undefined) {
    write(pointerToQuestion + query.name.length - authority.ownerLength, authority);
    setU16(out, 8, 1);
  }
  // The OPT record that stands there is written anew behind the records.
  setU16(out, 10, 0);
  return finishAnswer(out, at, query, limit, {
    extendedRcode: 0,
    extendedError,
    extraText,
    origin: origin.local,
  });
}
