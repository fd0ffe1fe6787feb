import { isNightly } from '../tools/nightly.ts';

/** Pseudo-random numbers that a seed repeats (xorshift128, Marsaglia 2003). */
export class Random {
  readonly seed: number;
  readonly #state: Uint32Array;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = Uint32Array.of(seed, 0x9e3779b9, 0x243f6a88, 0xb7e15162);
    for (let warmUp = 0; warmUp < 20; warmUp += 1) this.#next();
  }

  #next(): number {
    const [x = 0, , , w = 0] = this.#state;
    const t = x ^ (x << 11);
    this.#state.copyWithin(0, 1);
    this.#state[3] = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    return this.#state[3] as number;
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return this.#next() % below;
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  octets(length: number): Buffer {
    const octets = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at += 1) octets[at] = this.#next();
    return octets;
  }
}

/** The seed of this run: FUZZ_SEED, or the same for everybody, so that a red run is red again. */
export function seedOfRun(): number {
  return Number(process.env.FUZZ_SEED ?? 20_260_701) >>> 0;
}

/** How many packets this run is to try. */
export function packetsOfRun(small: number, nightly: number): number {
  return isNightly ? nightly : small;
}
