/** Questions and cached answers by name. */
import { Entry } from '../../agent/cache/entry.ts';
import type { CachePartition, Collected, ResponseCache } from '../../agent/cache/response-cache.ts';
import { type DetachedQuery, Query } from '../../agent/wire/query.ts';
import type { Question } from '../../agent/wire/question.ts';
import { walkRecords } from '../../agent/wire/records.ts';
import { a, query, questionName, reply, type } from './octets.ts';

export function questionFor(name: string): DetachedQuery {
  const asked = new Query();
  asked.parse(query(name));
  return asked.detach();
}

/** Name, type and class. */
export function octetsOf({ questionIn, questionAt, questionLength }: Question): Buffer {
  return questionIn.subarray(questionAt, questionAt + questionLength);
}

export function entryFor(name: string, nowMs = 0, ttlSeconds = 60, staleSeconds = 0): Entry {
  const asked = query(name);
  const message = reply(asked, { answers: [a(questionName, 60, '192.0.2.7')] });
  const walk = walkRecords(message, asked.length, type.A);
  if (walk === undefined) throw new Error('a malformed answer');
  return Entry.of(message, walk, nowMs, ttlSeconds, staleSeconds);
}

/** A block of a cache as tests speak of it. */
export function block(cache: ResponseCache, prefix: string) {
  const part: CachePartition = cache.partition(prefix);
  return {
    lookup: (name: string) => part.lookup(questionFor(name), false),
    store: (name: string, entry = entryFor(name)) => part.store(questionFor(name), false, entry),
    drop: (name: string) => part.drop(questionFor(name), false),
    peek: (name: string) => cache.peek(prefix, questionFor(name)),
  };
}

/** Of the name that an answer is about. */
export function firstLabelOf(entry: Entry | undefined): string {
  if (entry === undefined) return 'none';
  const octets = Buffer.alloc(300);
  entry.copyQuestion(octets, 0);
  return octets.toString('latin1', 1, 1 + (octets[0] as number));
}

export function collectedOf(cache: ResponseCache): Collected {
  const steps = cache.collect();
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}

/** First labels, each once, what was used last first. */
export function namesIn(cache: ResponseCache): string[] {
  const collected = collectedOf(cache);
  const names = Array.from({ length: collected.length }, (_, place) => firstLabelOf(collected.at(place)));
  return [...new Set(names)];
}
