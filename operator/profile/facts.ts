import { type Condition, type nodeConditions, reasons } from '../../api/v1alpha1/conditions.ts';
import { profileLabel, stateLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode, NodeHealth } from '../../api/v1alpha1/node.ts';
import { revisionOf } from '../../api/v1alpha1/node-config.ts';
import type { KubeObject } from '../../kube/resource.ts';

/**
 * What the operator retains of each object: all that its decisions need, and nothing that changes without changing them
 * (a kubelet renews its Node every few seconds; five thousand whole Nodes are 100 MB).
 */
export interface NodeFacts {
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly isReachable: boolean;
  /** Since when it is not ready; undefined where it is, 0 where that is not said. */
  readonly awaySinceMs?: number | undefined;
  /** Since when it is ready; undefined where it is not, or where that is not said. */
  readonly hereSinceMs?: number | undefined;
  /** 0 where it is not said. */
  readonly createdAtMs: number;
  /** Somebody takes it out of the cluster, or may: it goes away by itself. */
  readonly isLeaving: boolean;
  readonly podCIDRs: readonly string[];
}

interface NodeCondition {
  readonly type: string;
  readonly status: string;
  readonly lastTransitionTime?: string;
}

/** core/v1 Node, as far as it is read here. */
export interface Node extends KubeObject {
  readonly spec?: {
    readonly podCIDRs?: readonly string[];
    readonly unschedulable?: boolean;
    readonly taints?: readonly { readonly key: string }[];
  };
  readonly status?: { readonly conditions?: readonly NodeCondition[] };
}

/** What autoscalers put on a node that they are about to remove. */
const leavingTaints = ['ToBeDeletedByClusterAutoscaler', 'karpenter.sh/disrupted'];

export function nodeFacts({ metadata, spec, status }: Node): NodeFacts {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  // A node that never reported (no kubelet yet, or none at all) cannot be told from a healthy one: it counts.
  const isReachable = ready === undefined || ready.status === 'True';
  return {
    name: metadata.name,
    uid: metadata.uid ?? '',
    labels: metadata.labels ?? {},
    isReachable,
    awaySinceMs: isReachable ? undefined : timeOf(ready?.lastTransitionTime),
    hereSinceMs: isReachable ? timeOf(ready?.lastTransitionTime) || undefined : undefined,
    createdAtMs: timeOf(metadata.creationTimestamp),
    isLeaving:
      spec?.unschedulable === true ||
      metadata.deletionTimestamp !== undefined ||
      (spec?.taints?.some(({ key }) => leavingTaints.includes(key)) ?? false),
    podCIDRs: spec?.podCIDRs ?? [],
  };
}

const zoneLabel = 'topology.kubernetes.io/zone';
/** As the common providers and autoscalers mark the pool of a node. */
const poolLabels = [
  'kubernetes.azure.com/agentpool',
  'agentpool',
  'eks.amazonaws.com/nodegroup',
  'cloud.google.com/gke-nodepool',
  'karpenter.sh/nodepool',
];

/** What nodes have in common that may fail together. */
export function placeOf({ labels }: NodeFacts): { readonly zone: string; readonly pool: string } {
  const pool = poolLabels.find((label) => labels[label] !== undefined);
  return { zone: labels[zoneLabel] ?? '', pool: pool === undefined ? '' : (labels[pool] ?? '') };
}

export function isLinux({ labels }: NodeFacts): boolean {
  return (labels['kubernetes.io/os'] ?? 'linux') === 'linux';
}

/** The profile that the node's own label asks for, `none` included. */
export function profileLabelOf({ labels }: NodeFacts): string | undefined {
  const name = labels[profileLabel];
  return name === undefined || name === '' ? undefined : name;
}

export function stateLabelOf({ labels }: NodeFacts): string | undefined {
  return labels[stateLabel];
}

/** A LocalDnsNode without its configuration, which at five thousand nodes would be most of the operator's memory. */
export interface WrittenFacts {
  readonly name: string;
  readonly uid: string;
  /** Of the state that was seen. */
  readonly resourceVersion?: string | undefined;
  /** The uid of the Node that owns it. */
  readonly ownerUid: string | undefined;
  readonly profile: string;
  readonly revision: string;
  /** The ControllerRevision whose intent it carries; undefined where an operator wrote it that knew none. */
  readonly profileRevision: string | undefined;
  /** Undefined where the node is not judged by what it carries. */
  readonly trial: TrialTerms | undefined;
  /** 0 where it is not said. */
  readonly writtenAtMs: number;
  /** When anything of it was changed last, by whomever; undefined where that is not said. */
  readonly touchedAtMs?: number | undefined;
  /** Since when the node shall not be served any more; undefined where it shall. */
  readonly withdrawnAtMs: number | undefined;
  /** No query is led to its agent, which listens nowhere: by what it said of the spec that stands there now, or it never said anything. */
  readonly hasLeft: boolean;
  /** False where somebody changed the configuration behind the revision's back. */
  readonly isIntact: boolean;
  readonly report: AgentReport;
}

/** It was written for a machine that had the node's name before: what its agent said is of no other. */
export function isOfPast({ ownerUid }: Pick<WrittenFacts, 'ownerUid'>, { uid }: Pick<NodeFacts, 'uid'>): boolean {
  return ownerUid !== undefined && ownerUid !== uid;
}

/** As they stand in a LocalDnsNode. */
export interface TrialTerms {
  readonly soakSeconds: number;
  readonly probes: readonly string[];
  /** Undefined where an operator wrote it that did not count them. */
  readonly attempt?: number | undefined;
  /** The node was served nothing before, and joined while the rollout was under way. */
  readonly joined?: boolean | undefined;
  /** It was served before, by another profile or another revision. `false` where that would go without saying, and it was not. */
  readonly served?: boolean | undefined;
  /** It was given that when the rollout was over. */
  readonly late?: boolean | undefined;
}

/** What the node's agent said last. */
export interface AgentReport {
  /** The revision in force on the node, or '' where there is none yet. */
  readonly appliedRevision: string;
  readonly isServing: boolean;
  /** Since when it serves, or does not, by the clock of its node; undefined where that is not said. */
  readonly changedMs?: number | undefined;
  /** The configuration that stands there now is refused. */
  readonly isRefused: boolean;
  /** The agent is of a version that reports its health. */
  readonly measures: boolean;
  readonly health: NodeHealth | undefined;
  readonly agentVersion?: string | undefined;
  /** The formats of configurations that it reads; undefined where it has said nothing yet. */
  readonly configVersions?: readonly number[] | undefined;
  /** Why the newest configuration is refused or nothing is served; undefined where all is well or nothing was said yet. */
  readonly failure: string | undefined;
  /** Why queries that should be led to the agent are not; undefined where they are, or none should be. */
  readonly bypass?: string | undefined;
}

/** @param isIntact whether the revision is that of the configuration */
export function writtenFacts(
  { metadata, spec, status }: LocalDnsNode & KubeObject,
  isIntact = (config: unknown, revision: string): boolean => revisionOf(config) === revision,
): WrittenFacts {
  return {
    name: metadata.name,
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion,
    ownerUid: metadata.ownerReferences?.[0]?.uid,
    profile: spec.profile,
    revision: spec.revision,
    profileRevision: spec.profileRevision,
    trial: spec.trial,
    writtenAtMs: timeOf(spec.writtenAt),
    touchedAtMs: Math.max(0, ...(metadata.managedFields ?? []).map(({ time }) => timeOf(time))) || undefined,
    withdrawnAtMs: spec.withdrawnAt === undefined ? undefined : timeOf(spec.withdrawnAt),
    isIntact: isIntact(spec.config, spec.revision),
    hasLeft: hasLeft(status, metadata.generation ?? 0),
    report: agentReport(status, metadata.generation, spec.withdrawnAt !== undefined),
  };
}

/** What agents read that do not say. */
const FIRST_FORMAT: readonly number[] = [1];

function hasLeft(status: LocalDnsNode['status'], generation: number): boolean {
  if (status?.conditions === undefined) return true;
  if ((status.observedGeneration ?? 0) < generation) return false;
  const ways = status.conditions.filter(({ type }) => type === 'Serving' || type === 'Intercepting');
  return ways.every((condition) => condition.status === 'False');
}

function agentReport(
  status: LocalDnsNode['status'],
  generation: number | undefined,
  isWithdrawn: boolean,
): AgentReport {
  const condition = (type: (typeof nodeConditions)[number]): Condition | undefined =>
    status?.conditions?.find((candidate) => candidate.type === type);
  const applied = condition('ConfigApplied');
  const serving = condition('Serving');
  // A refusal counts only for the configuration that stands there now: the agent may not have seen the newest yet.
  const isRefused = applied?.status === 'False' && (applied.observedGeneration ?? generation) === generation;
  // Whoever is not to serve and does not has not failed.
  const isDown = serving?.status === 'False' && !isWithdrawn;
  const failed = isRefused ? applied : isDown ? serving : undefined;
  const interception = condition('Intercepting');
  const isBypassed = interception?.status === 'False' && interception.reason !== reasons.notWanted && !isWithdrawn;
  return {
    appliedRevision: status?.appliedRevision ?? '',
    isServing: serving?.status === 'True',
    changedMs: timeOf(serving?.lastTransitionTime) || undefined,
    isRefused,
    measures: status?.configVersions !== undefined,
    health: status?.health,
    agentVersion: status?.agentVersion,
    configVersions: status?.agentVersion === undefined ? undefined : (status.configVersions ?? FIRST_FORMAT),
    failure: failed === undefined ? undefined : failed.message || failed.reason || reasons.refused,
    bypass: isBypassed ? interception.message || interception.reason : undefined,
  };
}

function timeOf(time: string | undefined): number {
  const ms = Date.parse(time ?? '');
  return Number.isNaN(ms) ? 0 : ms;
}
