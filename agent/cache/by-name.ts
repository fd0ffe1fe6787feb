/**
 * Where an answer is kept in a server block's cache: under its question; but an NXDOMAIN is about the name, whatever type was
 * asked (RFC 2308 §5), so it stands under the name alone, for all types.
 */
import * as header from '../wire/header.ts';
import { setU16 } from '../wire/octets.ts';
import type { PendingQuery } from '../wire/query.ts';
import type { RecordWalk } from '../wire/records.ts';
import type { Entry } from './entry.ts';
import type { CachePartition } from './response-cache.ts';

type Asked = Pick<PendingQuery, 'name' | 'key'>;

/** RFC 6895 §3.1: type 0 is reserved; who asks for it all the same fills no cache. */
const anyType = '\0\0';

function keyOfName({ name, key }: Asked): string {
  return name + anyType + key.slice(name.length + anyType.length);
}

/** What is known, fresh or not; of two that are not the newer: what is kept under the question takes away what was under the name. */
export function find(cache: CachePartition, asked: Asked, nowMs: number): Entry | undefined {
  const own = cache.lookup(asked.key);
  if (own?.isFresh(nowMs)) return own;
  return cache.lookup(keyOfName(asked)) ?? own;
}

/**
 * What was known about the question before is no longer so.
 * @param ofName the entry is about the name: see {@link isAboutName}
 */
export function keep(cache: CachePartition, asked: Asked, entry: Entry, ofName: boolean): void {
  const [there, notThere] = ofName ? [keyOfName(asked), asked.key] : [asked.key, keyOfName(asked)];
  cache.drop(notThere);
  cache.store(there, entry);
}

export function forget(cache: CachePartition, asked: Asked): void {
  cache.drop(asked.key);
  cache.drop(keyOfName(asked));
}

/** Nothing but an NXDOMAIN: one behind a chain of aliases is about another name. */
export function isAboutName(message: Buffer, { answers }: RecordWalk): boolean {
  return answers === 0 && header.responseCode(message) === header.rcode.nxDomain;
}

/** The question in the message as in the key that it is kept under: whoever reads it back compares them. */
export function askForAnyType(message: Buffer, questionEnd: number): void {
  setU16(message, questionEnd - 4, 0);
}
