/**
 * Network policies that let pods ask the pods of cluster DNS and nobody else. A query that an agent takes still bears the address that the
 * pod asked, which is no pod's: where policies are enforced on its way, such a policy drops it. Pure.
 */
import { isIPv6 } from 'node:net';
import { dnsPort } from '../../api/v1alpha1/address.ts';
import { contains, kubeNetwork, type Network, networkOf } from '../../api/v1alpha1/network.ts';
import type { LabelSelector } from '../../api/v1alpha1/profile.ts';
import type { KubeObject } from '../../kube/resource.ts';
import { matches } from './label-selector.ts';
import { type Claim, lacking, meets, requirementsOf } from './pod-selectors.ts';

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
  /** What an `ipBlock` of its rules has to name. */
  readonly cidrs: readonly string[];
}

export type PolicyFinding =
  | {
      readonly kind: 'known';
      readonly conflicts: Listed<PolicyConflict>;
      /** The names of policies that could not be understood, or that it would take too long to compare with their neighbours. */
      readonly unread: Listed<string>;
    }
  /** For people. */
  | { readonly kind: 'unknown'; readonly why: string }
  /** Not found out yet: what was said before stands. */
  | { readonly kind: 'pending' };

/** The first by name, as many as people read, and how many there are. */
export interface Listed<T> {
  readonly first: readonly T[];
  readonly count: number;
}

/** By which numbers and names policies know a port of pods. */
export interface PodPorts {
  readonly numbers: readonly number[];
  readonly names: readonly string[];
}

/** As far as is known of them. */
export interface DnsPods {
  readonly namespace: string;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  /** By which their Service selects them. */
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  /** Where they listen: policies are about what a Service's port has been translated to. */
  readonly ports: Readonly<Record<Protocol, PodPorts>>;
}

export const protocols = ['UDP', 'TCP'] as const;
export type Protocol = (typeof protocols)[number];

/** An address in question. */
interface Asked {
  readonly network: Network;
  readonly cidr: string;
  /** A bit for each protocol. */
  readonly ways: Readonly<Record<Protocol, number>>;
}

/** What one policy comes to, whatever others there are: the ways over which its pods may ask cluster DNS, and those that it opens. */
interface Outcome extends Claim {
  readonly name: string;
}

/** What the peers of a rule reach, whatever its ports. */
interface Reach {
  /** By what they are, and not by where they are. */
  readonly isForPods: boolean;
  readonly opened: readonly Asked[];
  /** Addresses that pods ask which reach those of cluster DNS by their addresses. */
  readonly askedFor: readonly Asked[];
}

/** As many as a message names. */
export const maxNamed = 20;
/** So many networks are compared before it is asked whether others shall have their turn. */
const BATCH = 32;
/** So long it goes on before they have. */
const STRETCH_MS = 5;

/**
 * Asks for the policies under which pods may ask cluster DNS and not `addresses` (at most 15). Policies add up: what another one of the same
 * namespace allows to the same pods, or to more, is no conflict. Whoever has a namespace may fill it with policies: each is looked at once for
 * as long as it stays as it is, a few milliseconds at a time.
 */
export class PolicyQuestion {
  readonly #dnsPods: DnsPods;
  readonly #podNetworks: readonly Network[];
  readonly #asked: readonly Asked[];
  /** Undefined where a policy could not be understood. */
  readonly #outcomes = new WeakMap<PolicyFacts, Outcome | undefined>();

  constructor(dnsPods: DnsPods, addresses: readonly string[]) {
    this.#dnsPods = dnsPods;
    this.#podNetworks = dnsPods.addresses.map(hostNetwork);
    this.#asked = addresses.map((address, at) => {
      const network = hostNetwork(address);
      const [UDP, TCP] = [1 << (2 * at), 2 << (2 * at)];
      return { network, cidr: `${address}/${network.bits}`, ways: { UDP, TCP } };
    });
  }

  /** @param pause lets others have their turn */
  async answer(
    policies: Iterable<PolicyFacts>,
    pause: () => Promise<void>,
    nowMs: () => number,
  ): Promise<PolicyFinding> {
    const steps = this.#search([...policies]);
    for (let sinceMs = nowMs(); ; ) {
      const { done, value } = steps.next();
      if (done) return value;
      if (nowMs() - sinceMs < STRETCH_MS) continue;
      await pause();
      sinceMs = nowMs();
    }
  }

  *#search(policies: readonly PolicyFacts[]): Generator<undefined, PolicyFinding> {
    const byNamespace = Map.groupBy(policies, ({ namespace }) => namespace);
    const conflicts = new FirstByName<{ readonly policy: string; readonly ways: number }>(({ policy }) => policy);
    const unread = new FirstByName<string>((name) => name);
    for (const neighbours of byNamespace.values()) {
      const outcomes: Outcome[] = [];
      for (const policy of neighbours) {
        const outcome = yield* this.#outcomeOf(policy);
        if (outcome === undefined) unread.add(nameOf(policy));
        else outcomes.push(outcome);
        yield undefined;
      }
      for (const [at, ways] of (yield* lacking(outcomes)).entries()) {
        const policy = outcomes[at]?.name ?? '';
        if (ways === undefined) unread.add(policy);
        else if (ways !== 0) conflicts.add({ policy, ways });
        yield undefined;
      }
    }
    const { first, count } = conflicts.listed;
    const named = first.map(({ policy, ways }) => ({ policy, cidrs: this.#cidrsOf(ways) }));
    return { kind: 'known', conflicts: { first: named, count }, unread: unread.listed };
  }

  #cidrsOf(lacking: number): string[] {
    const asked = this.#asked.filter(({ ways }) => ((ways.UDP | ways.TCP) & lacking) !== 0);
    return asked.map(({ cidr }) => cidr).sort();
  }

  *#outcomeOf(policy: PolicyFacts): Generator<undefined, Outcome | undefined> {
    if (this.#outcomes.has(policy)) return this.#outcomes.get(policy);
    let outcome: Outcome | undefined;
    try {
      outcome = yield* this.#look(policy);
    } catch {
      // Whatever the API server lets pass one day costs no more than what is said of this policy.
    }
    this.#outcomes.set(policy, outcome);
    return outcome;
  }

  *#look(policy: PolicyFacts): Generator<undefined, Outcome | undefined> {
    const requirements = requirementsOf(policy.podSelector);
    if (requirements === undefined) return undefined;
    // The pods of cluster DNS ask one another, and no agent.
    const isTheirOwn = policy.namespace === this.#dnsPods.namespace && meets(requirements, this.#dnsPods.labels);
    let needed = 0;
    let allowed = 0;
    for (const rule of JSON.parse(policy.egress) as Rule[]) {
      const { isForPods, opened, askedFor } = yield* this.#reach(rule, policy.namespace);
      for (const protocol of protocols) {
        const { numbers, names } = this.#dnsPods.ports[protocol];
        if (isForPods && opens(rule, protocol, numbers, names)) needed |= waysTo(this.#asked, protocol);
        else if (askedFor.length > 0 && opens(rule, protocol, numbers)) needed |= waysTo(askedFor, protocol);
        if (opened.length > 0 && opens(rule, protocol, [dnsPort])) allowed |= waysTo(opened, protocol);
      }
      yield undefined;
    }
    return { name: nameOf(policy), needed: isTheirOwn ? 0 : needed, allowed, requirements };
  }

  /** By networks: a pod that has no IPv6 misses no IPv6 address. */
  *#reach({ to = [] }: Rule, own: string): Generator<undefined, Reach> {
    // Without peers it is for everybody (networking.k8s.io/v1, NetworkPolicyEgressRule).
    if (to.length === 0) return { isForPods: true, opened: this.#asked, askedFor: [] };
    const opened = new Set<Asked>();
    const families = new Set<Network['family']>();
    let isForPods = false;
    for (const [at, peer] of to.entries()) {
      if (peer.ipBlock === undefined) isForPods ||= this.#isDnsPods(peer, own);
      else {
        const inside = yield* this.#inside(peer.ipBlock);
        for (const asked of this.#asked) if (inside.includes(asked.network)) opened.add(asked);
        for (const pod of this.#podNetworks) if (inside.includes(pod)) families.add(pod.family);
      }
      if (at % BATCH === 0) yield undefined;
    }
    const askedFor = this.#asked.filter(({ network }) => families.has(network.family));
    return { isForPods, opened: [...opened], askedFor };
  }

  /** Which of the addresses in question, and of those of the pods, are in the block. */
  *#inside({ cidr, except = [] }: NonNullable<Peer['ipBlock']>): Generator<undefined, readonly Network[]> {
    const network = kubeNetwork(cidr);
    const all = [...this.#asked.map((asked) => asked.network), ...this.#podNetworks];
    let inside = all.filter((one) => network !== undefined && contains(network, one));
    for (const [at, text] of except.entries()) {
      if (inside.length === 0) break;
      const hole = kubeNetwork(text);
      inside = inside.filter((one) => hole === undefined || !contains(hole, one));
      if (at % BATCH === 0) yield undefined;
    }
    return inside;
  }

  #isDnsPods({ podSelector, namespaceSelector }: Peer, own: string): boolean {
    const { namespace, namespaceLabels, labels } = this.#dnsPods;
    const isThere = namespaceSelector === undefined ? own === namespace : matches(namespaceSelector, namespaceLabels);
    return isThere && matches(podSelector ?? {}, labels);
  }
}

/** Whether the rule is about a port with one of these numbers or names; without ports it is about all. */
function opens(
  { ports }: Rule,
  protocol: Protocol,
  numbers: readonly number[],
  names: readonly string[] = [],
): boolean {
  if (ports === undefined || ports.length === 0) return true;
  return ports.some(({ protocol: given = 'TCP', port, endPort }) => {
    if (given !== protocol) return false;
    if (port === undefined) return true;
    if (typeof port === 'string') return names.includes(port);
    return numbers.some((number) => port <= number && number <= (endPort ?? port));
  });
}

function waysTo(asked: readonly Asked[], protocol: Protocol): number {
  return asked.reduce((all, { ways }) => all | ways[protocol], 0);
}

/** Keeps no more than people read: a hostile namespace has thousands. */
class FirstByName<T> {
  readonly #nameOf: (one: T) => string;
  readonly #first: T[] = [];
  #count = 0;

  constructor(nameOf: (one: T) => string) {
    this.#nameOf = nameOf;
  }

  add(one: T): void {
    this.#count += 1;
    const name = this.#nameOf(one);
    const at = this.#first.findIndex((other) => name < this.#nameOf(other));
    this.#first.splice(at < 0 ? this.#first.length : at, 0, one);
    this.#first.length = Math.min(this.#first.length, maxNamed);
  }

  get listed(): Listed<T> {
    return { first: this.#first, count: this.#count };
  }
}

function hostNetwork(address: string): Network {
  return networkOf(address, isIPv6(address) ? 128 : 32);
}

function nameOf({ namespace, name }: PolicyFacts): string {
  return `${namespace}/${name}`;
}
