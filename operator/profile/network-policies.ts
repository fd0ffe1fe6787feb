/**
 * Network policies that let pods ask the pods of cluster DNS and nobody else. A query that an agent takes still bears the address that the
 * pod asked, which is no pod's: where policies are enforced on its way, such a policy drops it. Pure.
 */
import { BlockList, isIPv6 } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { dnsPort } from '../../api/v1alpha1/address.ts';
import type { LabelSelector } from '../../api/v1alpha1/profile.ts';
import type { KubeObject } from '../../kube/resource.ts';
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
  readonly egress: readonly Rule[];
}

export function policyFacts({ metadata, spec }: NetworkPolicy): PolicyFacts {
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    podSelector: spec?.podSelector ?? {},
    // Where it is not said, egress is meant by those that have rules for it (networking.k8s.io/v1, `policyTypes`).
    egress: spec?.policyTypes?.includes('Egress') === false ? [] : (spec?.egress ?? []),
  };
}

export interface PolicyConflict {
  /** `namespace/name`. */
  readonly policy: string;
  /** What an `ipBlock` beside its rule for cluster DNS has to name. */
  readonly cidrs: readonly string[];
}

/** As far as is known of them: where they are, and the labels by which their Service selects them. */
export interface DnsPods {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

const protocols = ['UDP', 'TCP'] as const;
/** As the pods of cluster DNS name port 53 for each. */
const portNames = { UDP: 'dns', TCP: 'dns-tcp' } as const;
type Protocol = (typeof protocols)[number];

/** The label that every Namespace has (Kubernetes API: "Automatic labelling"), and the one that people put there before. */
const namespaceLabels = (name: string) => ({ 'kubernetes.io/metadata.name': name, name });

/**
 * The policies under which pods may ask cluster DNS and not `addresses`, sorted by name. Policies add up: what another one
 * of the same namespace allows to the same pods, or to all, is no conflict.
 */
export function policyConflicts(
  policies: Iterable<PolicyFacts>,
  dnsPods: DnsPods,
  addresses: readonly string[],
): PolicyConflict[] {
  const byNamespace = Map.groupBy(policies, ({ namespace }) => namespace);
  return [...byNamespace.values()]
    .flatMap((neighbours) => neighbours.map((policy) => ({ policy, neighbours })))
    .flatMap(({ policy, neighbours }) => {
      const asked = protocols.filter((protocol) => {
        return policy.egress.some((rule) => isForPods(rule, protocol, policy.namespace, dnsPods));
      });
      if (asked.length === 0) return [];
      const rules = neighbours.filter((other) => addsTo(other, policy)).flatMap(({ egress }) => egress);
      const lacking = addresses.filter((address) => {
        return asked.some((protocol) => !rules.some((rule) => allows(rule, protocol, address)));
      });
      if (lacking.length === 0) return [];
      const cidrs = lacking.map((address) => `${address}/${isIPv6(address) ? 128 : 32}`).sort();
      return [{ policy: `${policy.namespace}/${policy.name}`, cidrs }];
    })
    .sort((a, b) => (a.policy < b.policy ? -1 : 1));
}

/** Of policies in one namespace: whether all pods that `policy` is about are pods that `other` is about, as far as that can be seen without looking at pods. */
function addsTo(other: PolicyFacts, policy: PolicyFacts): boolean {
  const { matchLabels = {}, matchExpressions = [] } = other.podSelector;
  const selectsAll = Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
  return selectsAll || isDeepStrictEqual(other.podSelector, policy.podSelector);
}

/** Whether the rule is one for asking the pods of cluster DNS, and no blank cheque. */
function isForPods(rule: Rule, protocol: Protocol, namespace: string, dnsPods: DnsPods): boolean {
  if (!opens(rule, protocol, true)) return false;
  return (rule.to ?? []).some(({ ipBlock, podSelector, namespaceSelector }) => {
    if (ipBlock !== undefined) return false;
    const isThere =
      namespaceSelector === undefined
        ? namespace === dnsPods.namespace
        : matches(namespaceSelector, namespaceLabels(dnsPods.namespace));
    return isThere && matches(podSelector ?? {}, dnsPods.labels);
  });
}

function allows(rule: Rule, protocol: Protocol, address: string): boolean {
  if (!opens(rule, protocol, false)) return false;
  // Without peers it is for everybody (networking.k8s.io/v1, NetworkPolicyEgressRule).
  if (rule.to === undefined || rule.to.length === 0) return true;
  return rule.to.some(({ ipBlock }) => {
    return (
      ipBlock !== undefined &&
      contains(ipBlock.cidr, address) &&
      !(ipBlock.except ?? []).some((cidr) => contains(cidr, address))
    );
  });
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

function contains(cidr: string, address: string): boolean {
  const [network = '', bits = ''] = cidr.split('/');
  const family = isIPv6(network) ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  list.addSubnet(network, Number(bits), family);
  return list.check(address, family);
}
