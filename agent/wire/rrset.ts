/** Records that belong together: one owner, one type, one class (RFC 2181 §5). */
import { nameAt } from './name.ts';
import { setU32, u16 } from './octets.ts';
import { type RecordWalk, ttlAt } from './records.ts';

/** Each signature has the TTL of the records that it is for (RFC 4034 §3): those of one name are no set. */
const typeRrsig = 46;

/** RFC 2181 §5.2: where the TTLs of a set differ, all of them are the smallest. @param questionEnd where the first record begins */
export function evenTtls(message: Buffer, { ttlOffsets }: RecordWalk, questionEnd: number): void {
  if (ttlOffsets.length < 2) return;
  const ttls = ttlOffsets.map((at) => ttlAt(message, at));
  if (ttls.every((ttl) => ttl === ttls[0])) return;
  const sets = new Map<string, number[]>();
  let start = questionEnd;
  for (const at of ttlOffsets) {
    const type = u16(message, at - 4);
    const key = `${type} ${u16(message, at - 2)} ${nameAt(message, start)}`;
    const set = sets.get(key);
    if (set !== undefined) set.push(at);
    else if (type !== typeRrsig) sets.set(key, [at]);
    start = at + 6 + u16(message, at + 4);
  }
  for (const set of sets.values()) {
    if (set.length < 2) continue;
    const smallest = Math.min(...set.map((at) => ttlAt(message, at)));
    for (const at of set) setU32(message, at, smallest);
  }
}
