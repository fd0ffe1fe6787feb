import { extendedError } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import type { RecordWalk } from '../wire/records.ts';

export interface Answered {
  kind: 'answered';
  /** Used again after the return of whoever is told of it. */
  message: Buffer;
  walk: RecordWalk;
}

/** No answer: what the client is told instead (RFC 8914 §4). */
export interface Failed {
  kind: 'failed';
  rcode: number;
  extendedError: number;
  /** For people. */
  reason: string;
  /** What the servers did, or did not; not that nobody was asked. */
  isOfServers: boolean;
}

/** A bug, which costs this query alone. */
export interface Broken {
  kind: 'broken';
  error: unknown;
}

export type Outcome = Answered | Failed | Broken;

export function servFail(info: number, reason: string): Failed {
  return failed(header.rcode.servFail, info, reason, true);
}

export function refused(reason: string): Failed {
  return failed(header.rcode.refused, extendedError.other, reason, false);
}

/** Nobody was asked. */
export function notAsked(info: number, reason: string): Failed {
  return failed(header.rcode.servFail, info, reason, false);
}

function failed(rcode: number, info: number, reason: string, isOfServers: boolean): Failed {
  return { kind: 'failed', rcode, extendedError: info, reason, isOfServers };
}
