/** What the serving half of an agent tells of itself. */
import type { Origin } from '../wire/edns.ts';
import { nameToText } from '../wire/name.ts';
import type { Zone } from './plan.ts';

const failureLogMs = 1_000;

export interface ServerLog {
  /** One line a query, for zones with queryLogging: Log. False where the line is lost. */
  query(line: QueryLine): boolean;
  /** A query that no upstream answered; at most one line a second and zone, which says how many it stands for. */
  failure(line: { zone: string; name: string; reason: string; failures: number }): void;
  /** A name exists that the Kubernetes DNS specification rules out: what is `below` is asked of the servers from now on. */
  exceptionOfSearchPath(line: { zone: string; below: string }): void;
  /** A name of the public Internet leads to a private address; at most one line a second and zone. */
  privateAnswer(line: { zone: string; name: string; address: string; isBlocked: boolean }): void;
  /** A bug: serving one packet threw. */
  exception(error: unknown): void;
}

export interface QueryLine {
  readonly client: string;
  readonly overTcp: boolean;
  /** Canonical wire form. */
  readonly name: string;
  readonly type: number;
  readonly rcode: number;
  readonly origin: Origin;
  readonly durationMs: number;
}

/** One line a second and zone. */
export class FailureLines {
  readonly #log: ServerLog;
  readonly #zones = new WeakMap<Zone, { loggedAtMs: number; unlogged: number }>();

  constructor(log: ServerLog) {
    this.#log = log;
  }

  /** @param name in canonical wire form */
  tell(zone: Zone, name: string, reason: string, nowMs: number): void {
    const state = this.#zones.get(zone) ?? { loggedAtMs: Number.NEGATIVE_INFINITY, unlogged: 0 };
    this.#zones.set(zone, state);
    state.unlogged += 1;
    if (nowMs - state.loggedAtMs < failureLogMs) return;
    this.#log.failure({ zone: zone.name, name: nameToText(name), reason, failures: state.unlogged });
    state.loggedAtMs = nowMs;
    state.unlogged = 0;
  }
}
