import { isDeepStrictEqual } from 'node:util';
import {
  type Condition,
  nextCondition,
  type ProfileConditionType,
  type Reason,
  reasons,
  timestamp,
} from '../../api/v1alpha1/conditions.ts';
import { profileLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsProfile, ProfileStatus } from '../../api/v1alpha1/profile.ts';
import { type FieldError, formatFieldError } from '../../api/v1alpha1/profile-validation.ts';
import type { RolloutPhase } from '../../api/v1alpha1/rollout-settings.ts';
import type { ClusterDns } from './cluster-dns.ts';
import type { Course } from './course.ts';
import { isOfPast, type NodeFacts, type WrittenFacts } from './facts.ts';
import { cut, fateOf, isOnItsWay, isUnderWay, maxRolloutMessage, meanwhile, stepOf, type Verdict } from './fate.ts';
import type { Heir } from './heirs.ts';
import type { PolicyFinding } from './network-policies.ts';
import type { ProfilePlan } from './plan.ts';
import { policyVerdict } from './policy-verdict.ts';
import type { Few } from './select.ts';

/** Everything that the status of one profile is made of. */
export interface StatusInput {
  readonly profile: LocalDnsProfile;
  readonly plan: ProfilePlan;
  readonly node: (name: string) => NodeFacts | undefined;
  readonly written: (name: string) => WrittenFacts | undefined;
  readonly clusterDns: ClusterDns;
  /** False where no cluster DNS Service was found, and `clusterDns` is where we looked. */
  readonly isClusterDnsFound: boolean;
  /** Undefined where they are not looked for, or nothing is served. */
  readonly policyFinding?: PolicyFinding | undefined;
  /** Every node is taken out of service, and nobody will be there to serve it again. */
  readonly isUninstalled?: boolean;
  readonly nowMs: number;
}

/** Where the selected nodes stand. A node may be in several lists. */
interface Progress {
  /** What the nodes are measured by: of a profile that is not accepted, the revision that was accepted last. */
  readonly revision: string | undefined;
  readonly selected: readonly string[];
  readonly updated: readonly string[];
  readonly ready: readonly string[];
  /** Refused its configuration or cannot serve, with why. */
  readonly failed: readonly { readonly node: string; readonly failure: string }[];
  /** They serve, and the queries of pods are not led to them, with why. */
  readonly bypassed: readonly { readonly node: string; readonly failure: string }[];
  readonly unreachable: readonly string[];
  /** Reachable or on trial, and neither ready nor failed. */
  readonly pending: readonly string[];
  /** Nodes that hold a configuration at all. */
  readonly configured: readonly string[];
}

const maxListed = 20;
/** The schema takes 32,768 bytes, and refuses the whole status for one message that has more: then nothing would move any more. */
const maxConditionMessage = 8_000;

const failedPhases: Readonly<Partial<Record<RolloutPhase, Reason>>> = {
  Halted: reasons.rolloutHalted,
  RollingBack: reasons.rollingBack,
  RolledBack: reasons.rolledBack,
};

const NOT_ACCEPTED = 'The newest spec is not accepted';

/** The status that a profile shall have. Pure; a condition whose status stays keeps its lastTransitionTime. */
export function profileStatus(input: StatusInput): ProfileStatus {
  const { profile, plan, nowMs } = input;
  const progress = progressOf(input);
  const verdicts: [ProfileConditionType, Verdict][] = [
    ['Accepted', accepted(plan)],
    ['Programmed', programmed(input, progress)],
    ['Progressing', progressing(input, progress)],
    ['Degraded', degraded(input, progress)],
    ['Conflicted', conflicted(profile, plan)],
  ];
  const generation = profile.metadata.generation;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const { policyFinding } = input;
  const isPending = policyFinding?.kind === 'pending';
  if (policyFinding !== undefined && !isPending) verdicts.push(['NetworkPolicyConflict', policyVerdict(policyFinding)]);
  const old = profile.status?.conditions ?? [];
  // Whoever has just begun to lead knows less than stands there.
  const kept = isPending ? old.filter(({ type }) => type === 'NetworkPolicyConflict') : [];
  const judged = verdicts.map(([type, verdict]) => {
    const message = cut(verdict.message, maxConditionMessage);
    return nextCondition(old, { type, ...observed, ...verdict, message }, nowMs);
  });
  const rollout = plan.course === undefined ? profile.status?.rollout : rolloutOf(plan.course);
  return {
    ...observed,
    ...(progress.revision === undefined ? {} : { revision: progress.revision }),
    nodes: {
      selected: progress.selected.length,
      updated: progress.updated.length,
      ready: progress.ready.length,
      failed: progress.failed.length,
    },
    ...(rollout === undefined ? {} : { rollout }),
    conditions: [...judged, ...kept],
  };
}

function rolloutOf({ state, updated, onTrial }: Course): NonNullable<ProfileStatus['rollout']> {
  const { silent, ...words } = state;
  const message = state.message === undefined ? {} : { message: cut(state.message, maxRolloutMessage) };
  const missing = silent === undefined ? {} : { silent: [...silent] };
  return { ...words, ...message, ...missing, ...(state.phase === 'Idle' ? {} : { updated, onTrial }) };
}

/** Whether writing `next` would change nothing; the order of conditions does not count (a list of type map). */
export function isSameStatus(old: ProfileStatus | undefined, next: ProfileStatus): boolean {
  return old !== undefined && isDeepStrictEqual(sorted(old), sorted(next));
}

/**
 * Conditions that went to their bad side between two statuses: what a person wants an Event for. A part that is left out is one
 * too, though the condition stays good.
 */
export function newTroubles(old: ProfileStatus | undefined, next: ProfileStatus): Condition[] {
  const bad: Readonly<Record<string, Condition['status']>> = {
    Accepted: 'False',
    Degraded: 'True',
    Conflicted: 'True',
  };
  const before = new Map((old?.conditions ?? []).map((condition) => [condition.type, condition]));
  return (next.conditions ?? []).filter(({ type, status, reason, message }) => {
    // Who pauses what has failed knows it.
    if (reason === reasons.rolloutFailed && next.rollout?.phase === 'Paused') return false;
    if (reason === reasons.partiallyInvalid || reason === reasons.rolloutFailed)
      return before.get(type)?.message !== message;
    if (reason === reasons.lateNodesFailed) return before.get(type)?.reason !== reason;
    return bad[type] === status && before.get(type)?.status !== status;
  });
}

function progressOf({ profile, plan, node, written }: StatusInput): Progress {
  const { selected } = plan;
  const revision = plan.revision ?? (plan.errors.length > 0 ? profile.status?.revision : undefined);
  const isReachable = (name: string): boolean => node(name)?.isReachable ?? false;
  const mine = (name: string): WrittenFacts | undefined => {
    const [facts, machine] = [written(name), node(name)];
    if (facts === undefined || (machine !== undefined && isOfPast(facts, machine))) return undefined;
    return facts.profile === profile.metadata.name ? facts : undefined;
  };
  const wanted = plan.revisions.length > 0 ? plan.revisions : [revision];
  const isUnproven = (name: string): boolean => plan.course?.unproven.has(name) ?? false;
  const updated = selected.filter(
    (name) => wanted.includes(mine(name)?.report.appliedRevision || 'none') && !isUnproven(name),
  );
  const ready = updated.filter((name) => mine(name)?.report.isServing === true);
  const failed = selected.flatMap((name) => {
    const failure = plan.misfits.get(name)?.message ?? mine(name)?.report.failure;
    return failure === undefined ? [] : [{ node: name, failure }];
  });
  const bypassed = selected.flatMap((name) => {
    const { isServing, bypass } = mine(name)?.report ?? {};
    return bypass === undefined || !isServing ? [] : [{ node: name, failure: bypass }];
  });
  const settled = new Set([...ready, ...failed.map(({ node: name }) => name)]);
  return {
    revision,
    selected,
    updated,
    ready,
    failed,
    bypassed,
    unreachable: selected.filter((name) => !isReachable(name)),
    pending: selected.filter((name) => (isReachable(name) || isUnproven(name)) && !settled.has(name)),
    configured: selected.filter((name) => written(name) !== undefined),
  };
}

function accepted(plan: ProfilePlan): Verdict {
  const { errors, refusal, leftOut } = plan;
  if (errors.length > 0) {
    const message = `${listed(errors)}. ${meanwhile(plan)}`;
    return { status: 'False', reason: refusal, message };
  }
  if (leftOut.length > 0) {
    const message = `${listed(leftOut)}. This is left out, and the rest is served.`;
    return { status: 'True', reason: reasons.partiallyInvalid, message };
  }
  return { status: 'True', reason: reasons.valid, message: 'The profile is valid.' };
}

/** A condition's message has its bound in the schema, and a person reads the first few. */
function listed(errors: readonly FieldError[]): string {
  const shown = errors.slice(0, maxListed).map(formatFieldError).join('; ');
  return errors.length > maxListed ? `${shown}; and ${errors.length - maxListed} more` : shown;
}

function programmed(input: StatusInput, { selected, ready, pending, failed, unreachable }: Progress): Verdict {
  const { profile, plan, node } = input;
  const failure = failedPhases[plan.course?.state.phase ?? 'Done'];
  if (plan.errors.length > 0) {
    const count = isOnItsWay(plan) ? ` ${ready.length} of ${selected.length} nodes serve it.` : '';
    const words = failure === undefined ? `${meanwhile(plan)}${count}` : `Accepted last: ${fateOf(plan.course)}`;
    return { status: 'False', reason: reasons.invalid, message: `${NOT_ACCEPTED}. ${words}` };
  }
  if (plan.isDisabled) {
    const { reason, why } = whyNotServed(input);
    return { status: 'False', reason, message: `${why}: no node is to be served by it.` };
  }
  if (selected.length === 0) {
    const remedy = `label nodes ${profileLabel}=${profile.metadata.name}, or give the profile a nodeSelector that matches`;
    return { status: 'True', reason: reasons.noNodesSelected, message: `No node is selected: ${remedy}.` };
  }
  if (failure !== undefined) return { status: 'False', reason: failure, message: fateOf(plan.course) };
  const away = unreachable.length === 0 ? '' : ` ${unreachable.length} not reachable: ${some(unreachable)}.`;
  const count = `${ready.length} of ${selected.length} nodes serve ${plan.revision}.`;
  // What serves what it should is not awaited, whatever its agent will make of the next configuration.
  const unable = failed.flatMap(({ node: name }) => (node(name)?.isReachable && !ready.includes(name) ? name : []));
  const waiting = [...pending, ...unable];
  // Where nobody can say that it serves it is not so, and while nodes are awaited that are away it is not over.
  const isOpen = ready.length === 0 || isUnderWay(plan.course);
  if (waiting.length === 0 && !isOpen)
    return { status: 'True', reason: reasons.allNodesProgrammed, message: `${count}${away}` };
  const reason = pending.length > 0 || waiting.length === 0 ? reasons.nodesPending : reasons.nodesFailed;
  const whom = waiting.length === 0 ? '' : ` Not yet: ${some(waiting)}.`;
  return { status: 'False', reason, message: `${count}${whom}${away}` };
}

function progressing(input: StatusInput, progress: Progress): Verdict {
  const { profile, plan } = input;
  const { selected, pending, configured } = progress;
  const step = stepOf(plan, profile.spec.rollout?.paused);
  if (plan.errors.length > 0) {
    if (step !== undefined) return { ...step, message: `${NOT_ACCEPTED}. Accepted last: ${step.message}` };
    return { status: 'False', reason: reasons.invalid, message: 'Nothing is rolled out: the profile is not accepted.' };
  }
  if (plan.isDisabled) {
    const { reason } = whyNotServed(input);
    if (configured.length === 0) return { status: 'False', reason, message: 'No selected node is served.' };
    return { status: 'True', reason, message: whatIsLeft(plan, progress) };
  }
  if (selected.length === 0)
    return { status: 'False', reason: reasons.noNodesSelected, message: 'No node is selected.' };
  if (step !== undefined) return step;
  if (pending.length === 0)
    return { status: 'False', reason: reasons.rolloutComplete, message: `No node waits for ${plan.revision}.` };
  return {
    status: 'True',
    reason: reasons.nodesPending,
    message: `${pending.length} of ${selected.length} nodes wait: ${some(pending)}.`,
  };
}

/** On nodes that it is to serve no more: who is being taken out, and which of them another profile is to serve. */
function whatIsLeft({ heirs }: ProfilePlan, { configured, unreachable }: Progress): string {
  const theirs = new Set(heirs.flatMap(({ nodes }) => nodes));
  const away = new Set(unreachable);
  const going = Map.groupBy(configured, (node) => (theirs.has(node) ? 'theirs' : away.has(node) ? 'away' : 'here'));
  const [here = [], lost = []] = [going.get('here'), going.get('away')];
  const words = heirs.map(prospects);
  if (lost.length > 0) words.unshift(`${some(lost)} cannot be reached: nobody waits longer than a minute for that.`);
  if (here.length > 0) words.unshift(`Taking the configuration from ${some(here)}.`);
  return words.join(' ');
}

function prospects({ profile, nodes, is, untilMs = 0 }: Heir): string {
  if (is === 'giving') return `${some(nodes)}: handed over to ${profile}.`;
  if (is === 'rolling') return `${some(nodes)} will be served by ${profile}, whose rollout is under way.`;
  const whose = `${some(nodes)} should be served by ${profile}`;
  if (is === 'unknown') return `${whose}, of which is not known yet what it means.`;
  return `${whose}, which gives nothing now: from ${timestamp(untilMs)} on nobody waits for it, and nobody serves them.`;
}

function whyNotServed({ profile, isUninstalled }: StatusInput): { readonly reason: Reason; readonly why: string } {
  if (isUninstalled) return { reason: reasons.uninstalled, why: 'LocalDNS is uninstalled' };
  return profile.metadata.deletionTimestamp === undefined
    ? { reason: reasons.disabled, why: 'mode is Disabled' }
    : { reason: reasons.deleting, why: 'The profile is being deleted' };
}

function degraded(
  { profile, plan, clusterDns, isClusterDnsFound }: StatusInput,
  { failed, bypassed }: Progress,
): Verdict {
  if (failedPhases[plan.course?.state.phase ?? 'Done'] !== undefined) {
    return { status: 'True', reason: reasons.rolloutFailed, message: fateOf(plan.course) };
  }
  const { phase, reason, message = '', target, good } = plan.course?.state ?? {};
  // In a pause as well: what has failed is no better for it.
  if (phase === 'Paused' && reason !== undefined && target !== good)
    return { status: 'True', reason: reasons.rolloutFailed, message: fateOf(plan.course) };
  if ((phase === 'Done' || phase === 'Paused') && reason !== undefined) {
    const fate = 'Nodes that come late keep what they have, and those that nobody serves try it where there is room';
    const remedy = 'Edit the profile, or set rollout.paused to true and back to false to try it again.';
    const why = `${target} failed on nodes that came late: ${reason}: ${cut(message, maxRolloutMessage)}`;
    return { status: 'True', reason: reasons.lateNodesFailed, message: `${why}. ${fate}. ${remedy}` };
  }
  // A node that cannot serve has the cluster's DNS: whoever merely prefers an agent there is told, and not alarmed.
  const isRequired = profile.spec.mode === 'Required';
  const first = failed.find(({ node }) => plan.misfits.has(node)) ?? failed[0];
  if (first !== undefined) {
    const isAlarm = isRequired || plan.misfits.has(first.node) || !isClusterDnsFound;
    const reason = plan.misfits.get(first.node)?.reason ?? reasons.nodesFailed;
    return { status: isAlarm ? 'True' : 'False', reason, message: `${failed.length} failed: ${named(failed, first)}` };
  }
  if (!isClusterDnsFound && plan.revision !== undefined) {
    const { namespace, service } = clusterDns;
    return {
      status: 'True',
      reason: reasons.clusterDnsNotFound,
      message: `No cluster DNS Service was found (looked for ${namespace}/${service}): name it with --cluster-dns-service NAMESPACE/NAME.`,
    };
  }
  const [bypass] = bypassed;
  if (bypass !== undefined) {
    const message = `${bypassed.length} serve, and queries are not led to them: ${named(bypassed, bypass)}`;
    return { status: isRequired ? 'True' : 'False', reason: reasons.notIntercepting, message };
  }
  return { status: 'False', reason: reasons.healthy, message: 'No node reports a failure.' };
}

function conflicted({ spec }: LocalDnsProfile, { conflict }: ProfilePlan): Verdict {
  if (conflict === undefined)
    return {
      status: 'False',
      reason: reasons.noConflict,
      message: 'No other profile claims the same nodes with the same priority.',
    };
  const { profiles, nodes } = conflict;
  return {
    status: 'True',
    reason: reasons.samePriority,
    message: `Claims ${few(nodes)} with priority ${spec.priority ?? 0}, as ${few(profiles)} does; the oldest profile serves them. Give one of them another priority.`,
  };
}

/** Which nodes, and what one of them said. */
function named(all: Progress['failed'], { node, failure }: Progress['failed'][number]): string {
  return `${some(all.map((one) => one.node))}. ${node}: ${cut(failure, maxRolloutMessage)}`;
}

/** At most three names, and how many more. */
function some(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}

/** Of many no more is said than how many about: where hundreds conflict each that joins them would have all of them written anew. */
function few({ first, count }: Few): string {
  const shown = first.join(', ');
  const more = count - first.length;
  const about = 10 ** (`${more}`.length - 1);
  if (more === 0) return shown;
  return more < 10 ? `${shown} and ${more} more` : `${shown} and ${about} more at least`;
}

/** As JSON, so that a field that is absent and one that is undefined are the same. */
function sorted(status: ProfileStatus): unknown {
  const conditions = [...(status.conditions ?? [])].sort((a, b) => (a.type < b.type ? -1 : 1));
  return JSON.parse(JSON.stringify({ ...status, conditions }));
}
