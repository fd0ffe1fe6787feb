/** The record that a negative answer brings along (RFC 2308 §3), taken out of the message that it came in. */
import type { LocalRecord } from './local-answer.ts';
import { nameAt, skipName } from './name.ts';
import { type RecordWalk, ttlAt, typeSoa } from './records.ts';

/** RFC 1035 §3.3.13: behind two names stand five 32-bit fields. */
const soaFixedLength = 20;

/** With its names written out; undefined where there is none, or it is malformed. */
export function soaOf(message: Buffer, { soaTtlOffset }: RecordWalk): LocalRecord | undefined {
  if (soaTtlOffset < 0) return undefined;
  const data = soaTtlOffset + 6;
  const responsible = skipName(message, data);
  const fixed = responsible < 0 ? -1 : skipName(message, responsible);
  if (fixed < 0 || fixed + soaFixedLength > message.length) return undefined;
  const names = Buffer.from(nameAt(message, data) + nameAt(message, responsible), 'latin1');
  return {
    type: typeSoa,
    ttlSeconds: ttlAt(message, soaTtlOffset),
    data: Buffer.concat([names, message.subarray(fixed, fixed + soaFixedLength)]),
  };
}
