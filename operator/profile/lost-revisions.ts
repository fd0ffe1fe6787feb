/**
 * Revisions that nodes carry, or would return to, and whose ControllerRevision somebody has deleted. Without them nobody could say what a new
 * node shall have. An operator that knew one knows it still; one that was started since reads it off the configuration of a node.
 */
import {
  type ListenerConfig,
  type NodeConfig,
  parseNodeConfig,
  type RedirectNames,
  revisionOf,
} from '../../api/v1alpha1/node-config.ts';
import type { ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../../api/v1alpha1/profile-defaults.ts';
import { validateProfileSpec } from '../../api/v1alpha1/profile-validation.ts';
import type { WrittenFacts } from './facts.ts';
import { renderNodeConfig } from './render.ts';
import { factsOfIntent, type Intent, type RevisionFacts } from './revisions.ts';

/** A leader that prunes is no loss, and whoever stands by cannot tell: no more than that are remembered, the newest. */
const MAX_LOST = 32;
/** One that was read off a node is older than all that are kept: what it was, nobody knows. */
const UNNUMBERED = 0;

export class LostRevisions {
  readonly #byName = new Map<string, RevisionFacts>();
  readonly #configOf: (revision: string) => unknown;

  /** @param configOf the configuration of a node's revision, where it was seen */
  constructor(configOf: (revision: string) => unknown) {
    this.#configOf = configOf;
  }

  /** What the API has of it has changed. */
  note(old: RevisionFacts | undefined, now: RevisionFacts | undefined): void {
    if (now !== undefined) this.#byName.delete(now.name);
    else if (old !== undefined) this.#remember(old);
  }

  /** @param written by nodes that may carry it */
  get(
    name: string,
    written: Iterable<WrittenFacts>,
    uidOf: (profile: string) => string | undefined,
  ): RevisionFacts | undefined {
    const known = this.#byName.get(name) ?? this.#readOff(name, written, uidOf);
    if (known !== undefined && !this.#byName.has(name)) this.#remember(known);
    return known;
  }

  of(profileUid: string | undefined): RevisionFacts[] {
    return [...this.#byName.values()].filter((revision) => revision.profileUid === profileUid);
  }

  forget(lost: Iterable<RevisionFacts>): void {
    for (const { name } of lost) this.#byName.delete(name);
  }

  #readOff(
    name: string,
    written: Iterable<WrittenFacts>,
    uidOf: (profile: string) => string | undefined,
  ): RevisionFacts | undefined {
    for (const { profile, profileRevision, revision } of written) {
      if (profileRevision !== name) continue;
      // By its hash: what somebody made of it since is not meant.
      const intent = intentOfConfig(this.#configOf(revision));
      const profileUid = uidOf(profile);
      if (intent !== undefined && profileUid !== undefined)
        return factsOfIntent({ name, uid: '', profileUid, number: UNNUMBERED }, intent);
    }
    return undefined;
  }

  #remember(lost: RevisionFacts): void {
    this.#byName.set(lost.name, lost);
    const [oldest] = this.#byName.keys();
    if (this.#byName.size > MAX_LOST && oldest !== undefined) this.#byName.delete(oldest);
  }
}

/**
 * What a profile must say for its nodes to have this configuration; undefined where it cannot be told. What a default was and what stood
 * there is one thing in it; and of a Service that a redirect leads to there are only its addresses. Pure.
 */
export function intentOfConfig(given: unknown): Intent | undefined {
  const parsed = parseNodeConfig(given);
  if ('error' in parsed) return undefined;
  const { config } = parsed;
  const spec = specOf(config);
  // An operator of another version may have meant by it what this one does not: then it is not known.
  if (validateProfileSpec(spec).length > 0) return undefined;
  const ranges = config.privateReverse?.exceptRanges ?? [];
  const again = renderNodeConfig(defaultProfileSpec(spec), config.clusterDNS, ranges);
  return revisionOf(again) === revisionOf(config) ? spec : undefined;
}

function specOf({ clusterDomain, listeners, upstreams, cache, searchPath, ...answers }: NodeConfig): ProfileSpec {
  const cluster = listeners.find(({ name }) => name === 'cluster');
  const node = listeners.find(({ name }) => name === 'node');
  const { hosts, blockedDomains, redirects, rebind, privateReverse, singleLabelNames } = answers;
  return {
    clusterDomain,
    listeners: {
      ...(cluster && { cluster: { ...placeOf(cluster), interceptClusterDNS: cluster.intercept } }),
      ...(node && { node: { ...placeOf(node), interceptNodeResolvers: node.intercept } }),
    },
    ...(cluster && { kubeDNSOverrides: blocksOf(cluster) }),
    ...(node && { vnetDNSOverrides: blocksOf(node) }),
    upstreams,
    ...(cache && { cache: { ...cache, maxBytes: `${cache.maxBytes}` } }),
    ...(searchPath && { searchPath }),
    ...(hosts && { hosts }),
    ...(blockedDomains && { blockedDomains }),
    ...(redirects && {
      redirects: redirects.map(({ addresses, match, except, ...redirect }) => {
        return { ...redirect, match: given(match), except: given(except), target: { addresses } };
      }),
    }),
    protection: {
      ...(rebind && { rebind }),
      ...(privateReverse && { privateReverse: { mode: 'NxDomain' } }),
      ...(singleLabelNames && { singleLabelNames: { mode: singleLabelNames } }),
    },
  };
}

function placeOf({ addresses, tracked }: ListenerConfig): Pick<ListenerConfig, 'addresses' | 'tracked'> {
  return { addresses, tracked };
}

function blocksOf({ serverBlocks }: ListenerConfig): NonNullable<ProfileSpec['kubeDNSOverrides']> {
  return Object.fromEntries(serverBlocks.map(({ zone, ...block }) => [zone, block]));
}

/** The lists of a profile are not empty. */
function given(names: RedirectNames): Partial<RedirectNames> {
  return Object.fromEntries(Object.entries(names).filter(([, list]) => list.length > 0));
}
