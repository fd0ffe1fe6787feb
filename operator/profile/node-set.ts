/** Some of the nodes, by their numbers, a bit each: what is asked of five thousand nodes at once takes 160 steps. */
export class NodeSet {
  #words: Uint32Array;

  constructor(words = new Uint32Array(0)) {
    this.#words = words;
  }

  add(number: number): void {
    const at = number >>> 5;
    if (at >= this.#words.length) {
      const words = new Uint32Array(Math.max(at + 1, 2 * this.#words.length));
      words.set(this.#words);
      this.#words = words;
    }
    this.#words[at] = (this.#words[at] ?? 0) | (1 << (number & 31));
  }

  get isEmpty(): boolean {
    return this.#words.every((word) => word === 0);
  }

  get size(): number {
    let size = 0;
    for (let word of this.#words) for (; word !== 0; word &= word - 1) size += 1;
    return size;
  }

  union(other: NodeSet): NodeSet {
    const [longer, shorter] =
      this.#words.length < other.#words.length ? [other.#words, this.#words] : [this.#words, other.#words];
    const words = longer.slice();
    for (let at = 0; at < shorter.length; at++) words[at] = (words[at] ?? 0) | (shorter[at] ?? 0);
    return new NodeSet(words);
  }

  intersection(other: NodeSet): NodeSet {
    const words = this.#words.slice();
    for (let at = 0; at < words.length; at++) words[at] = (words[at] ?? 0) & (other.#words[at] ?? 0);
    return new NodeSet(words);
  }

  difference(other: NodeSet): NodeSet {
    const words = this.#words.slice();
    for (let at = 0; at < words.length; at++) words[at] = (words[at] ?? 0) & ~(other.#words[at] ?? 0);
    return new NodeSet(words);
  }

  meets(other: NodeSet): boolean {
    const [mine, theirs] = [this.#words, other.#words];
    for (let at = 0; at < mine.length; at++) if (((mine[at] ?? 0) & (theirs[at] ?? 0)) !== 0) return true;
    return false;
  }

  /** At most so many, in their order. */
  first(most: number): number[] {
    return [...Iterator.from(this).take(most)];
  }

  /** In their order. */
  *[Symbol.iterator](): Generator<number> {
    for (const [at, whole] of this.#words.entries()) {
      for (let word = whole; word !== 0; word &= word - 1) yield at * 32 + 31 - Math.clz32(word & -word);
    }
  }
}
