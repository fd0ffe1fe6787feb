/** Records that belong together: one owner, one type, one class (RFC 2181 §5). */
import { lowerCase, maxLabelLength } from './name.ts';
import { setU32, u8, u16 } from './octets.ts';
import { type RecordWalk, ttlAt } from './records.ts';

/** Each signature has the TTL of the records that it is for (RFC 4034 §3): those of one name are no set. */
const typeRrsig = 46;
const isPointer = 0xc0;

/** RFC 2181 §5.2: where the TTLs of a set differ, all of them are the smallest. @param questionEnd where the first record begins */
export function evenTtls(message: Buffer, { ttlOffsets }: RecordWalk, questionEnd: number): void {
  const ttls = ttlOffsets.map((at) => ttlAt(message, at));
  if (ttls.every((ttl) => ttl === ttls[0])) return;
  const sets = new Map<string, number[]>();
  let start = questionEnd;
  for (const at of ttlOffsets) {
    const type = u16(message, at - 4);
    const key = `${type} ${u16(message, at - 2)} ${ownerAt(message, start)}`;
    if (type !== typeRrsig) sets.set(key, [...(sets.get(key) ?? []), at]);
    start = at + 6 + u16(message, at + 4);
  }
  for (const set of sets.values()) {
    if (set.length < 2) continue;
    const smallest = Math.min(...set.map((at) => ttlAt(message, at)));
    for (const at of set) setU32(message, at, smallest);
  }
}

/**
 * The name at `at`, in lower case, one character an octet. What a pointer leads to has not been looked at before: each must lead
 * further back than where the part before it began, so that no chain of them goes on for ever; a name that is none ends there.
 */
function ownerAt(message: Buffer, at: number): string {
  let name = '';
  let began = at;
  for (let position = at; position < message.length; ) {
    const octet = u8(message, position);
    if ((octet & isPointer) === isPointer) {
      const target = ((octet & 0x3f) << 8) | u8(message, position + 1);
      if (target >= began) return name;
      began = target;
      position = target;
      continue;
    }
    if (octet === 0 || octet > maxLabelLength) return name;
    for (let offset = 0; offset <= octet; offset += 1) {
      name += String.fromCharCode(lowerCase(u8(message, position + offset)));
    }
    position += octet + 1;
  }
  return name;
}
