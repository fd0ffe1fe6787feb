/** RFC 8482 §4.2: a query of the type ANY gets one record that says so, whatever the name has, and asks nobody. */
import { writeLocalAnswer } from '../wire/local-answer.ts';
import { classIn } from '../wire/query.ts';
import { typeAny } from '../wire/records.ts';
import { recordType } from './local-records.ts';
import type { Policy } from './policy.ts';

const ttlSeconds = 3_600;

/** RFC 1035 §3.3.2: CPU and OS, each a length and a text. */
const data = Buffer.from('\x07RFC8482\0', 'latin1');

export const minimalAny: Policy = (query, out, limit) => {
  if (query.type !== typeAny || query.class !== classIn) return 0;
  return writeLocalAnswer(out, query, limit, { records: [{ type: recordType.HINFO, ttlSeconds, data }] });
};
