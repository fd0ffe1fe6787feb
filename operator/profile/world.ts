import { isDeepStrictEqual } from 'node:util';
import { timestamp } from '../../api/v1alpha1/conditions.ts';
import { clusterDnsLabel, group, nodeKind, profileKind, profileUidLabel, version } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../../api/v1alpha1/profile-defaults.ts';
import type { ServiceTarget } from '../../api/v1alpha1/profile-parts.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../kube/clock.ts';
import {
  CONTROLLER_REVISIONS,
  type KubeObject,
  NODES,
  type Resource,
  SERVICE_CIDRS,
  SERVICES,
} from '../../kube/resource.ts';
import { Store, type StoreTiming, type Trouble } from '../../kube/store.ts';
import {
  type ClusterDns,
  chooseClusterDns,
  conventional,
  podPorts,
  type Service,
  type ServiceFacts,
  type ServiceName,
  serviceFacts,
} from './cluster-dns.ts';
import { Configurations } from './configurations.ts';
import { type Node, type NodeFacts, nodeFacts, type WrittenFacts, writtenFacts } from './facts.ts';
import type { ClusterFacts } from './judge.ts';
import { LostRevisions } from './lost-revisions.ts';
import type { PolicyFinding } from './network-policies.ts';
import { PolicyWatch } from './policy-watch.ts';
import { clusterRanges, type ServiceCidr } from './ranges.ts';
import { type ControllerRevision, type RevisionFacts, revisionFacts } from './revisions.ts';
import { ServiceTargets } from './service-targets.ts';
import { Sightings } from './sightings.ts';

export const PROFILES: Resource = { group, version, ...profileKind, namespaced: false };
export const LOCAL_DNS_NODES: Resource = { group, version, ...nodeKind, namespaced: false };

export type Profile = LocalDnsProfile & KubeObject;

export interface WorldOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  /** The operator's own, where the revisions of profiles are kept. */
  readonly namespace: string;
  /** Undefined: found by its label in kube-system. */
  readonly clusterDnsService?: ServiceName | undefined;
  /** Whether those that keep pods from the agents are looked for. */
  readonly networkPolicies?: boolean;
  /** Nobody is to be served any more: each profile is seen as one that is being deleted. */
  readonly withdraws?: boolean;
  readonly clock: Clock;
  readonly onTrouble: (plural: string, trouble: Trouble | undefined) => void;
  readonly timing?: Partial<StoreTiming>;
}

/** What changed, in the words of the reconciler's duties. */
export interface Changes {
  /** Who should be served, or with what, may have changed. */
  plan(): void;
  /** So may have what is known of this node. */
  node(name: string): void;
  /** What a node holds has changed, by our own hand or another's. */
  writing(node: string): void;
  /** How a node does with what it holds has changed. */
  progress(node: string): void;
  /** The status of this profile has, by our own hand or another's. */
  report(profile: string): void;
}

/** A kind that is optional: neither that it is missing nor that it may not be read is worth a word, and it is looked for seldom. */
const MISSING = 'KUBE_RESOURCE_MISSING';
const OPTIONAL_CODES = [MISSING, 'KUBE_API_403'];
const OPTIONAL_RETRY_MS = 60_000;
/** A profile may be as large as etcd takes it, and a page of a list is read in one piece. */
const LARGE_PAGE_SIZE = 8;

/** All that the operator knows of the cluster: its stores, and what they mean. */
export class World {
  readonly profiles: Store<Profile, Profile>;
  readonly nodes: Store<Node, NodeFacts>;
  readonly written: Store<LocalDnsNode & KubeObject, WrittenFacts>;
  readonly revisions: Store<ControllerRevision, RevisionFacts>;
  readonly services: Store<Service, ServiceFacts>;
  readonly serviceCidrs: Store<ServiceCidr, readonly string[]>;
  /** Undefined where they are none of the operator's business. */
  readonly #policies: PolicyWatch | undefined;
  readonly serviceTargets: ServiceTargets;
  readonly sightings = new Sightings();
  readonly configurations = new Configurations();
  readonly lost = new LostRevisions((revision) => this.configurations.get(revision));
  /** All is known that decisions are made of, as far as there is such a thing here. */
  readonly synced: Promise<void>;
  /** By kind, who waits for it and need not, should it be away. */
  readonly #whenAway = new Map<string, Set<() => void>>();
  readonly withdraws: boolean;
  /** When the profiles began to leave that nobody deletes. */
  readonly #leavingSince: string;
  readonly #wantedDns: ServiceName;
  readonly #namespace: string;
  #changed = (): void => {};
  /** Of the pods and Services; undefined where they have to be found anew. */
  #ranges: readonly string[] | undefined;

  constructor(options: WorldOptions) {
    const { client, namespace, clusterDnsService, networkPolicies, clock, onTrouble, timing = {} } = options;
    const common = (resource: Resource) => ({
      client,
      resource,
      clock,
      timing,
      onTrouble: (trouble: Trouble | undefined) => {
        const isAway = this.#isAway(resource.plural, trouble);
        if (isAway) for (const told of this.#whenAway.get(resource.plural) ?? []) told();
        if (!isAway || resource !== SERVICE_CIDRS) onTrouble(resource.plural, trouble);
      },
    });
    this.withdraws = options.withdraws ?? false;
    this.#leavingSince = timestamp(clock.date().getTime());
    this.#wantedDns = clusterDnsService ?? conventional;
    this.#namespace = namespace;
    const named = { fieldSelector: `metadata.name=${this.#wantedDns.name}` };
    const marked = { labelSelector: `${clusterDnsLabel.key}=${clusterDnsLabel.value}` };
    const large = { timing: { pageSize: LARGE_PAGE_SIZE, ...timing } };
    this.profiles = new Store({ ...common(PROFILES), ...large, keep: (profile: Profile) => this.#asWished(profile) });
    this.nodes = new Store({ ...common(NODES), keep: nodeFacts });
    const { isIntact } = this.configurations;
    this.written = new Store({
      ...common(LOCAL_DNS_NODES),
      keep: (object: LocalDnsNode & KubeObject) => writtenFacts(object, isIntact),
    });
    this.written.onChange((_name, old, now) => this.configurations.note(old?.revision, now?.revision));
    this.revisions = new Store({
      ...common(CONTROLLER_REVISIONS),
      ...large,
      ...{ namespace, labelSelector: profileUidLabel, keep: revisionFacts },
    });
    this.services = new Store({
      ...common(SERVICES),
      namespace: this.#wantedDns.namespace,
      ...(clusterDnsService === undefined ? marked : named),
      keep: serviceFacts,
    });
    this.serviceCidrs = new Store({
      ...common(SERVICE_CIDRS),
      timing: { missingKindMaxMs: OPTIONAL_RETRY_MS, ...timing },
      keep: ({ spec }: ServiceCidr) => spec?.cidrs ?? [],
    });
    const policyOptions = { client, clock, timing, onTrouble, namespace: this.#wantedDns.namespace };
    if (networkPolicies) this.#policies = new PolicyWatch(policyOptions);
    this.serviceTargets = new ServiceTargets({ client, clock, timing, onTrouble, onChange: () => this.#changed() });
    this.revisions.onChange((_key, old, now) => this.lost.note(old, now));
    this.profiles.onChange((_name, old, now) => {
      if (now?.metadata.uid !== old?.metadata.uid) this.lost.forget(this.lost.of(old?.metadata.uid));
    });
    this.written.onChange((name, old, now) => this.sightings.note(name, old, now, clock.date().getTime()));
    this.nodes.onChange((_name, old, now) => {
      if (!isDeepStrictEqual(old?.podCIDRs, now?.podCIDRs)) this.#ranges = undefined;
    });
    for (const store of [this.services, this.serviceCidrs]) {
      store.onChange(() => {
        this.#ranges = undefined;
      });
    }
    this.synced = Promise.all(this.#decisive.map((store) => this.#orAway(store, () => store.synced))).then(() => {});
  }

  /**
   * Resolves once all that decides who has what is known as it is at this moment: whoever led until now may have written what our watches
   * have not told. Where it cannot be read, that takes until it can. Nothing is known of the Services that redirects lead to: each is read
   * once it is asked about, and nodes keep what they have until then.
   */
  async refresh(): Promise<void> {
    this.serviceTargets.forget();
    await Promise.all(this.#decisive.map((store) => this.#orAway(store, (signal) => store.refresh(signal))));
  }

  get #decisive() {
    const held = [this.profiles, this.nodes, this.written];
    return this.withdraws ? held : [...held, this.revisions, this.services, this.serviceCidrs];
  }

  /** Waits for what is known of a kind, unless it is away. */
  async #orAway(
    { plural, trouble }: { plural: string; trouble: Trouble | undefined },
    known: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    if (this.#isAway(plural, trouble)) return;
    const waiting = this.#whenAway.get(plural) ?? new Set();
    this.#whenAway.set(plural, waiting);
    const abort = new AbortController();
    await new Promise<void>((resolve) => {
      const told = (): void => {
        waiting.delete(told);
        abort.abort();
        resolve();
      };
      waiting.add(told);
      void known(abort.signal).then(told);
    });
  }

  /** An API server need not have it, or give it; and of a kind that is gone there is nothing to take out of service. */
  #isAway(plural: string, trouble: Trouble | undefined): boolean {
    const codes = plural === SERVICE_CIDRS.plural ? OPTIONAL_CODES : this.withdraws ? [MISSING] : [];
    return codes.includes(trouble?.code ?? '');
  }

  #asWished(profile: Profile): Profile {
    const known = this.#withSameSpec(profile);
    const { deletionTimestamp = this.#leavingSince } = profile.metadata;
    return this.withdraws ? { ...known, metadata: { ...known.metadata, deletionTimestamp } } : known;
  }

  /** Each status that is written brings the spec along: what was found of it holds for as long as it is the same object. */
  #withSameSpec(profile: Profile): Profile {
    const { name, uid, generation } = profile.metadata;
    const old = this.profiles.get(name);
    const isSame = generation !== undefined && old?.metadata.generation === generation && old.metadata.uid === uid;
    return isSame ? { ...profile, spec: old.spec } : profile;
  }

  get stores(): readonly Pick<
    Store<KubeObject, unknown>,
    'start' | 'stop' | 'synced' | 'trouble' | 'plural' | 'size'
  >[] {
    const always = [this.profiles, this.nodes, this.written];
    // Whoever serves nobody needs to know nothing of what nodes would be served with.
    if (this.withdraws) return always;
    return [...always, this.revisions, this.services, this.serviceCidrs, ...(this.#policies?.stores ?? [])];
  }

  /** Those that there are objects for. */
  get followable(): World['stores'] {
    return this.stores.filter(
      (store) => store !== this.serviceCidrs || !OPTIONAL_CODES.includes(store.trouble?.code ?? ''),
    );
  }

  /** Tells `changes` of whatever may matter; more often than needed rather than less, since reconciling compares. */
  follow(changes: Changes): void {
    // Our own writes of a profile's status come back as changes of it: they change no plan.
    this.profiles.onChange((_name, old, now) => {
      if (!isSameWish(old, now)) changes.plan();
      else if (now !== undefined) changes.report(now.metadata.name);
    });
    this.nodes.onChange((name) => changes.node(name));
    this.revisions.onChange(() => changes.plan());
    this.services.onChange(() => changes.plan());
    this.serviceCidrs.onChange(() => changes.plan());
    this.#policies?.follow(() => changes.plan());
    this.#changed = () => changes.plan();
    this.written.onChange((name, old, now) => {
      if (isSameWriting(old, now)) changes.progress(name);
      else changes.writing(name);
    });
  }

  revision(name: string): RevisionFacts | undefined {
    const uidOf = (profile: string): string | undefined => this.profiles.get(profile)?.metadata.uid;
    return this.revisions.get(`${this.#namespace}/${name}`) ?? this.lost.get(name, this.written.list(), uidOf);
  }

  clusterFacts(): ClusterFacts {
    const { clusterDns } = this.clusterDns();
    // What is not asked for at each look is followed no longer.
    if (this.#policies !== undefined) this.#dnsEndpoints();
    this.#ranges ??= clusterRanges(this.serviceCidrs.list(), this.nodes.list(), clusterDns.addresses);
    return {
      clusterDns,
      ranges: this.#ranges,
      serviceTarget: (ref) => this.serviceTargets.get(ref),
    };
  }

  /** Network policies that keep pods from the addresses at which the profile serves them; undefined where they are not looked for. */
  policyFinding({ spec }: LocalDnsProfile): PolicyFinding | undefined {
    if (this.#policies === undefined) return undefined;
    const { namespace, service, addresses: intercepted } = this.clusterDns().clusterDns;
    const { cluster } = defaultProfileSpec(spec).listeners;
    const addresses = [...(cluster?.addresses ?? []), ...(cluster?.intercept ? intercepted : [])];
    const found = [...this.services.list()].find(({ name }) => name === service);
    const labels = found?.selector ?? { [clusterDnsLabel.key]: clusterDnsLabel.value };
    const endpoints = this.#dnsEndpoints();
    const known = found === undefined ? [] : this.serviceTargets.endpointPorts({ namespace, name: service });
    const ports = podPorts({ dnsPorts: found?.dnsPorts ?? [] }, known);
    return this.#policies.finding({ labels, endpoints, ports }, addresses);
  }

  #dnsEndpoints(): ServiceTarget {
    const { clusterDns, isFound } = this.clusterDns();
    if (!isFound) return { kind: 'addresses', addresses: [] };
    return this.serviceTargets.endpoints({ namespace: clusterDns.namespace, name: clusterDns.service });
  }

  async stop(): Promise<void> {
    this.#policies?.stop();
    await Promise.all([
      ...this.stores.map((store) => store.stop()),
      this.serviceTargets.stop(),
      this.#policies?.stop(),
    ]);
  }

  /** The cluster DNS Service, or where we looked for it. */
  clusterDns(): { readonly clusterDns: ClusterDns; readonly isFound: boolean } {
    const found = chooseClusterDns(this.services.list());
    if (found !== undefined) return { clusterDns: found, isFound: true };
    const { namespace, name } = this.#wantedDns;
    return { clusterDns: { namespace, service: name, addresses: [] }, isFound: false };
  }
}

function isSameWish(old: Profile | undefined, now: Profile | undefined): boolean {
  return (
    old?.metadata.generation === now?.metadata.generation &&
    old?.metadata.uid === now?.metadata.uid &&
    old?.metadata.deletionTimestamp === now?.metadata.deletionTimestamp
  );
}

function isSameWriting(old: WrittenFacts | undefined, now: WrittenFacts | undefined): boolean {
  return (
    old?.uid === now?.uid &&
    old?.ownerUid === now?.ownerUid &&
    old?.profile === now?.profile &&
    old?.revision === now?.revision &&
    old?.profileRevision === now?.profileRevision &&
    old?.isIntact === now?.isIntact &&
    old?.withdrawnAtMs === now?.withdrawnAtMs &&
    old?.hasLeft === now?.hasLeft
  );
}
