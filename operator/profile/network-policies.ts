/**
 * Network policies that let pods ask the pods of cluster DNS and nobody else. A query that an agent takes still bears the address that the
 * pod asked, which is no pod's: where policies are enforced on its way, such a policy drops it. Pure.
 */
import { isIPv6 } from 'node:net';
import { dnsPort } from '../../api/v1alpha1/address.ts';
import { contains, kubeNetwork, type Network, networkOf } from '../../api/v1alpha1/network.ts';
import type { LabelSelector } from '../../api/v1alpha1/profile.ts';
import type { KubeObject } from '../../kube/resource.ts';
import { type Grant, grantsTo, meets, requirementsOf } from './pod-selectors.ts';
import { matches } from './select.ts';

interface Port {
  readonly protocol?: string;
  /** A number, or the name of a pod's port. */
  readonly port?: number | string;
  readonly endPort?: number;
}

interface Peer {
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
}

interface Rule {
  readonly ports?: readonly Port[];
  readonly to?: readonly Peer[];
}

/** networking.k8s.io/v1 NetworkPolicy, as far as it is read here. */
export interface NetworkPolicy extends KubeObject {
  readonly spec?: {
    readonly podSelector?: LabelSelector;
    readonly policyTypes?: readonly string[];
    readonly egress?: readonly Rule[];
  };
}

/** What is retained of one: whom it is about, and where these may send to. */
export interface PolicyFacts {
  readonly namespace: string;
  readonly name: string;
  readonly podSelector: LabelSelector;
  /** As JSON, which takes a fifth of the memory: lists of networks may be long, and each is looked at once. */
  readonly egress: string;
}

export function policyFacts({ metadata, spec }: NetworkPolicy): PolicyFacts {
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    podSelector: spec?.podSelector ?? {},
    // Where it is not said, egress is meant by those that have rules for it (networking.k8s.io/v1, `policyTypes`).
    egress: JSON.stringify(spec?.policyTypes?.includes('Egress') === false ? [] : (spec?.egress ?? [])),
  };
}

export interface PolicyConflict {
  /** `namespace/name`. */
  readonly policy: string;
  /** What an `ipBlock` beside its rule for cluster DNS has to name. */
  readonly cidrs: readonly string[];
}

export type PolicyFinding =
  | {
      readonly kind: 'known';
      /** Sorted by name. */
      readonly conflicts: readonly PolicyConflict[];
      /** The names of policies that could not be understood. */
      readonly unread: readonly string[];
    }
  /** For people. */
  | { readonly kind: 'unknown'; readonly why: string };

/** As far as is known of them. */
export interface DnsPods {
  readonly namespace: string;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  /** By which their Service selects them. */
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
}

const protocols = ['UDP', 'TCP'] as const;
/** As the pods of cluster DNS name port 53 for each. */
const portNames = { UDP: 'dns', TCP: 'dns-tcp' } as const;
type Protocol = (typeof protocols)[number];

/** An address in question. */
interface Asked {
  readonly address: string;
  readonly network: Network;
}

/** An address over a protocol, as text. */
type Way = string;
const wayTo = ({ address }: Asked, protocol: Protocol): Way => `${protocol} ${address}`;

/** What one policy comes to, whatever others there are. */
interface Outcome extends Grant {
  readonly policy: string;
  /** Over such protocols its pods may ask cluster DNS. */
  readonly needed: ReadonlySet<Way>;
}

/** So many networks are compared before others have their turn: some milliseconds. */
const BATCH = 2_000;

/**
 * Asks for the policies under which pods may ask cluster DNS and not `addresses`. Policies add up: what another one of the same namespace
 * allows to the same pods, or to more, is no conflict. Whoever has a namespace may fill it with policies: each is looked at once for as
 * long as it stays as it is.
 */
export class PolicyQuestion {
  readonly #dnsPods: DnsPods;
  readonly #podNetworks: readonly Network[];
  readonly #asked: readonly Asked[];
  /** Undefined where a policy could not be understood. */
  readonly #outcomes = new WeakMap<PolicyFacts, Outcome | undefined>();
  #compared = 0;

  constructor(dnsPods: DnsPods, addresses: readonly string[]) {
    this.#dnsPods = dnsPods;
    this.#podNetworks = dnsPods.addresses.map(hostNetwork);
    this.#asked = addresses.map((address) => ({ address, network: hostNetwork(address) }));
  }

  /** @param pause lets others have their turn */
  async answer(policies: Iterable<PolicyFacts>, pause: () => Promise<void>): Promise<PolicyFinding> {
    const conflicts: PolicyConflict[] = [];
    const unread: string[] = [];
    for (const neighbours of Map.groupBy(policies, ({ namespace }) => namespace).values()) {
      const outcomes: Outcome[] = [];
      for (const policy of neighbours) {
        const outcome = this.#outcomeOf(policy);
        if (outcome === undefined) unread.push(nameOf(policy));
        else outcomes.push(outcome);
        if (this.#compared < BATCH) continue;
        this.#compared = 0;
        await pause();
      }
      conflicts.push(...this.#conflicts(outcomes));
    }
    conflicts.sort((a, b) => (a.policy < b.policy ? -1 : 1));
    return { kind: 'known', conflicts, unread: unread.sort() };
  }

  #conflicts(neighbours: readonly Outcome[]): PolicyConflict[] {
    const grants = grantsTo(neighbours);
    return neighbours.flatMap(({ policy, needed, requirements }) => {
      if (needed.size === 0) return [];
      const granted = grants(requirements);
      const lacks = (way: Way): boolean => needed.has(way) && !granted.some((allowed) => allowed.has(way));
      const lacking = this.#asked.filter((asked) => protocols.some((protocol) => lacks(wayTo(asked, protocol))));
      const cidrs = lacking.map(({ address, network }) => `${address}/${network.bits}`).sort();
      return cidrs.length === 0 ? [] : { policy, cidrs };
    });
  }

  #outcomeOf(policy: PolicyFacts): Outcome | undefined {
    this.#compared += 1;
    if (this.#outcomes.has(policy)) return this.#outcomes.get(policy);
    let outcome: Outcome | undefined;
    try {
      outcome = this.#look(policy);
    } catch {
      // Whatever the API server lets pass one day costs no more than what is said of this policy.
    }
    this.#outcomes.set(policy, outcome);
    return outcome;
  }

  #look(policy: PolicyFacts): Outcome {
    const requirements = requirementsOf(policy.podSelector);
    // The pods of cluster DNS ask one another, and no agent.
    const isTheirOwn = policy.namespace === this.#dnsPods.namespace && meets(requirements, this.#dnsPods.labels);
    const needed = new Set<Way>();
    const allowed = new Set<Way>();
    for (const rule of JSON.parse(policy.egress) as Rule[]) {
      const { opened, askedFor } = this.#reach(rule);
      const isForPods = (rule.to ?? []).some((peer) => this.#isDnsPods(peer, policy.namespace));
      for (const protocol of protocols) {
        if (isForPods && opens(rule, protocol, true))
          for (const asked of this.#asked) needed.add(wayTo(asked, protocol));
        if (!opens(rule, protocol, false)) continue;
        for (const asked of askedFor) needed.add(wayTo(asked, protocol));
        for (const asked of opened) allowed.add(wayTo(asked, protocol));
      }
    }
    return { policy: nameOf(policy), needed: isTheirOwn ? new Set() : needed, allowed, requirements };
  }

  /**
   * By the networks that the rule names: the addresses that it opens, and those that pods ask which reach the pods of cluster DNS by it
   * (a pod that has no IPv6 misses no IPv6 address).
   */
  #reach({ to = [] }: Rule): { readonly opened: readonly Asked[]; readonly askedFor: readonly Asked[] } {
    // Without peers it is for everybody (networking.k8s.io/v1, NetworkPolicyEgressRule), and no rule for cluster DNS.
    if (to.length === 0) return { opened: this.#asked, askedFor: [] };
    const opened = new Set<Asked>();
    const families = new Set<Network['family']>();
    for (const { ipBlock } of to) {
      if (ipBlock === undefined) continue;
      const { cidr, except = [] } = ipBlock;
      this.#compared += 1 + except.length;
      const network = kubeNetwork(cidr);
      const holes = except.flatMap((hole) => kubeNetwork(hole) ?? []);
      const has = (inner: Network): boolean =>
        network !== undefined && contains(network, inner) && !holes.some((hole) => contains(hole, inner));
      for (const asked of this.#asked) if (has(asked.network)) opened.add(asked);
      for (const pod of this.#podNetworks) if (has(pod)) families.add(pod.family);
    }
    return { opened: [...opened], askedFor: this.#asked.filter(({ network }) => families.has(network.family)) };
  }

  #isDnsPods({ ipBlock, podSelector, namespaceSelector }: Peer, own: string): boolean {
    if (ipBlock !== undefined) return false;
    const { namespace, namespaceLabels, labels } = this.#dnsPods;
    const isThere = namespaceSelector === undefined ? own === namespace : matches(namespaceSelector, namespaceLabels);
    return isThere && matches(podSelector ?? {}, labels);
  }
}

/** Whether the rule is about port 53; without ports it is about all. An address has no ports with names. */
function opens({ ports }: Rule, protocol: Protocol, ofPods: boolean): boolean {
  if (ports === undefined || ports.length === 0) return true;
  return ports.some(({ protocol: given = 'TCP', port, endPort }) => {
    if (given !== protocol) return false;
    if (port === undefined) return true;
    if (typeof port === 'string') return ofPods && port === portNames[protocol];
    return port <= dnsPort && dnsPort <= (endPort ?? port);
  });
}

function hostNetwork(address: string): Network {
  return networkOf(address, isIPv6(address) ? 128 : 32);
}

function nameOf({ namespace, name }: PolicyFacts): string {
  return `${namespace}/${name}`;
}
