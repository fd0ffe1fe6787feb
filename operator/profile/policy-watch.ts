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
}

type Labels = Readonly<Record<string, string>>;

/** More than there are sets of listeners in one cluster. */
const MAX_QUESTIONS = 64;

/** The network policies of the cluster, and of the namespace of cluster DNS the labels by which these may name it. */
export class PolicyWatch {
  readonly stores: readonly [Store<NetworkPolicy, PolicyFacts>, Store<KubeObject, Labels>];
  readonly #policies: Store<NetworkPolicy, PolicyFacts>;
  readonly #namespaces: Store<KubeObject, Labels>;
  readonly #namespace: string;
  readonly #synced = new WeakSet<object>();
  #dnsPods: DnsPods | undefined;
  /** By the addresses in question: profiles are reported far more often than policies change. */
  readonly #questions = new Map<string, PolicyQuestion>();
  readonly #answers = new Map<string, Promise<PolicyFinding>>();
  #changed = (): void => {};

  constructor({ client, namespace, clock, timing, onTrouble }: PolicyWatchOptions) {
    const common = (resource: Resource) => ({
      ...{ client, resource, clock, timing },
      onTrouble: (trouble: Trouble | undefined) => {
        onTrouble(resource.plural, trouble);
        this.#changed();
      },
    });
    this.#namespace = namespace;
    this.#policies = new Store({ ...common(NETWORK_POLICIES), keep: policyFacts });
    this.#namespaces = new Store({
      ...common(NAMESPACES),
      fieldSelector: `metadata.name=${namespace}`,
      keep: ({ metadata }: KubeObject) => metadata.labels ?? {},
    });
    this.stores = [this.#policies, this.#namespaces];
    this.#policies.onChange(() => this.#answers.clear());
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

  /**
   * Those that keep pods from these addresses; undefined where it is not found out yet.
   * @param endpoints where the pods of cluster DNS are
   */
  async finding(
    { labels, endpoints }: Pick<DnsPods, 'labels'> & { readonly endpoints: ServiceTarget },
    addresses: readonly string[],
  ): Promise<PolicyFinding | undefined> {
    for (const store of this.stores) {
      if (this.#synced.has(store)) continue;
      // An API server that is away comes back; a right that is missing has to be given by somebody who is told.
      if (store.trouble?.code !== 'KUBE_API_403') return undefined;
      return { kind: 'unknown', why: `${store.plural} cannot be read: ${store.trouble.message}` };
    }
    if (endpoints.kind === 'unknown') return undefined;
    const namespace = this.#namespace;
    const namespaceLabels = this.#namespaces.get(namespace) ?? {};
    const podAddresses = endpoints.kind === 'addresses' ? endpoints.addresses : [];
    return this.#answer({ namespace, namespaceLabels, labels, addresses: podAddresses }, addresses);
  }

  #answer(dnsPods: DnsPods, addresses: readonly string[]): Promise<PolicyFinding> {
    if (!isDeepStrictEqual(dnsPods, this.#dnsPods) || this.#questions.size > MAX_QUESTIONS) {
      this.#dnsPods = dnsPods;
      this.#questions.clear();
      this.#answers.clear();
    }
    const key = addresses.join();
    const question = this.#questions.get(key) ?? new PolicyQuestion(dnsPods, addresses);
    this.#questions.set(key, question);
    const answer = this.#answers.get(key) ?? question.answer(this.#policies.list(), () => setImmediate());
    this.#answers.set(key, answer);
    return answer;
  }
}
