import type { KubeObject, ObjectMeta } from '../../kube/resource.ts';

/**
 * Which version of an object a write is based on: that which was seen, or what our own writes have made of it, of which the store hears a
 * little later. Where somebody else has written in between, it is neither, and the API server refuses the write.
 */
export class NewestVersions {
  /** By uid: a version that was seen, and what became of it by our hand alone. */
  readonly #chains = new Map<string, readonly string[]>();

  newest({ uid = '', resourceVersion = '' }: ObjectMeta): string | undefined {
    const chain = this.#chains.get(uid) ?? [];
    return (chain.includes(resourceVersion) ? chain.at(-1) : resourceVersion) || undefined;
  }

  /** Our write was based on the newest version of `seen`. */
  wrote({ uid = '', resourceVersion: seen = '' }: ObjectMeta, { metadata }: KubeObject): void {
    const { resourceVersion: written = '' } = metadata;
    const chain = this.#chains.get(uid) ?? [];
    const at = chain.indexOf(seen);
    this.#chains.set(uid, at === -1 ? [seen, written] : [...chain.slice(at), written]);
  }

  /** The others are gone. */
  keepOnly(uids: ReadonlySet<string>): void {
    for (const uid of this.#chains.keys()) if (!uids.has(uid)) this.#chains.delete(uid);
  }
}
