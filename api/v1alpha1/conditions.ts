/**
 * Condition types and reasons of both kinds: their only home.
 * Types are adjectives or past participles and reasons are CamelCase (Kubernetes API conventions, "Typical status properties").
 */

export const profileConditions = [
  'Accepted',
  'Programmed',
  'Progressing',
  'Degraded',
  'Conflicted',
  // Where the operator may read network policies.
  'NetworkPolicyConflict',
] as const;
export type ProfileConditionType = (typeof profileConditions)[number];

export const nodeConditions = ['ConfigApplied', 'Serving', 'Intercepting'] as const;
export type NodeConditionType = (typeof nodeConditions)[number];

export const reasons = {
  // LocalDnsProfile, Accepted
  valid: 'Valid',
  invalid: 'Invalid',
  partiallyInvalid: 'PartiallyInvalid',
  tooLarge: 'TooLarge',
  // Programmed, Progressing
  allNodesProgrammed: 'AllNodesProgrammed',
  noNodesSelected: 'NoNodesSelected',
  nodesPending: 'NodesPending',
  rolloutComplete: 'RolloutComplete',
  canarySoaking: 'CanarySoaking',
  rollingOut: 'RollingOut',
  rolloutPaused: 'RolloutPaused',
  rolloutHalted: 'RolloutHalted',
  rollingBack: 'RollingBack',
  rolledBack: 'RolledBack',
  disabled: 'ModeDisabled',
  deleting: 'Deleting',
  uninstalled: 'Uninstalled',
  // Degraded
  nodesFailed: 'NodesFailed',
  agentTooOld: 'AgentTooOld',
  agentTooNew: 'AgentTooNew',
  rolloutFailed: 'RolloutFailed',
  lateNodesFailed: 'LateNodesFailed',
  clusterDnsNotFound: 'ClusterDNSNotFound',
  notIntercepting: 'NodesNotIntercepting',
  healthy: 'Healthy',
  // Conflicted
  samePriority: 'SamePriority',
  noConflict: 'NoConflict',
  // NetworkPolicyConflict
  queriesDropped: 'QueriesDropped',
  noneFound: 'NoneFound',
  policiesUnread: 'NetworkPoliciesUnread',
  // LocalDnsNode, ConfigApplied
  applied: 'Applied',
  refused: 'Refused',
  // ConfigApplied, Serving and Intercepting of a node that is not to be served any more
  withdrawn: 'Withdrawn',
  // Serving
  listenersAnswering: 'ListenersAnswering',
  listenFailed: 'ListenFailed',
  // Intercepting
  intercepting: 'Intercepting',
  notServing: 'NotServing',
  notWanted: 'NotWanted',
  notAnswering: 'NotAnswering',
  rulesRefused: 'RulesRefused',
  rulesRemoved: 'RulesRemoved',
  loopFound: 'LoopFound',
  // Intercepting: what an agent's preflight finds on its node
  checkPassed: 'CheckPassed',
  notLinux: 'NotLinux',
  systemCallsUnavailable: 'SystemCallsUnavailable',
  capabilityMissing: 'CapabilityMissing',
  nftMissing: 'NftMissing',
  nftTooOld: 'NftTooOld',
  kernelFeatureMissing: 'KernelFeatureMissing',
  ipv6Missing: 'IPv6Missing',
  heldByIpvs: 'HeldByIPVS',
  anotherNodeLocalDns: 'AnotherNodeLocalDNS',
  addressTaken: 'AddressTaken',
  portTaken: 'PortTaken',
  networkPluginBypasses: 'NetworkPluginBypasses',
  inputDropped: 'InputDropped',
  answersDropped: 'AnswersDropped',
  shadowed: 'Shadowed',
  tableTaken: 'TableTaken',
  markTaken: 'MarkTaken',
  routeTableTaken: 'RouteTableTaken',
  rulesUnreadable: 'RulesUnreadable',
  hostFirewall: 'HostFirewall',
  kernelSetting: 'KernelSetting',
  // Events on a Node
  profileNotFound: 'ProfileNotFound',
} as const;
export type Reason = (typeof reasons)[keyof typeof reasons];

/** metav1.Condition, as both kinds' status carries it. */
export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  observedGeneration?: number | undefined;
  /** RFC 3339; moves only when `status` does. */
  lastTransitionTime: string;
  reason: string;
  message: string;
}

/** The condition to write: keeps the old transition time while `status` stays the same. */
export function nextCondition(
  old: readonly Condition[],
  next: Omit<Condition, 'lastTransitionTime'>,
  nowMs: number,
): Condition {
  const before = old.find((condition) => condition.type === next.type);
  const lastTransitionTime = before?.status === next.status ? before.lastTransitionTime : timestamp(nowMs);
  return { ...next, lastTransitionTime };
}

/** As the API writes times: metav1.Time has no fractions. */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
