import type { IncomingMessage } from 'node:http';
import { BadResponseError, KubeError, TimeoutError, UnreachableError } from './errors.ts';

/** One line of a watch (meta/v1 WatchEvent). */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: object;
}

export interface WatchLimits {
  /** No byte for so long means a dead path: bookmarks come about once a minute on a live one. */
  readonly idleMs: number;
  /** The whole watch, for a server that forgets its own timeoutSeconds. */
  readonly totalMs: number;
}

/**
 * Hands each event of a watch to `onEvent` as its line is complete; a chunk may hold many lines, or the middle of one.
 * Resolves when the server ends the stream. Rejects with TimeoutError, UnreachableError (broke off), BadResponseError
 * (a line that is no event), or with what `onEvent` throws.
 */
export function readWatch(
  answer: IncomingMessage,
  limits: WatchLimits,
  onEvent: (event: WatchEvent) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    // Pieces of the unfinished line: joined once, so that a large object in many chunks is not copied over and over.
    let pieces: string[] = [];
    const expire = (why: string) => () => answer.destroy(new TimeoutError(`watch: ${why}`));
    const total = setTimeout(expire(`did not end within ${limits.totalMs} ms`), limits.totalMs);
    const idle = setTimeout(expire(`silent for ${limits.idleMs} ms`), limits.idleMs);
    const settle = (error?: Error): void => {
      clearTimeout(total);
      clearTimeout(idle);
      if (error === undefined) {
        resolve();
        return;
      }
      answer.destroy();
      reject(error instanceof KubeError ? error : new UnreachableError(`watch broke off: ${error.message}`));
    };
    answer.setEncoding('utf8');
    answer.on('data', (chunk: string) => {
      idle.refresh();
      let start = 0;
      for (let end = chunk.indexOf('\n'); end !== -1; end = chunk.indexOf('\n', start)) {
        pieces.push(chunk.slice(start, end));
        start = end + 1;
        const line = pieces.join('');
        pieces = [];
        if (line === '' || answer.destroyed) continue;
        try {
          onEvent(parseEvent(line));
        } catch (error) {
          return settle(error as Error);
        }
      }
      if (start < chunk.length) pieces.push(chunk.slice(start));
    });
    answer.once('end', () => settle());
    answer.once('error', settle);
    answer.once('close', () => settle(new Error('connection closed')));
  });
}

function parseEvent(line: string): WatchEvent {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch {
    throw new BadResponseError(`watch: a line is not JSON: ${JSON.stringify(line.slice(0, 120))}`);
  }
  if (isEvent(event)) return event;
  throw new BadResponseError(`watch: a line is no watch event: ${JSON.stringify(line.slice(0, 120))}`);
}

function isEvent(value: unknown): value is WatchEvent {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    'object' in value &&
    value.object instanceof Object
  );
}
