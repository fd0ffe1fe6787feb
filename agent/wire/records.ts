/**
 * The records of an upstream's message, walked once: everything the cache and the answer need to know is collected in one
 * {@link RecordWalk}. The message comes from the network: every length is checked, nothing is followed.
 */
import { typeOpt } from './edns.ts';
import * as header from './header.ts';
import { skipName } from './name.ts';
import { u8, u16, u32 } from './octets.ts';
import { areSameOctets } from './question.ts';

export const typeSoa = 6;
export const typeAny = 255;

/** RFC 1035 §3.3.13: MINIMUM is the last of five 32-bit fields behind two names. */
const soaFixedLength = 20;

export interface RecordWalk {
  /** Where the TTL fields stand, of every record but OPT. */
  ttlOffsets: number[];
  /** The smallest TTL; Infinity where there is no record. */
  minTtl: number;
  answers: number;
  /** Records of the asked type in the answer section; all of them where the type is ANY. */
  answersOfType: number;
  authorities: number;
  additionals: number;
  /** Where the message ends once the OPT record and what follows it are cut off. */
  end: number;
  /** Where the SOA record of the authority section begins, or -1; the offset of its TTL, or -1; and its MINIMUM. */
  soaOffset: number;
  soaTtlOffset: number;
  soaMinimum: number;
  /** Upper bits of the response code, from OPT. */
  extendedRcode: number;
  edns: boolean;
}

/** RFC 2181 §8: a TTL with the top bit set means 0. */
export function ttlAt(message: Buffer, at: number): number {
  const ttl = u32(message, at);
  return ttl > 0x7fffffff ? 0 : ttl;
}

/**
 * Undefined where the message is malformed. What stands behind an OPT record is cut off with it: additional data is
 * optional, and signatures there are hop by hop.
 */
export function walkRecords(message: Buffer, questionEnd: number, type: number): RecordWalk | undefined {
  const answers = header.answerCount(message);
  const authorities = header.authorityCount(message);
  const total = answers + authorities + header.additionalCount(message);
  const walk: RecordWalk = {
    ttlOffsets: [],
    minTtl: Number.POSITIVE_INFINITY,
    answers,
    answersOfType: 0,
    authorities,
    additionals: 0,
    end: questionEnd,
    soaOffset: -1,
    soaTtlOffset: -1,
    soaMinimum: 0,
    extendedRcode: 0,
    edns: false,
  };
  let at = questionEnd;
  for (let record = 0; record < total; record += 1) {
    const nameEnd = skipName(message, at);
    if (nameEnd < 0 || nameEnd + 10 > message.length) return undefined;
    const dataEnd = nameEnd + 10 + u16(message, nameEnd + 8);
    if (dataEnd > message.length) return undefined;
    const recordType = u16(message, nameEnd);
    const additional = record >= answers + authorities;
    if (recordType === typeOpt) {
      if (!additional || walk.edns) return undefined; // RFC 6891 §6.1.1
      walk.edns = true;
      walk.extendedRcode = u8(message, nameEnd + 4);
    } else if (!walk.edns) {
      const ttlOffset = nameEnd + 4;
      walk.ttlOffsets.push(ttlOffset);
      walk.minTtl = Math.min(walk.minTtl, ttlAt(message, ttlOffset));
      if (additional) walk.additionals += 1;
      if (record < answers && (recordType === type || type === typeAny)) walk.answersOfType += 1;
      if (recordType === typeSoa && record >= answers && !additional && dataEnd - nameEnd - 10 >= soaFixedLength) {
        walk.soaOffset = at;
        walk.soaTtlOffset = ttlOffset;
        walk.soaMinimum = ttlAt(message, dataEnd - 4);
      }
      walk.end = dataEnd;
    }
    at = dataEnd;
  }
  return walk;
}

/**
 * True if `message` holds exactly the question in `of[from, to)`: same name without regard to case, same type and class
 * (RFC 5452 §3).
 */
export function hasQuestion(message: Buffer, of: Buffer, from = 0, to = of.length): boolean {
  const end = header.headerLength + to - from;
  if (message.length < end || header.questionCount(message) !== 1) return false;
  return areSameOctets(message, header.headerLength, of, from, to - from);
}
