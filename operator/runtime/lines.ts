/** Where a key stands: those of a lower rank come first, and within a rank the lines take turns. */
export interface Place {
  readonly rank: number;
  readonly line: string;
}

interface Waiting {
  readonly place: Place;
  readonly sinceMs: number;
}

/** Keys that wait for their turn. However long one line is, the first of another waits for one key of each line at most. */
export class Lines {
  readonly #keys = new Map<string, Waiting>();
  /** By rank; a line that has had its turn goes to the end. */
  readonly #ranks = new Map<number, Map<string, Set<string>>>();

  get size(): number {
    return this.#keys.size;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  /** A key that waits already keeps its time, and its turn where its place is the same. */
  put(key: string, place: Place, nowMs: number): void {
    const known = this.#keys.get(key);
    if (known?.place.rank === place.rank && known.place.line === place.line) return;
    if (known !== undefined) this.#remove(key, known.place);
    this.#keys.set(key, { place, sinceMs: known?.sinceMs ?? nowMs });
    const lines = this.#ranks.get(place.rank) ?? new Map<string, Set<string>>();
    this.#ranks.set(place.rank, lines);
    lines.set(place.line, (lines.get(place.line) ?? new Set()).add(key));
  }

  /** Takes the next one out. */
  next(): { readonly key: string; readonly sinceMs: number } | undefined {
    const rank = Math.min(...this.#ranks.keys());
    const lines = this.#ranks.get(rank) ?? new Map<string, Set<string>>();
    for (const [line, keys] of lines) {
      for (const key of keys) {
        const sinceMs = this.#keys.get(key)?.sinceMs ?? 0;
        this.#remove(key, { rank, line });
        if (lines.delete(line) && keys.size > 0) lines.set(line, keys);
        return { key, sinceMs };
      }
    }
    return undefined;
  }

  clear(): void {
    this.#keys.clear();
    this.#ranks.clear();
  }

  #remove(key: string, { rank, line }: Place): void {
    const lines = this.#ranks.get(rank);
    const keys = lines?.get(line);
    this.#keys.delete(key);
    keys?.delete(key);
    if (keys?.size === 0) lines?.delete(line);
    if (lines?.size === 0) this.#ranks.delete(rank);
  }
}
