/**
 * Counters that the serving thread writes and the control worker reads at scrape: plain numbers in shared memory, so that
 * counting costs an addition and reading costs the serving thread nothing.
 */

/** What is told to the control worker once for each tally. */
export interface TallyNotice {
  kind: TallyKind;
  labels: Readonly<Record<string, string>>;
  buffer: SharedArrayBuffer;
}

export type TallyKind = 'listener' | 'zone' | 'upstream' | 'connection' | 'cache';

export class Tallies {
  readonly #known = new Map<string, Float64Array>();
  readonly #announce: (notice: TallyNotice) => void;

  constructor(announce: (notice: TallyNotice) => void) {
    this.#announce = announce;
  }

  /** The tally with these labels; the same one again for the same labels, so that counters survive a new configuration. */
  open(kind: TallyKind, labels: Record<string, string>, length: number): Float64Array {
    const key = JSON.stringify([kind, labels]);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const buffer = new SharedArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT);
    const counts = new Float64Array(buffer);
    this.#known.set(key, counts);
    this.#announce({ kind, labels, buffer });
    return counts;
  }
}
