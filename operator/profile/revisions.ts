/** Each accepted spec as a ControllerRevision in the operator's namespace: what a rollback returns to, and what nodes carry meanwhile. */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { apiVersion, profileKind, profileLabel, profileUidLabel } from '../../api/v1alpha1/labels.ts';
import { canonicalJson } from '../../api/v1alpha1/node-config.ts';
import type { LocalDnsProfile, ProfileSpec } from '../../api/v1alpha1/profile.ts';
import type { KubeClient } from '../../kube/client.ts';
import { ApiError } from '../../kube/errors.ts';
import { CONTROLLER_REVISIONS, type KubeObject } from '../../kube/resource.ts';

/** The spec without what selects nodes and paces rollouts: those act at once. */
export type Intent = Omit<ProfileSpec, 'mode' | 'nodeSelector' | 'priority' | 'rollout'>;

/** apps/v1 ControllerRevision, as far as it is ours. */
export interface ControllerRevision extends KubeObject {
  readonly data?: { readonly spec?: Intent };
  readonly revision: number;
}

export interface RevisionFacts {
  readonly name: string;
  readonly uid: string;
  readonly profileUid: string;
  /** Grows with every edit; an edit back to an earlier spec gives that one the highest. */
  readonly number: number;
  /** The spec, by the mode that it may be served in. */
  readonly specs: Readonly<Record<'Required' | 'Preferred', ProfileSpec>>;
}

/** How an intent is written down for its hash. Raised where that changes: names of before are then told apart, not taken for other specs. */
const hashVersion = 'v1';
/** As Deployments keep (revisionHistoryLimit). */
const historyLimit = 10;

export function revisionFacts({ metadata, data, revision }: ControllerRevision): RevisionFacts {
  const { name, uid = '', labels } = metadata;
  return factsOfIntent({ name, uid, profileUid: labels?.[profileUidLabel] ?? '', number: revision }, data?.spec ?? {});
}

export function factsOfIntent(facts: Omit<RevisionFacts, 'specs'>, intent: Intent): RevisionFacts {
  return {
    ...facts,
    specs: { Required: { ...intent, mode: 'Required' }, Preferred: { ...intent, mode: 'Preferred' } },
  };
}

export function intentOf({ mode, nodeSelector, priority, rollout, ...intent }: ProfileSpec): Intent {
  return intent;
}

/** The same for the same intent of the same profile, however its fields are ordered. */
export function revisionName(
  { metadata: { name, uid = '' } }: Pick<LocalDnsProfile, 'metadata'>,
  intent: Intent,
): string {
  const print = createHash('sha256')
    .update(`${uid} ${canonicalJson(intent)}`)
    .digest('hex')
    .slice(0, 10);
  return `${name}-${hashVersion}-${print}`;
}

export class Revisions {
  readonly #client: Pick<KubeClient, 'create' | 'mergePatch' | 'delete'>;
  readonly #namespace: string;

  constructor(client: Pick<KubeClient, 'create' | 'mergePatch' | 'delete'>, namespace: string) {
    this.#client = client;
    this.#namespace = namespace;
  }

  /** Makes it the newest of the profile's; `known` are all that there are. */
  async keep(
    profile: LocalDnsProfile,
    { name, intent }: { readonly name: string; readonly intent: Intent },
    known: readonly RevisionFacts[],
  ): Promise<void> {
    const highest = known.reduce((most, { number }) => Math.max(most, number), 0);
    const there = known.find((revision) => revision.name === name);
    const isTrue = there !== undefined && isDeepStrictEqual(intentOf(there.specs.Preferred), intent);
    // Read off a node, it has the addresses of a Service in its place. What stands in one cannot be changed.
    if (there !== undefined && !isTrue)
      await this.#client.delete(CONTROLLER_REVISIONS, name, { uid: there.uid }, { namespace: this.#namespace });
    const mine = isTrue ? there : undefined;
    if (mine?.number === highest && mine !== undefined) return;
    if (mine !== undefined) {
      await this.#client.mergePatch(
        CONTROLLER_REVISIONS,
        name,
        { revision: highest + 1 },
        { namespace: this.#namespace },
      );
      return;
    }
    await this.#create(profile, name, intent, highest + 1);
  }

  /** Writes those again that somebody has deleted and that are `needed`; returns the others. */
  async restore(
    profile: LocalDnsProfile,
    lost: readonly RevisionFacts[],
    needed: ReadonlySet<string | undefined>,
  ): Promise<RevisionFacts[]> {
    for (const { name, specs, number } of lost) {
      if (needed.has(name)) await this.#create(profile, name, intentOf(specs.Preferred), number);
    }
    return lost.filter(({ name }) => !needed.has(name));
  }

  async #create({ metadata }: LocalDnsProfile, name: string, intent: Intent, revision: number): Promise<void> {
    const { name: owner, uid = '' } = metadata;
    const object: ControllerRevision = {
      metadata: {
        name,
        namespace: this.#namespace,
        labels: { [profileLabel]: owner, [profileUidLabel]: uid },
        // Gone with its profile: an owner may be of the cluster where what it owns is of a namespace.
        ownerReferences: [{ apiVersion, kind: profileKind.kind, name: owner, uid }],
      },
      data: { spec: intent },
      revision,
    };
    try {
      await this.#client.create(CONTROLLER_REVISIONS, object);
    } catch (error) {
      // Its name is its content: whoever has written it has written the same.
      if (!(error instanceof ApiError && error.isConflict)) throw error;
    }
  }

  /** Removes the oldest beyond the limit, but for those that are `needed`; the newest may be too new to be `known`. */
  async prune(
    known: readonly RevisionFacts[],
    newest: string,
    needed: () => ReadonlySet<string | undefined>,
  ): Promise<void> {
    const before = known.filter(({ name }) => name !== newest);
    const old = before.sort((a, b) => b.number - a.number).slice(historyLimit - 1);
    if (old.length === 0) return;
    const kept = needed();
    for (const { name, uid } of old) {
      if (kept.has(name)) continue;
      await this.#client.delete(CONTROLLER_REVISIONS, name, { uid }, { namespace: this.#namespace });
    }
  }
}
