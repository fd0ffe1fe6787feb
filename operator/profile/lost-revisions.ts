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
import { validateKeptSpec } from '../../api/v1alpha1/profile-validation.ts';
import type { WrittenFacts } from './facts.ts';
import { renderNodeConfig } from './render.ts';
import { factsOfIntent, type Intent, type RevisionFacts } from './revisions.ts';

/** A leader that prunes is no loss, and whoever stands by cannot tell: of a profile no more than that are remembered, the newest. */
const MAX_OF_PROFILE = 32;
/** Of all profiles: where the revisions of hundreds are deleted at once, each is still known. */
const MAX_CHARS = 16_777_216;
/** More than there are nodes. */
const MAX_TELLING_NOTHING = 16_384;
/** One that was read off a node is older than all that are kept: what it was, nobody knows. */
const UNNUMBERED = 0;

interface Lost {
  readonly revision: RevisionFacts;
  /** Of its spec. */
  readonly chars: number;
}

export class LostRevisions {
  /** The oldest first. */
  readonly #byName = new Map<string, Lost>();
  readonly #byProfile = new Map<string, Set<string>>();
  #chars = 0;
  /** Node revisions whose configuration does not tell what made it: the hash says what it is, so it never will. */
  readonly #tellingNothing = new Set<string>();
  readonly #configOf: (revision: string) => unknown;

  /** @param configOf the configuration of a node's revision, where it was seen */
  constructor(configOf: (revision: string) => unknown) {
    this.#configOf = configOf;
  }

  /** What the API has of it has changed. */
  note(old: RevisionFacts | undefined, now: RevisionFacts | undefined): void {
    if (now !== undefined) this.#drop(now.name);
    else if (old !== undefined) this.#remember(old);
  }

  /** @param written by nodes that may carry it */
  get(
    name: string,
    written: Iterable<WrittenFacts>,
    uidOf: (profile: string) => string | undefined,
  ): RevisionFacts | undefined {
    const known = this.#byName.get(name)?.revision ?? this.#readOff(name, written, uidOf);
    if (known !== undefined && !this.#byName.has(name)) this.#remember(known);
    return known;
  }

  of(profileUid: string | undefined): RevisionFacts[] {
    const names = this.#byProfile.get(profileUid ?? '') ?? [];
    return [...names].flatMap((name) => this.#byName.get(name)?.revision ?? []);
  }

  forget(lost: Iterable<RevisionFacts>): void {
    for (const { name } of lost) this.#drop(name);
  }

  #readOff(
    name: string,
    written: Iterable<WrittenFacts>,
    uidOf: (profile: string) => string | undefined,
  ): RevisionFacts | undefined {
    for (const { profile, profileRevision, revision } of written) {
      if (profileRevision !== name || this.#tellingNothing.has(revision)) continue;
      const profileUid = uidOf(profile);
      // By its hash: what somebody made of it since is not meant.
      const config = profileUid === undefined ? undefined : this.#configOf(revision);
      if (profileUid === undefined || config === undefined) continue;
      const intent = intentOfConfig(config);
      if (intent !== undefined) return factsOfIntent({ name, uid: '', profileUid, number: UNNUMBERED }, intent);
      // Thousands of nodes carry the same, at each look: to try it takes a millisecond.
      this.#tellingNothing.add(revision);
      const [first = ''] = this.#tellingNothing;
      if (this.#tellingNothing.size > MAX_TELLING_NOTHING) this.#tellingNothing.delete(first);
    }
    return undefined;
  }

  #remember(revision: RevisionFacts): void {
    const { name, profileUid } = revision;
    this.#drop(name);
    const chars = JSON.stringify(revision.specs.Preferred).length;
    this.#byName.set(name, { revision, chars });
    this.#chars += chars;
    const mine = this.#byProfile.get(profileUid) ?? new Set();
    this.#byProfile.set(profileUid, mine.add(name));
    const [first = ''] = mine;
    if (mine.size > MAX_OF_PROFILE) this.#drop(first);
    for (const oldest of this.#byName.keys()) {
      if (this.#chars <= MAX_CHARS) return;
      this.#drop(oldest);
    }
  }

  #drop(name: string): void {
    const { revision, chars = 0 } = this.#byName.get(name) ?? {};
    if (revision === undefined) return;
    this.#byName.delete(name);
    this.#chars -= chars;
    const mine = this.#byProfile.get(revision.profileUid);
    mine?.delete(name);
    if (mine?.size === 0) this.#byProfile.delete(revision.profileUid);
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
  if (validateKeptSpec(spec).length > 0) return undefined;
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
