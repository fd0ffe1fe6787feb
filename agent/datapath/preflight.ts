/** Whether queries can be intercepted on this node, judged from facts that were gathered before. */
import { caughtAddresses, type NodeFacts } from './preflight/facts.ts';
import type { Check, Finding } from './preflight/finding.ts';
import { hostFirewall, inputChains, markBits, ourTable, outputChains, shadowingRules } from './preflight/firewall.ts';
import { capabilities, ipv6, kernel, kernelSettings, nft, platform, systemCalls } from './preflight/machine.ts';
import {
  addressesOnInterfaces,
  loopbackListeners,
  networkPlugin,
  otherNodeLocalDns,
  ports,
} from './preflight/neighbours.ts';
import { policyRules, routeTable } from './preflight/policy-routing.ts';

/** In the order in which a person would look. */
const checks: readonly Check<NodeFacts>[] = [
  platform,
  systemCalls,
  capabilities,
  nft,
  kernel,
  ipv6,
  otherNodeLocalDns,
  addressesOnInterfaces,
  loopbackListeners,
  ports,
  networkPlugin,
  ourTable,
  inputChains,
  outputChains,
  shadowingRules,
  hostFirewall,
  markBits,
  policyRules,
  routeTable,
  kernelSettings,
];

/** What each check says; those that could not look at anything (no nft, no rights) say nothing, for their cause is told. */
export function preflight(facts: NodeFacts): Finding[] {
  if (facts.platform !== 'linux') return platform(facts);
  return checks.flatMap((check) => check(facts));
}

/** What remains possible: nothing where a finding forbids all of it, else all but the addresses that findings name. */
export interface Clearance {
  /** Forbids interception altogether. */
  readonly obstacle: Finding | undefined;
  /** By address: why it cannot be intercepted. */
  readonly excluded: ReadonlyMap<string, Finding>;
}

export function clearance(findings: readonly Finding[], facts: Pick<NodeFacts, 'wanted'>): Clearance {
  const blocking = findings.filter(({ level }) => level === 'blocking');
  const excluded = new Map<string, Finding>();
  for (const finding of blocking) {
    if (finding.address !== undefined && !excluded.has(finding.address)) excluded.set(finding.address, finding);
  }
  const caught = caughtAddresses(facts.wanted);
  const all = caught.length > 0 && caught.every((address) => excluded.has(address));
  const obstacle =
    blocking.find(({ address }) => address === undefined) ?? (all ? excluded.get(caught[0] ?? '') : undefined);
  return { obstacle, excluded };
}
