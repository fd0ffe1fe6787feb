import type { Reason } from '../../api/v1alpha1/conditions.ts';
import { reasons } from '../../api/v1alpha1/conditions.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import type { FieldError } from '../../api/v1alpha1/profile-validation.ts';
import { type Course, courseOf, type Gift, hasCome } from './course.ts';
import type { NodeFacts, WrittenFacts } from './facts.ts';
import { type Heir, heirsOf } from './heirs.ts';
import { type ClusterFacts, type Judge, judge } from './judge.ts';
import { keptOf } from './kept.ts';
import type { RevisionFacts } from './revisions.ts';
import type { RolloutState } from './rollout-state.ts';
import { type Conflict, isLeaving, select } from './select.ts';
import type { Sighting } from './sightings.ts';
import { type Misfit, misfit, type Renderings, renderingFor } from './versions.ts';
import { rememberingNames } from './wanted.ts';

/** What shall be done about one node. */
export type Intent =
  | {
      readonly kind: 'serve';
      readonly profile: string;
      /** Which revision of the profile, and the hash of what it means here. */
      readonly profileRevision: string;
      readonly revision: string;
      readonly config: NodeConfig;
      /** It is moved to this revision now; undefined where it carries it already. */
      readonly gift: Gift | undefined;
      /** Another is to serve it, and does not yet: it goes on with what it has, as that is to be now. */
      readonly isKept?: boolean;
    }
  | { readonly kind: 'unserve' }
  /** Its turn has not come, or nobody can say what is right: what the node has stays. */
  | { readonly kind: 'keep' };

/** What became of one profile. */
export interface ProfilePlan {
  /** Empty where the profile is accepted. */
  readonly errors: readonly FieldError[];
  /** Why it is not accepted, in one word. */
  readonly refusal: Reason;
  /** Parts of an accepted profile that are not served. */
  readonly leftOut: readonly FieldError[];
  /** Something is not known yet of what it refers to: there is nothing to report. */
  readonly isUnknown: boolean;
  /** Of the rendered configuration; undefined where nothing is served. */
  readonly revision: string | undefined;
  readonly isDisabled: boolean;
  /** The same in every format of configurations: what nodes are measured by. */
  readonly revisions: readonly string[];
  /** Nodes whose agents read nothing of what is written, and why that is so. */
  readonly misfits: ReadonlyMap<string, Misfit>;
  readonly selected: readonly string[];
  /** Of a profile that is being deleted: who is to serve those of its nodes that have not been taken out or over yet. */
  readonly heirs: readonly Heir[];
  readonly conflict: Conflict | undefined;
  /** How far its newest revision has come; undefined where nothing can be said. */
  readonly course: Course | undefined;
}

/** What everybody shall have: the outcome of one look at all profiles and all nodes. */
export interface Plan {
  readonly intents: ReadonlyMap<string, Intent>;
  readonly profiles: ReadonlyMap<string, ProfilePlan>;
  /** Revisions that nodes were given, and that do not stand in their LocalDnsNode yet. */
  readonly gifts: ReadonlyMap<string, Gift>;
  /** Nodes whose label names a profile that does not exist, with that name. */
  readonly missing: ReadonlyMap<string, string>;
}

export interface World {
  readonly profiles: readonly LocalDnsProfile[];
  readonly nodes: readonly NodeFacts[];
  readonly written: (node: string) => WrittenFacts | undefined;
  /** What was seen of it so far; undefined where it is seen for the first time. */
  readonly sighting: (node: string) => Sighting | undefined;
  readonly cluster: ClusterFacts;
  readonly revision: (name: string) => RevisionFacts | undefined;
  /** The configuration of a node's revision, where it was seen. */
  readonly configOf: (revision: string) => Pick<NodeConfig, 'redirects'> | undefined;
  /** Where the rollout of a profile stands, as it was written down last. */
  readonly state: (profile: LocalDnsProfile) => RolloutState | undefined;
  readonly gifts: ReadonlyMap<string, Gift>;
  /** Since when the API server does not take what is to be written down of a profile; undefined where it does. */
  readonly refusedSinceMs?: (profile: LocalDnsProfile) => number | undefined;
  readonly nowMs: number;
  /** Nobody is to be served any more, whatever profiles and labels say. */
  readonly withdraws?: boolean;
}

/** validate → select → render → roll out, for the whole world. Pure. */
export function makePlan(
  world: World,
  judgeSpec: Judge = judge,
  wantedBy = rememberingNames(),
  { choices, conflicts } = select(world.profiles, world.nodes),
): Plan {
  const { profiles, nodes, cluster } = world;
  const intents = new Map<string, Intent>();
  const missing = new Map<string, string>();
  const selected = new Map<string, NodeFacts[]>(profiles.map(({ metadata }) => [metadata.name, []]));
  for (const node of nodes) {
    const choice = choices.get(node.name);
    if (choice?.kind === 'profile') selected.get(choice.profile)?.push(node);
    if (choice?.kind === 'missing' && !world.withdraws) missing.set(node.name, choice.profile);
    intents.set(node.name, choice?.kind === 'none' || world.withdraws ? UNSERVE : KEEP);
  }

  const plans = new Map<string, ProfilePlan>();
  const gifts = new Map<string, Gift>();
  for (const profile of profiles) {
    const { name } = profile.metadata;
    if (isLeaving(profile)) continue;
    const mine = selected.get(name) ?? [];
    const verdict = judgeSpec(profile.spec, cluster);
    const course = courseOf({ world, profile, nodes: mine, verdict, judgeSpec, wantedBy });
    for (const node of mine) {
      const underWay = world.gifts.get(node.name);
      // What it means is found out aside: what is on its way meanwhile is not forgotten.
      if (verdict.kind === 'unknown' && underWay?.profile === name) gifts.set(node.name, underWay);
      if (verdict.kind === 'disabled') intents.set(node.name, UNSERVE);
      const carried = course?.carried.get(node.name);
      const renderings = carried === undefined ? undefined : course?.renderings.get(carried);
      const { report } = world.written(node.name) ?? {};
      const rendering = renderings && renderingFor(report?.configVersions, renderings);
      if (carried === undefined || rendering === undefined) continue;
      const gift = course?.gifts.get(node.name);
      if (gift !== undefined) gifts.set(node.name, gift);
      const { revision, config } = rendering;
      intents.set(node.name, { kind: 'serve', profile: name, profileRevision: carried, revision, config, gift });
    }
    // Of a profile that is not accepted, what was accepted last.
    const meaning =
      verdict.kind === 'rendered' ? verdict.renderings : course?.renderings.get(course.state.target ?? '');
    plans.set(name, {
      errors: verdict.kind === 'refused' ? verdict.errors : [],
      refusal: verdict.kind === 'refused' ? verdict.reason : reasons.invalid,
      leftOut: verdict.kind === 'rendered' ? verdict.leftOut : [],
      isUnknown: verdict.kind === 'unknown',
      revision: verdict.kind === 'rendered' ? verdict.revision : undefined,
      isDisabled: verdict.kind === 'disabled',
      revisions: (meaning ?? []).map(({ revision }) => revision),
      misfits:
        verdict.kind === 'rendered' ? misfitsOf(mine, world.written, verdict.renderings) : new Map<string, Misfit>(),
      selected: mine.map((node) => node.name),
      heirs: [],
      conflict: conflicts.get(name),
      course,
    });
  }
  const byName = new Map(profiles.map((profile) => [profile.metadata.name, profile]));
  const waiting = nodes.filter(({ name }) => intents.get(name)?.kind === 'keep');
  const courses = (name: string) => plans.get(name)?.course;
  const keeping = { world, profiles: byName, choices, courseOf: courses, judgeSpec };
  for (const [name, intent] of keptOf(waiting, keeping)) intents.set(name, intent);
  const leaving = profiles.filter(isLeaving);
  const heldBy = Map.groupBy(leaving.length > 0 ? nodes : [], ({ name }) => world.written(name)?.profile);
  const { refusedSinceMs = () => undefined, nowMs } = world;
  for (const profile of leaving) {
    const held = (heldBy.get(profile.metadata.name) ?? []).map(({ name }) => name);
    const heirs = heirsOf(held, { profile, profiles: byName, choices, intents, plans, refusedSinceMs, nowMs });
    const theirs = new Set(heirs.flatMap((heir) => heir.nodes));
    for (const name of held) if (!theirs.has(name)) intents.set(name, UNSERVE);
    plans.set(profile.metadata.name, leavingPlan(held, heirs));
  }
  return { intents, profiles: plans, gifts, missing };
}

/** It carries something else, or what stands there was tampered with, or belongs to a node of the past. */
export function isConfigDue(
  intent: Intent & { kind: 'serve' },
  node: NodeFacts,
  written: WrittenFacts | undefined,
): boolean {
  if (written?.revision !== intent.revision || written.profileRevision !== intent.profileRevision) return true;
  if (written.withdrawnAtMs !== undefined) return true;
  if (intent.gift !== undefined && !hasCome(intent.gift, written)) return true;
  return !written.isIntact || written.profile !== intent.profile || written.ownerUid !== node.uid;
}

/** Without any change, time alone may decide something then. */
export function lookAgainAtMs({ profiles }: Plan): number | undefined {
  const due = [...profiles.values()].flatMap(({ course, heirs }) => [
    course?.lookAgainAtMs,
    ...heirs.map(({ untilMs }) => untilMs),
  ]);
  const known = due.filter((atMs) => atMs !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function misfitsOf(
  nodes: readonly NodeFacts[],
  written: World['written'],
  renderings: Renderings,
): ReadonlyMap<string, Misfit> {
  return new Map(
    nodes.flatMap(({ name }): [string, Misfit][] => {
      const { configVersions, agentVersion = '' } = written(name)?.report ?? {};
      if (configVersions === undefined || renderingFor(configVersions, renderings) !== undefined) return [];
      return [[name, misfit(agentVersion, configVersions, renderings)]];
    }),
  );
}

/** Of a profile that is being deleted: the nodes that still have its configuration, whoever serves them next. */
function leavingPlan(held: readonly string[], heirs: readonly Heir[]): ProfilePlan {
  return {
    ...{ errors: [], refusal: reasons.invalid, leftOut: [], isUnknown: false, revision: undefined, isDisabled: true },
    ...{ selected: held, heirs, conflict: undefined, course: undefined },
    ...{ revisions: [], misfits: new Map<string, Misfit>() },
  };
}

const UNSERVE: Intent = { kind: 'unserve' };
const KEEP: Intent = { kind: 'keep' };
