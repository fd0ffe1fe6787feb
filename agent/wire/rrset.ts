/** Records that belong together: one owner, one type, one class (RFC 2181 §5). */
import { NameNumbers } from './name-numbers.ts';
import { setU32, u16, u32 } from './octets.ts';
import { type RecordWalk, ttlAt } from './records.ts';

/** Each signature has the TTL of the records that it is for (RFC 4034 §3): those of one name are no set. */
const typeRrsig = 46;

/** RFC 2181 §5.2: where the TTLs of a set differ, all of them are the smallest. @param questionEnd where the first record begins */
export function evenTtls(message: Buffer, { ttlOffsets }: RecordWalk, questionEnd: number): void {
  const [first, ...others] = ttlOffsets;
  if (first === undefined) return;
  const ttl = ttlAt(message, first);
  if (others.every((at) => ttlAt(message, at) === ttl)) return;
  const names = new NameNumbers(message);
  const smallest = new Map<number, number>();
  const sets: number[] = [];
  let start = questionEnd;
  for (const at of ttlOffsets) {
    // Type and class behind the number of the owner.
    const set = names.of(start) * 2 ** 32 + u32(message, at - 4);
    sets.push(set);
    smallest.set(set, Math.min(smallest.get(set) ?? Number.POSITIVE_INFINITY, ttlAt(message, at)));
    start = at + 6 + u16(message, at + 4);
  }
  for (const [record, at] of ttlOffsets.entries()) {
    if (u16(message, at - 4) !== typeRrsig) setU32(message, at, smallest.get(sets[record] as number) as number);
  }
}
