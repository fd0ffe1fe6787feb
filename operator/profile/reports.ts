import { drainFinalizer } from '../../api/v1alpha1/labels.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../kube/clock.ts';
import { ApiError } from '../../kube/errors.ts';
import type { KubeObject } from '../../kube/resource.ts';
import type { Result } from '../runtime/controller.ts';
import type { WorkQueue } from '../runtime/work-queue.ts';
import type { Course, Gift } from './course.ts';
import { PLAN, PROFILE } from './duty.ts';
import { type EventRecorder, profileSubject } from './events.ts';
import { NewestVersions } from './newest-versions.ts';
import type { ProfilePlan } from './plan.ts';
import { Rest } from './rest.ts';
import { Revisions } from './revisions.ts';
import type { RolloutState } from './rollout-state.ts';
import { isLeaving } from './select.ts';
import { isSameStatus, newTroubles, profileStatus, type StatusInput } from './status.ts';
import { isHeld, staysForMs } from './withdrawal.ts';
import { PROFILES, type Profile, type World } from './world.ts';

/** Agents report one after the other: one look serves them all. */
const REPORT_AFTER_MS = 200;
/** So many times as long as a look takes something else may be done. */
const REST_FACTOR = 100;
/** Answers after which the same may be taken a little later: somebody else wrote first, or the API server has too much to do. */
const PASSING: readonly number[] = [409, 429, 503, 504];

export interface ReportsOptions {
  readonly world: World;
  readonly client: Pick<KubeClient, 'apply' | 'create' | 'mergePatch' | 'delete'>;
  /** The operator's own, where the revisions of profiles are kept. */
  readonly namespace: string;
  readonly events: Pick<EventRecorder, 'warn'>;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  /** Told of what the rollout of a profile has come to, each time that is written down. */
  readonly onRollout?: (profile: string, state: RolloutState) => void;
  /** Told of each look at all profiles and nodes, and of each at the nodes of a profile, with the processor time that it took. */
  readonly onThought?: (cpuSeconds: number) => void;
}

/** What is on its way to nodes, and of which profiles. */
export interface OnNodes {
  readonly given: () => Iterable<Gift>;
  readonly underWay: () => Iterable<string>;
}

/** Writes down how profiles fare and what their rollouts have come to, before anything follows from it; and lets go of those that leave. */
export class Reports {
  readonly #options: ReportsOptions;
  readonly #nodes: OnNodes;
  readonly #rest: Rest;
  readonly #revisions: Revisions;
  readonly #versions = new NewestVersions();
  /** Of rollouts, what was written last, by the profile's uid: the store hears of it a little later. */
  readonly #states = new Map<string, RolloutState>();
  /** By the profile's uid, since when the API server answers that it does not take what is to be written down of it. */
  readonly #refusedSinceMs = new Map<string, number>();

  constructor(options: ReportsOptions, nodes: OnNodes) {
    this.#options = options;
    this.#nodes = nodes;
    this.#rest = new Rest(options);
    this.#revisions = new Revisions(options.client, options.namespace);
  }

  /** Another may have written since. */
  begin(): void {
    this.#states.clear();
    this.#refusedSinceMs.clear();
  }

  /** An answer may come after its profile has gone: that is found at the look after it. */
  forgetGone(profiles: readonly Profile[]): void {
    const uids = new Set(profiles.map(({ metadata }) => metadata.uid ?? ''));
    for (const uid of this.#states.keys()) if (!uids.has(uid)) this.#states.delete(uid);
    for (const uid of this.#refusedSinceMs.keys()) if (!uids.has(uid)) this.#refusedSinceMs.delete(uid);
    this.#versions.keepOnly(uids);
  }

  /** When to look at a profile that has changed. */
  afterMs(): number {
    return this.#rest.afterMs(REPORT_AFTER_MS, REST_FACTOR);
  }

  stateOf({ metadata, status }: Profile): RolloutState | undefined {
    return this.#states.get(metadata.uid ?? '') ?? status?.rollout;
  }

  /** Since when nothing follows from what it has come to, for that cannot be written down; undefined where it can, as far as is known. */
  refusedSinceMs({ metadata }: Profile): number | undefined {
    return this.#refusedSinceMs.get(metadata.uid ?? '');
  }

  /** Throws a conflict where somebody else has written since: what is told is of what stands there, or is not written. */
  async report(profile: Profile, plan: ProfilePlan): Promise<Result> {
    const { name, uid = '' } = profile.metadata;
    try {
      await this.#tell(profile, plan);
    } catch (error) {
      if (!(error instanceof ApiError) || PASSING.includes(error.status)) throw error;
      this.#noteRefusal(uid);
      // Too large for a status (etcd takes 1.5 MiB), or refused by a webhook: whoever deletes it is not to wait until that is otherwise.
      const { requeueAfterMs } = await this.#letGo(profile);
      if (requeueAfterMs !== undefined) this.#options.queue.addAfter(PROFILE + name, requeueAfterMs);
      throw error;
    }
    this.#refusedSinceMs.delete(uid);
    return this.#letGo(profile);
  }

  #noteRefusal(uid: string): void {
    if (this.#refusedSinceMs.has(uid)) return;
    this.#refusedSinceMs.set(uid, this.#options.clock.date().getTime());
    // Nodes of others may wait for it.
    this.#options.queue.add(PLAN);
  }

  async #tell(profile: Profile, plan: ProfilePlan): Promise<void> {
    const { world, client, events, clock } = this.#options;
    const { name, uid = '' } = profile.metadata;
    // First of all: what has no such mark may be gone before its nodes are.
    if (plan.course?.isAccepted && !isHeld(profile)) await this.#setHeld(profile, true);
    if (plan.course !== undefined) await this.#keepRevisions(profile, plan.course);
    const policyFinding = plan.revision === undefined ? undefined : world.policyFinding(profile);
    const { clusterDns, isFound } = world.clusterDns();
    const input: StatusInput = {
      profile,
      plan,
      node: (node) => world.nodes.get(node),
      written: (node) => world.written.get(node),
      ...{ clusterDns, isClusterDnsFound: isFound, policyFinding, isUninstalled: world.withdraws },
      nowMs: clock.date().getTime(),
    };
    const status = this.#rest.after(() => profileStatus(input));
    if (isSameStatus(profile.status, status)) {
      this.#writtenDown(profile, plan.course);
      return;
    }
    const resourceVersion = this.#versions.newest(profile.metadata);
    const object: KubeObject & { status: ProfileStatus } = {
      metadata: { name, uid, ...(resourceVersion !== undefined && { resourceVersion }) },
      status,
    };
    this.#versions.wrote(profile.metadata, await client.apply(PROFILES, object, { subresource: 'status' }));
    this.#writtenDown(profile, plan.course);
    for (const { reason, message } of newTroubles(profile.status, status)) {
      await events.warn(profileSubject(name, uid), reason, message);
    }
  }

  /** A profile that is being deleted goes when no node has its configuration any more. */
  async #letGo(profile: Profile): Promise<Result> {
    const { world, clock } = this.#options;
    const { name } = profile.metadata;
    if (!isLeaving(profile) || !isHeld(profile) || [...this.#nodes.underWay()].includes(name)) return {};
    const holders = [...world.written.list()].filter((written) => written.profile === name);
    const reachable = holders.map((holder) => ({ isReachable: world.nodes.get(holder.name)?.isReachable ?? false }));
    const deletedAtMs = Date.parse(profile.metadata.deletionTimestamp ?? '');
    const forMs = staysForMs(reachable, deletedAtMs, clock.date().getTime());
    if (forMs === 0) await this.#setHeld(profile, false);
    return forMs === undefined || forMs === 0 ? {} : { requeueAfterMs: forMs };
  }

  /** With the version that was seen: a list is written whole, and others may have put something there. */
  async #setHeld({ metadata }: Profile, isHeld: boolean): Promise<void> {
    const { name, finalizers = [] } = metadata;
    const resourceVersion = this.#versions.newest(metadata);
    const others = finalizers.filter((finalizer) => finalizer !== drainFinalizer);
    const wanted = isHeld ? [...others, drainFinalizer] : others;
    const patch = { metadata: { resourceVersion, finalizers: wanted } };
    this.#versions.wrote(metadata, await this.#options.client.mergePatch<KubeObject>(PROFILES, name, patch));
  }

  /** The spec that is rolled out stands in a ControllerRevision, before anybody carries it; and so do those that came before it. */
  async #keepRevisions(profile: Profile, { state: { target = '', good }, isAccepted, intent }: Course): Promise<void> {
    const { world } = this.#options;
    const { uid } = profile.metadata;
    const needed = (): ReadonlySet<string | undefined> => {
      const given = [...this.#nodes.given()].map(({ revision }) => revision);
      return new Set([target, good, ...given, ...[...world.written.list()].map((written) => written.profileRevision)]);
    };
    if (intent !== undefined) {
      const known = [...world.revisions.list()].filter(({ profileUid }) => profileUid === uid);
      await this.#revisions.keep(profile, { name: target, intent }, known);
      await this.#revisions.prune(known, target, needed);
    }
    const lost = world.lost.of(uid).filter(({ name }) => !isAccepted || name !== target);
    if (lost.length > 0) world.lost.forget(await this.#revisions.restore(profile, lost, needed()));
  }

  /** What a rollout has come to stands in the API: now may follow what follows from it. */
  #writtenDown({ metadata }: Profile, course: Course | undefined): void {
    if (course === undefined) return;
    this.#states.set(metadata.uid ?? '', course.state);
    if (!course.isNews) return;
    this.#options.onRollout?.(metadata.name, course.state);
    this.#options.queue.add(PLAN);
  }
}
