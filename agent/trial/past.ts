import { between, type Figures } from '../figures.ts';

interface Moment {
  readonly atMs: number;
  readonly figures: Figures;
}

/** The longest trial that there can be. */
const memoryMs = 86_400_000;
/** Moments that are gone this many times their distance are thinned out: a window of the past is as long as wanted within 5 %. */
const grain = 20;

/** What the figures were, at moments that lie the further apart the longer ago they are: a day is some hundred of them. */
export class Past {
  readonly #moments: Moment[] = [];

  get length(): number {
    return this.#moments.length;
  }

  note(atMs: number, figures: Figures): void {
    this.#moments.push({ atMs, figures });
    for (let at = this.#moments.length - 2; at > 0; at -= 1) {
      const gapMs = this.#atMs(at + 1) - this.#atMs(at - 1);
      if (gapMs * grain <= atMs - this.#atMs(at + 1)) this.#moments.splice(at, 1);
    }
    while (this.#atMs(1) <= atMs - memoryMs) this.#moments.shift();
  }

  clear(): void {
    this.#moments.length = 0;
  }

  /** Of as long as that until then; undefined where the past is shorter. */
  window(until: Moment, ms: number): Figures | undefined {
    const from = this.#moments.findLast(({ atMs }) => atMs <= until.atMs - ms);
    return from && between(from.figures, until.figures);
  }

  #atMs(at: number): number {
    return this.#moments[at]?.atMs ?? Number.POSITIVE_INFINITY;
  }
}
