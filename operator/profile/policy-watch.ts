import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { ServiceTarget } from '../../api/v1alpha1/profile-parts.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../kube/clock.ts';
import { type KubeObject, NAMESPACES, NETWORK_POLICIES, type Resource } from '../../kube/resource.ts';
import { Store, type StoreTiming, type Trouble } from '../../kube/store.ts';
import {
  type DnsPods,
  type NetworkPolicy,
  type PolicyFacts,
  type PolicyFinding,
  PolicyQuestion,
  policyFacts,
} from './network-policies.ts';

export interface PolicyWatchOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  /** That of cluster DNS. */
  readonly namespace: string;
  readonly clock: Clock;
  readonly timing: Partial<StoreTiming>;
  readonly onTrouble: (plural: string, trouble: Trouble | undefined) => void;
  /** Lets others have their turn. */
  readonly pause?: () => Promise<void>;
}

interface Search {
  readonly question: PolicyQuestion;
  /** The last one: it stands while the next is searched for. */
  answer: PolicyFinding;
  /** Of the policies that it is about. */
  version: number | undefined;
  /** When it was found. */
  atMs: number | undefined;
}

type Labels = Readonly<Record<string, string>>;

/** More than there are sets of listeners in one cluster. */
const MAX_QUESTIONS = 64;
/** Whoever changes a policy all the time, among thousands, gets a tenth of a processor; and a few seconds are soon enough for a person. */
const REST_FACTOR = 10;
const MAX_REST_MS = 10_000;
/** Policies may be a megabyte each, and a page of a list is read in one piece. */
const PAGE_SIZE = 16;

const pending: PolicyFinding = { kind: 'pending' };

/** The network policies of the cluster, and of the namespace of cluster DNS the labels by which these may name it. */
export class PolicyWatch {
  readonly stores: readonly [Store<NetworkPolicy, PolicyFacts>, Store<KubeObject, Labels>];
  readonly #policies: Store<NetworkPolicy, PolicyFacts>;
  readonly #namespaces: Store<KubeObject, Labels>;
  readonly #namespace: string;
  readonly #synced = new WeakSet<object>();
  #dnsPods: DnsPods | undefined;
  /** By the addresses in question: profiles are reported far more often than policies change. */
  readonly #searches = new Map<string, Search>();
  readonly #clock: Clock;
  readonly #pause: () => Promise<void>;
  /** Of the policies: one more for each change. */
  #version = 0;
  #running: Promise<void> | undefined;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;
  /** The end of a rest. */
  #cancel = (): void => {};
  #changed = (): void => {};

  constructor({ client, namespace, clock, timing, onTrouble, pause = () => setImmediate() }: PolicyWatchOptions) {
    const common = (resource: Resource) => ({
      ...{ client, resource, clock, timing: { pageSize: PAGE_SIZE, ...timing } },
      onTrouble: (trouble: Trouble | undefined) => {
        onTrouble(resource.plural, trouble);
        this.#changed();
      },
    });
    this.#namespace = namespace;
    this.#clock = clock;
    this.#pause = pause;
    this.#policies = new Store({ ...common(NETWORK_POLICIES), keep: policyFacts });
    this.#namespaces = new Store({
      ...common(NAMESPACES),
      fieldSelector: `metadata.name=${namespace}`,
      keep: ({ metadata }: KubeObject) => metadata.labels ?? {},
    });
    this.stores = [this.#policies, this.#namespaces];
    this.#policies.onChange(() => {
      this.#version += 1;
    });
  }

  follow(changed: () => void): void {
    this.#changed = changed;
    for (const store of [this.#policies, this.#namespaces]) {
      store.onChange(changed);
      void store.synced.then(() => {
        this.#synced.add(store);
        changed();
      });
    }
  }

  /** Those that keep pods from these addresses, as far as that is found out; what is not is searched for, and then told. */
  finding(
    {
      labels,
      endpoints,
      ports,
    }: Pick<DnsPods, 'labels' | 'ports'> & {
      /** Where the pods of cluster DNS are. */
      readonly endpoints: ServiceTarget;
    },
    addresses: readonly string[],
  ): PolicyFinding {
    for (const store of this.stores) {
      if (this.#synced.has(store)) continue;
      // An API server that is away comes back; a right that is missing has to be given by somebody who is told.
      if (store.trouble?.code !== 'KUBE_API_403') return pending;
      return { kind: 'unknown', why: `${store.plural} cannot be read: ${store.trouble.message}` };
    }
    if (endpoints.kind === 'unknown') return pending;
    const namespace = this.#namespace;
    const namespaceLabels = this.#namespaces.get(namespace) ?? {};
    const podAddresses = endpoints.kind === 'addresses' ? endpoints.addresses : [];
    return this.#answer({ namespace, namespaceLabels, labels, ports, addresses: podAddresses }, addresses);
  }

  /** What is searched for then is never found. */
  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #answer(dnsPods: DnsPods, addresses: readonly string[]): PolicyFinding {
    if (!isDeepStrictEqual(dnsPods, this.#dnsPods) || this.#searches.size > MAX_QUESTIONS) {
      this.#dnsPods = dnsPods;
      this.#searches.clear();
    }
    const key = addresses.join();
    let search = this.#searches.get(key);
    if (search === undefined) {
      const question = new PolicyQuestion(dnsPods, addresses);
      search = { question, answer: pending, version: undefined, atMs: undefined };
      this.#searches.set(key, search);
    }
    this.#goOn();
    return search.answer;
  }

  /** One after the other: of many at once each would take its stretch before anybody else has a turn. */
  #goOn(): void {
    if (this.#isStopped || this.#running !== undefined) return;
    this.#cancel();
    const open = [...this.#searches.values()].filter(({ version }) => version !== this.#version);
    const next = open.find(({ atMs }) => atMs === undefined) ?? open.sort((a, b) => (a.atMs ?? 0) - (b.atMs ?? 0))[0];
    if (next === undefined) return;
    const restMs = this.#restUntilMs - this.#clock.nowMs();
    if (next.atMs !== undefined && restMs > 0) {
      this.#cancel = this.#clock.after(restMs, () => this.#goOn());
      return;
    }
    this.#running = this.#search(next).finally(() => {
      this.#running = undefined;
      this.#goOn();
    });
  }

  async #search(search: Search): Promise<void> {
    const clock = this.#clock;
    const version = this.#version;
    const sinceMs = clock.nowMs();
    const before = search.answer;
    const pause = () => (this.#isStopped ? new Promise<never>(() => {}) : this.#pause());
    try {
      search.answer = await search.question.answer(this.#policies.list(), pause, () => clock.nowMs());
      search.version = version;
    } catch (error) {
      // A fault of our own, which may be over the next time.
      search.answer = { kind: 'unknown', why: `network policies could not be compared: ${error}` };
    }
    search.atMs = clock.nowMs();
    const hasFailed = search.version !== version;
    const restMs = hasFailed ? MAX_REST_MS : Math.min((search.atMs - sinceMs) * REST_FACTOR, MAX_REST_MS);
    this.#restUntilMs = Math.max(this.#restUntilMs, search.atMs + restMs);
    if (!isDeepStrictEqual(before, search.answer)) this.#changed();
  }
}
