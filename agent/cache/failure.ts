/**
 * Failures are remembered for a moment (RFC 9520 §3.2: at least 1 s and at most 5 min, longer when they repeat), so that clients
 * that ask again and again do not make a bad moment of the servers worse. Short, for servers that are back shall be asked.
 */
import * as header from '../wire/header.ts';
import { maxNameLength } from '../wire/name.ts';
import { copyOctets } from '../wire/octets.ts';
import type { PendingQuery } from '../wire/query.ts';
import { fixedLength } from '../wire/question.ts';
import { walkRecords } from '../wire/records.ts';
import { find } from './by-name.ts';
import { fillsCache } from './cacheability.ts';
import { Cells, cellsOf } from './cells.ts';
import { Entry } from './entry.ts';
import type { CachePartition } from './response-cache.ts';
import { isServableStale, postponeRefresh } from './serve-stale.ts';

const firstSeconds = 1;
const maxSeconds = 5;
/** Failures with a longer pause between them do not follow one another. */
const sequenceMs = 30_000;

const passing = new Cells(cellsOf(header.headerLength + maxNameLength + fixedLength));

/** An answer that serves on stays: one that came while the servers were asked, or that may be used although it has expired. */
export function rememberFailure(
  cache: CachePartition,
  query: PendingQuery,
  rcode: number,
  serveStale: 'Verify' | 'Immediate' | 'Disable',
  nowMs: number,
): void {
  if (!fillsCache(query.type)) return;
  const known = find(cache, query, nowMs);
  if (known !== undefined && (known.isFresh(nowMs) || (serveStale !== 'Disable' && isServableStale(known, nowMs)))) {
    postponeRefresh(known, nowMs);
    return;
  }
  const before = cache.lookup(query, false);
  const followsAnother = before !== undefined && nowMs - before.expiresAtMs < sequenceMs;
  const failures = followsAnother ? before.failures + 1 : 1;
  const seconds = Math.min(maxSeconds, firstSeconds * 2 ** (failures - 1));
  const entry = entryWithoutRecords(query, rcode, nowMs, seconds);
  entry.failures = failures;
  cache.store(query, false, entry);
}

/** An answer that no server has given; valid until the next one. */
export function entryWithoutRecords(query: PendingQuery, rcode: number, nowMs: number, seconds: number): Entry {
  const { questionIn, questionAt, questionLength } = query;
  const message = Buffer.alloc(header.headerLength + questionLength);
  const counts = { question: 1, answer: 0, authority: 0, additional: 0 };
  header.writeHeader(message, 0, header.flag.response | (rcode & 0xf), counts);
  copyOctets(questionIn, questionAt, questionAt + questionLength, message, header.headerLength);
  const walk = walkRecords(message, message.length, query.type);
  if (walk === undefined) throw new Error('a message without records is whole');
  return Entry.of(message, walk, nowMs, seconds, 0, passing);
}
