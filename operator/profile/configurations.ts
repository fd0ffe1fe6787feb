/**
 * The configurations that LocalDnsNodes carry, each of them once: thousands of nodes carry the same few. What any node carries is known for as
 * long as it does, by whatever others come and go.
 */
import { type NodeConfig, revisionOf } from '../../api/v1alpha1/node-config.ts';

/** Of what no node in the store carries: it was taken from the last one, or its LocalDnsNode is only just read. Some hundreds of the largest. */
const MAX_SPARE_CHARS = 8_388_608;

export class Configurations {
  /** By revision. */
  readonly #texts = new Map<string, string>();
  readonly #carriers = new Map<string, number>();
  /** Revisions whose text nobody carries, the oldest first. */
  readonly #spare = new Set<string>();
  #spareChars = 0;

  /** Every word of an agent comes with the whole of its configuration, and to hash takes ten times as long as to compare. */
  readonly isIntact = (config: unknown, revision: string): boolean => {
    const text = JSON.stringify(config);
    if (this.#texts.get(revision) === text) return true;
    if (revisionOf(config) !== revision) return false;
    this.#forget(revision);
    this.#texts.set(revision, text);
    if (!this.#carriers.has(revision)) this.#leave(revision);
    return true;
  };

  /** As it was seen with that revision, whatever somebody has made of it since; undefined where it was not seen so. */
  get(revision: string): NodeConfig | undefined {
    const text = this.#texts.get(revision);
    return text === undefined ? undefined : (JSON.parse(text) as NodeConfig);
  }

  /** A node that carried the one carries the other now. */
  note(old: string | undefined, now: string | undefined): void {
    if (old === now) return;
    if (now !== undefined) this.#take(now);
    if (old === undefined) return;
    const left = (this.#carriers.get(old) ?? 0) - 1;
    if (left > 0) this.#carriers.set(old, left);
    else {
      this.#carriers.delete(old);
      this.#leave(old);
    }
  }

  #take(revision: string): void {
    this.#carriers.set(revision, (this.#carriers.get(revision) ?? 0) + 1);
    if (this.#spare.delete(revision)) this.#spareChars -= this.#sizeOf(revision);
  }

  #leave(revision: string): void {
    if (!this.#texts.has(revision)) return;
    this.#spare.add(revision);
    this.#spareChars += this.#sizeOf(revision);
    for (const oldest of this.#spare) {
      if (this.#spareChars <= MAX_SPARE_CHARS) return;
      this.#forget(oldest);
    }
  }

  #forget(revision: string): void {
    if (this.#spare.delete(revision)) this.#spareChars -= this.#sizeOf(revision);
    this.#texts.delete(revision);
  }

  #sizeOf(revision: string): number {
    return this.#texts.get(revision)?.length ?? 0;
  }
}
