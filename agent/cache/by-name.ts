/**
 * Where an answer is kept in a server block's cache: under its question; but an NXDOMAIN is about the name, whatever type was
 * asked (RFC 2308 §5), so it stands under the name alone, for all types.
 */
import * as header from '../wire/header.ts';
import { setU16 } from '../wire/octets.ts';
import type { Question } from '../wire/question.ts';
import type { RecordWalk } from '../wire/records.ts';
import type { Entry } from './entry.ts';
import type { CachePartition } from './response-cache.ts';

/** What is known, fresh or not; of two that are not the newer: what is kept under the question takes away what was under the name. */
export function find(cache: CachePartition, asked: Question, nowMs: number): Entry | undefined {
  const own = cache.lookup(asked, false);
  if (own?.isFresh(nowMs)) return own;
  return cache.lookup(asked, true) ?? own;
}

/**
 * What was known about the question before is no longer so.
 * @param ofName the entry is about the name: see {@link isAboutName}
 */
export function keep(cache: CachePartition, asked: Question, entry: Entry, ofName: boolean): void {
  cache.drop(asked, !ofName);
  cache.store(asked, ofName, entry);
}

export function forget(cache: CachePartition, asked: Question): void {
  cache.drop(asked, false);
  cache.drop(asked, true);
}

/** Nothing but an NXDOMAIN: one behind a chain of aliases is about another name. */
export function isAboutName(message: Buffer, { answers }: RecordWalk): boolean {
  return answers === 0 && header.responseCode(message) === header.rcode.nxDomain;
}

/** The question in the message as it is kept: type 0, which is reserved (RFC 6895 §3.1); who asks for it all the same fills no cache. */
export function askForAnyType(message: Buffer, questionEnd: number): void {
  setU16(message, questionEnd - 4, 0);
}
