import { ApiError, KubeError } from '../../kube/errors.ts';

/**
 * What a failed reconcile means for the one who runs it:
 *   terminal   only a change of the objects can help, and a change wakes the key by itself: do not repeat
 *   conflict   somebody else wrote first: repeat soon with what the stores say then
 *   transient  the world may be better later: repeat with backoff
 */
export type Failure = 'terminal' | 'conflict' | 'transient';

/** Ends the retries of a key: nothing but an edit can help. */
export class TerminalError extends Error {
  readonly code = 'TERMINAL';
}

export interface Classified {
  readonly failure: Failure;
  /** Stable, for logs and metrics; INTERNAL is an exception nobody foresaw, a bug. */
  readonly code: string;
  readonly message: string;
  /** The server asked to be left alone for so long; 0 where it did not. */
  readonly retryAfterMs: number;
}

export function classify(error: unknown): Classified {
  if (error instanceof TerminalError)
    return { failure: 'terminal', code: error.code, message: error.message, retryAfterMs: 0 };
  if (error instanceof ApiError) {
    // Not found means that an object vanished between our decision and our write: decide again.
    const isVanished = error.isNotFound && error.code !== 'KUBE_RESOURCE_MISSING';
    const failure = error.isTerminal ? 'terminal' : error.isConflict || isVanished ? 'conflict' : 'transient';
    return { failure, code: error.code, message: error.message, retryAfterMs: error.retryAfterMs };
  }
  if (error instanceof KubeError)
    return { failure: 'transient', code: error.code, message: error.message, retryAfterMs: 0 };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { failure: 'transient', code: 'INTERNAL', message, retryAfterMs: 0 };
}
