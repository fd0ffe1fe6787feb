/** Answers of the class CHAOS: one text, in one record that nobody may keep. */
import { writeLocalAnswer } from '../wire/local-answer.ts';
import type { PendingQuery } from '../wire/query.ts';

export const typeTxt = 16;

/**
 * Writes the answer that holds `text` into `out`, cut down to TC=1 where it is longer than `limit`; returns its length.
 * @param text at most 255 octets (RFC 1035 §3.3)
 */
export function writeChaosText(out: Buffer, query: PendingQuery, limit: number, text: Buffer): number {
  const data = Buffer.concat([Buffer.of(text.length), text]);
  return writeLocalAnswer(out, query, limit, { records: [{ type: typeTxt, ttlSeconds: 0, data }] });
}
