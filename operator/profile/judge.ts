import { isDeepStrictEqual } from 'node:util';
import { type Reason, reasons } from '../../api/v1alpha1/conditions.ts';
import type { ServiceRef } from '../../api/v1alpha1/local-answers.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type { ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../../api/v1alpha1/profile-defaults.ts';
import { type ServiceTarget, settleParts } from '../../api/v1alpha1/profile-parts.ts';
import { type FieldError, validateProfileSpec } from '../../api/v1alpha1/profile-validation.ts';
import type { ClusterDns } from './cluster-dns.ts';
import { type Renderers, type Renderings, render, renderers } from './versions.ts';

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
): Verdict {
  const errors = validateProfileSpec(spec);
  if (errors.length > 0) return { kind: 'refused', reason: reasons.invalid, errors };
  const settled = settleParts(spec, serviceTarget);
  if (settled.kind === 'refused') return { ...settled, reason: reasons.invalid };
  if (settled.kind === 'unknown') return settled;
  const defaulted = defaultProfileSpec(settled.spec);
  if (defaulted.mode === 'Disabled') return { kind: 'disabled' };
  const renderings = render([defaulted, clusterDns, ranges], by);
  const [{ config, revision }] = renderings;
  const bytes = Buffer.byteLength(JSON.stringify(config));
  if (bytes > maxConfigBytes) {
    const message = `the configuration of a node would be ${bytes} bytes, and ${maxConfigBytes} are the most: shorten hosts, blockedDomains or redirects`;
    return { kind: 'refused', reason: reasons.tooLarge, errors: [{ field: 'spec', message }] };
  }
  return { kind: 'rendered', config, revision, renderings, leftOut: settled.leftOut };
}

/** Judges each spec once for as long as neither it nor what it refers to changes: nodes come and go far more often. */
export function rememberingJudge(by: Renderers = renderers): Judge {
  const known = new WeakMap<ProfileSpec, { readonly facts: unknown; readonly verdict: Verdict }>();
  return (spec, cluster) => {
    const { clusterDns, ranges, serviceTarget } = cluster;
    const refs = (spec.redirects ?? []).flatMap(({ target }) => target.serviceRef ?? []);
    const facts = [clusterDns, ranges, refs.map(serviceTarget)];
    const before = known.get(spec);
    if (before !== undefined && isDeepStrictEqual(before.facts, facts)) return before.verdict;
    const verdict = judge(spec, cluster, by);
    known.set(spec, { facts, verdict });
    return verdict;
  };
}
