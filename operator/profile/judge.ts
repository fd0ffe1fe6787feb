import { isDeepStrictEqual } from 'node:util';
import { type Reason, reasons } from '../../api/v1alpha1/conditions.ts';
import type { ServiceRef } from '../../api/v1alpha1/local-answers.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type { ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../../api/v1alpha1/profile-defaults.ts';
import { type ServiceTarget, settleParts } from '../../api/v1alpha1/profile-parts.ts';
import type { FieldError } from '../../api/v1alpha1/profile-validation.ts';
import type { ClusterDns } from './cluster-dns.ts';
import { type Findings, foundAtOnce } from './findings.ts';
import { configsOf, type Renderers, type Renderings, render, renderers } from './versions.ts';

/** What is the same for all nodes. */
export interface ClusterFacts {
  readonly clusterDns: ClusterDns;
  /** The networks of pods and Services. */
  readonly ranges: readonly string[];
  readonly serviceTarget: (ref: ServiceRef) => ServiceTarget;
}

/** What one spec means before nodes are looked at: refused, serving nothing, or a configuration. */
export type Verdict =
  | { readonly kind: 'refused'; readonly reason: Reason; readonly errors: readonly FieldError[] }
  | { readonly kind: 'disabled' }
  | { readonly kind: 'unknown' }
  | {
      readonly kind: 'rendered';
      readonly config: NodeConfig;
      readonly revision: string;
      /** The same in every format; config and revision are of the newest. */
      readonly renderings: Renderings;
      readonly leftOut: readonly FieldError[];
    };

export type Judge = (spec: ProfileSpec, cluster: ClusterFacts) => Verdict;

/** etcd takes 1.5 MB at most, and every agent reads the whole of its object at every change: five thousand of these are 320 MB. */
export const maxConfigBytes = 65_536;

export function judge(
  spec: ProfileSpec,
  { clusterDns, ranges, serviceTarget }: ClusterFacts,
  by: Renderers = renderers,
  findings: Findings = foundAtOnce(spec),
  reason: Reason = reasons.invalid,
): Verdict {
  const { errors, patterns } = findings;
  const without = (over: number): Verdict | undefined => {
    const crowded = largestServices(spec, serviceTarget, over);
    if (crowded === undefined) return undefined;
    const target: ClusterFacts['serviceTarget'] = (ref) => crowded.get(JSON.stringify(ref)) ?? serviceTarget(ref);
    return judge(spec, { clusterDns, ranges, serviceTarget: target }, by, findings, reasons.tooLarge);
  };
  if (errors.length > 0) return { kind: 'refused', reason: reasons.invalid, errors };
  const settled = settleParts(spec, serviceTarget, patterns);
  if (settled.kind === 'refused') return { ...settled, reason };
  if (settled.kind === 'unknown') return settled;
  const defaulted = defaultProfileSpec(settled.spec);
  if (defaulted.mode === 'Disabled') return { kind: 'disabled' };
  const configs = configsOf([defaulted, clusterDns, ranges], by);
  const bytes = Buffer.byteLength(JSON.stringify(configs[0]));
  if (bytes > maxConfigBytes) {
    // Who edits the profile answers for its own words, and not for how many endpoints a Service has.
    const rest = without(bytes - maxConfigBytes);
    if (rest !== undefined) return rest;
    const message = `the configuration of a node would be ${bytes} bytes, and ${maxConfigBytes} are the most: shorten hosts, blockedDomains or redirects`;
    return { kind: 'refused', reason: reasons.tooLarge, errors: [{ field: 'spec', message }] };
  }
  // Not before: the hash of a megabyte takes as long as all the rest.
  const renderings = render(configs);
  const [{ config, revision }] = renderings;
  return { kind: 'rendered', config, revision, renderings, leftOut: settled.leftOut };
}

/**
 * The Services whose addresses take most room, until what is left out makes up for what is `over`; undefined where all of them together do not.
 */
function largestServices(
  { redirects = [] }: ProfileSpec,
  serviceTarget: ClusterFacts['serviceTarget'],
  over: number,
): ReadonlyMap<string, ServiceTarget> | undefined {
  const bytes = new Map<string, number>();
  for (const { serviceRef } of redirects.map(({ target }) => target)) {
    const target = serviceRef && serviceTarget(serviceRef);
    if (target?.kind !== 'addresses') continue;
    const size = target.addresses.reduce((sum, address) => sum + address.length + '"",'.length, 0);
    const key = JSON.stringify(serviceRef);
    bytes.set(key, (bytes.get(key) ?? 0) + size);
  }
  const left = new Map<string, ServiceTarget>();
  let open = over;
  for (const [key, size] of [...bytes].sort(([, a], [, b]) => b - a)) {
    if (open <= 0) break;
    open -= size;
    const { namespace, name } = JSON.parse(key) as ServiceRef;
    const reason = `Service ${namespace}/${name} has so many addresses that the configuration of a node would be larger than ${maxConfigBytes} bytes`;
    left.set(key, { kind: 'unusable', reason });
  }
  return open > 0 ? undefined : left;
}

/**
 * Judges each spec once for as long as neither it nor what it refers to changes: nodes come and go far more often. What is the same
 * whatever the cluster is like is not looked at again when only addresses change.
 * @param findingsOf undefined while they are searched for
 */
export function rememberingJudge(
  by: Renderers = renderers,
  findingsOf: (spec: ProfileSpec) => Findings | undefined = rememberingFindings(),
): Judge {
  const known = new WeakMap<ProfileSpec, { readonly facts: unknown; readonly verdict: Verdict }>();
  return (spec, cluster) => {
    const { clusterDns, ranges, serviceTarget } = cluster;
    const refs = (spec.redirects ?? []).flatMap(({ target }) => target.serviceRef ?? []);
    const facts = [clusterDns, ranges, refs.map(serviceTarget)];
    const before = known.get(spec);
    if (before !== undefined && isDeepStrictEqual(before.facts, facts)) return before.verdict;
    const findings = findingsOf(spec);
    if (findings === undefined) return { kind: 'unknown' };
    const verdict = judge(spec, cluster, by, findings);
    known.set(spec, { facts, verdict });
    return verdict;
  };
}

function rememberingFindings(): (spec: ProfileSpec) => Findings {
  const known = new WeakMap<ProfileSpec, Findings>();
  return (spec) => {
    const found = known.get(spec) ?? foundAtOnce(spec);
    known.set(spec, found);
    return found;
  };
}
