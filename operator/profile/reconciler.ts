import { reasons, timestamp } from '../../api/v1alpha1/conditions.ts';
import { drainFinalizer, optOut, profileLabel, stateEnabled, stateLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../kube/clock.ts';
import { type KubeObject, NODES } from '../../kube/resource.ts';
import type { Result } from '../runtime/controller.ts';
import type { WorkQueue } from '../runtime/work-queue.ts';
import { type Course, type Gift, hasCome } from './course.ts';
import { factsOf, NODE, PATTERNS, PLAN, PROFILE } from './duty.ts';
import { type EventRecorder, nodeSubject, profileSubject } from './events.ts';
import { isOfPast, type NodeFacts, stateLabelOf, type WrittenFacts } from './facts.ts';
import { FindingsAside } from './findings.ts';
import { rememberingJudge } from './judge.ts';
import { OnItsWay } from './on-its-way.ts';
import { type Intent, isConfigDue, lookAgainAtMs, makePlan, type Plan } from './plan.ts';
import { Rest } from './rest.ts';
import { Revisions } from './revisions.ts';
import type { RolloutState } from './rollout.ts';
import { isLeaving, Matching } from './select.ts';
import { isSameStatus, newTroubles, profileStatus, type StatusInput } from './status.ts';
import { rememberingNames } from './wanted.ts';
import { isHeld, staysForMs, wayOut } from './withdrawal.ts';
import { LOCAL_DNS_NODES, PROFILES, type Profile, type World } from './world.ts';

/** Changes come in bursts (a pool scales up, agents report one after the other): one look serves them all. */
const PLAN_AFTER_MS = 50;
const REPORT_AFTER_MS = 200;
/** What agents say moves rollouts, which take seconds at their quickest. */
const PROGRESS_AFTER_MS = 250;
/** So long patterns are judged, and selectors matched, at a time, and so long others have their turn. */
const ASIDE_MS = 30;
const ASIDE_AFTER_MS = 10;
/** Of thousands of nodes a look takes a while: so many times as long something else may be done. */
const REST_FACTOR = 10;
/** While thousands of agents report for minutes on end, all that is looked for is whether the next step may be taken. */
const PROGRESS_REST_FACTOR = 100;

export interface ReconcilerOptions {
  readonly world: World;
  readonly client: Pick<KubeClient, 'apply' | 'create' | 'mergePatch' | 'delete'>;
  /** The operator's own, where the revisions of profiles are kept. */
  readonly namespace: string;
  readonly events: Pick<EventRecorder, 'warn'>;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  /** Told of each plan that changes nodes, with how many. */
  readonly onPlan?: (nodes: number) => void;
  /** Told of what the rollout of a profile has come to, each time that is written down. */
  readonly onRollout?: (profile: string, state: RolloutState) => void;
  /** Told of each look at all profiles and nodes, and of each at the nodes of a profile, with the processor time that it took. */
  readonly onThought?: (cpuSeconds: number) => void;
}

/** A profile becomes configuration on nodes, and the nodes' state becomes the profile's status. Level-based: it compares, then writes. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #findings = new FindingsAside(() => this.#options.clock.nowMs());
  readonly #judge = rememberingJudge(undefined, this.#findings.of);
  readonly #wantedBy = rememberingNames();
  readonly #matching = new Matching(() => this.#options.clock.nowMs());
  readonly #revisions: Revisions;
  /** Of rollouts, what was written last, by the profile's uid: the store hears of it a little later. */
  readonly #states = new Map<string, RolloutState>();
  #gifts: ReadonlyMap<string, Gift> = new Map<string, Gift>();
  /** Nodes whose configuration is on its way into the store, and of which profile it is. */
  readonly #underWay = new Map<string, string>();
  readonly #onItsWay: OnItsWay;
  readonly #rest: Readonly<Record<'plan' | 'report', Rest>>;
  #plan: Plan | undefined;
  /** The generation of each profile that the plan was made of. */
  #planned: ReadonlyMap<string, number | undefined> = new Map();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#onItsWay = new OnItsWay(options.clock);
    this.#rest = { plan: new Rest(options), report: new Rest(options) };
    this.#revisions = new Revisions(options.client, options.namespace);
    const { queue } = options;
    const { plan, report } = this.#rest;
    const lookAt = () => queue.addAfter(PLAN, plan.afterMs(PLAN_AFTER_MS, REST_FACTOR));
    const lookOn = () => queue.addAfter(PLAN, plan.afterMs(PROGRESS_AFTER_MS, PROGRESS_REST_FACTOR));
    options.world.follow({
      plan: lookAt,
      node: (name) => {
        this.#onItsWay.arrived(stateLabel + name);
        lookAt();
      },
      writing: (node) => {
        this.#onItsWay.arrived(NODE + node);
        // Thousands of our own come back, one by one, as what was wanted.
        if (this.#isAsPlanned(node)) lookOn();
        else lookAt();
      },
      progress: (node) => {
        this.#onItsWay.arrived(NODE + node);
        lookOn();
      },
      report: (name) => queue.addAfter(PROFILE + name, report.afterMs(REPORT_AFTER_MS, PROGRESS_REST_FACTOR)),
    });
  }

  /** Another may have acted since: what was decided before counts no more, and is decided anew. */
  begin(): void {
    this.#states.clear();
    this.#underWay.clear();
    this.#onItsWay.clear();
    this.#gifts = new Map<string, Gift>();
    this.#plan = undefined;
    this.#options.queue.add(PLAN);
  }

  /** The duty of a key. Failures are thrown: what follows from them is the controller's business. */
  async reconcile(key: string): Promise<Result> {
    const { node, profile } = factsOf(key);
    if (node !== undefined) return this.#converge(node);
    if (profile !== undefined) return this.#report(profile);
    if (key === PATTERNS) return this.#goOn();
    return this.#rest.plan.after(() => this.#decide());
  }

  #goOn(): Result {
    if (this.#findings.goOn(ASIDE_MS)) this.#options.queue.addAfter(PLAN, PLAN_AFTER_MS);
    return this.#findings.isOpen ? { requeueAfterMs: ASIDE_AFTER_MS } : {};
  }

  #decide(): Result {
    const { world, queue, clock, onPlan } = this.#options;
    const [profiles, nodes] = [[...world.profiles.list()], [...world.nodes.list()]];
    // A node may be anybody's until all selectors are known.
    if (!this.#matching.goOn(profiles, nodes, ASIDE_MS)) return { requeueAfterMs: ASIDE_AFTER_MS };
    const nowMs = clock.date().getTime();
    const facts = {
      ...{ profiles, nodes },
      written: (node: string) => world.written.get(node),
      sighting: (node: string) => world.sightings.get(node),
      cluster: world.clusterFacts(),
      revision: (name: string) => world.revision(name),
      state: ({ metadata, status }: Profile) => this.#states.get(metadata.uid ?? '') ?? status?.rollout,
      configOf: (revision: string) => world.configurations.get(revision),
      ...{ gifts: this.#gifts, nowMs, withdraws: world.withdraws },
    };
    const plan = makePlan(facts, this.#judge, this.#wantedBy, this.#matching.selection(profiles, nodes));
    world.serviceTargets.forgetUnasked();
    this.#findings.forgetUnasked();
    if (this.#findings.isOpen) queue.addAfter(PATTERNS, ASIDE_AFTER_MS);
    for (const [node, profile] of this.#underWay) {
      const hasCome = world.written.get(node)?.profile === profile || world.nodes.get(node) === undefined;
      if (hasCome) this.#underWay.delete(node);
    }
    this.#plan = plan;
    this.#planned = new Map(profiles.map(({ metadata }) => [metadata.name, metadata.generation]));
    this.#gifts = plan.gifts;

    // Also nodes that are gone, and whose configuration is still there (the garbage collector takes it too, where one runs).
    const all = new Set([...plan.intents.keys(), ...world.written.keys()]);
    const differing = [...all].filter((name) => this.#differs(name));
    for (const name of differing) queue.add(NODE + name);
    for (const name of plan.missing.keys()) queue.add(NODE + name);
    for (const name of plan.profiles.keys()) queue.add(PROFILE + name);
    const dueMs = lookAgainAtMs(plan);
    if (dueMs !== undefined) queue.addAfter(PLAN, Math.max(PLAN_AFTER_MS, dueMs - nowMs));
    if (differing.length > 0) onPlan?.(differing.length);
    return {};
  }

  async #converge(name: string): Promise<Result> {
    const { world } = this.#options;
    const node = world.nodes.get(name);
    const written = world.written.get(name);
    const intent = this.#intentFor(name);

    const missing = this.#plan?.missing.get(name);
    const isKept = written !== undefined && intent.kind === 'keep';
    if (missing !== undefined && node !== undefined) await this.#warnMissing(node, missing, isKept);
    if (intent.kind === 'serve' && node !== undefined) {
      const due = this.#due(intent, node, written);
      if (due.config) await this.#writeConfig(intent, node, written);
      if (due.label) await this.#markServed(node);
    }
    return intent.kind === 'unserve' ? this.#takeOut(name, node, written) : {};
  }

  async #takeOut(name: string, node: NodeFacts | undefined, written: WrittenFacts | undefined): Promise<Result> {
    const { client, clock } = this.#options;
    const step = wayOut(node, written, clock.date().getTime());
    switch (step.kind) {
      case 'out':
        return {};
      case 'withdraw':
        await this.#withdraw(name, written?.uid, timestamp(clock.date().getTime()));
        return {};
      case 'wait':
        return { requeueAfterMs: step.forMs };
      case 'clear':
        if (node !== undefined && stateLabelOf(node) !== undefined) await this.#unmark(node);
        if (written === undefined) return {};
        this.#underWay.delete(name);
        await client.delete(LOCAL_DNS_NODES, name, written);
        return {};
    }
  }

  /** A merge patch and not an apply, which would have to name the whole configuration. Null: it is to be served after all. */
  async #withdraw(name: string, uid: string | undefined, withdrawnAt: string | null): Promise<void> {
    await this.#options.client.mergePatch(LOCAL_DNS_NODES, name, { metadata: { uid }, spec: { withdrawnAt } });
  }

  async #report(name: string): Promise<Result> {
    const { world, client, events, clock } = this.#options;
    const profile = world.profiles.get(name);
    const plan = this.#plan?.profiles.get(name);
    if (profile === undefined || plan === undefined || plan.isUnknown) return {};
    // Edited since: what the plan says is of the spec before, and the next plan, which is due, has it reported.
    if (this.#planned.get(name) !== profile.metadata.generation) return {};

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
    const status = this.#rest.report.after(() => profileStatus(input));
    const { uid = '' } = profile.metadata;
    if (isSameStatus(profile.status, status)) {
      this.#writtenDown(profile, plan.course);
      return this.#letGo(profile);
    }
    const object: KubeObject & { status: ProfileStatus } = { metadata: { name, uid }, status };
    await client.apply(PROFILES, object, { subresource: 'status' });
    this.#writtenDown(profile, plan.course);
    for (const { reason, message } of newTroubles(profile.status, status)) {
      await events.warn(profileSubject(name, uid), reason, message);
    }
    return this.#letGo(profile);
  }

  /** A profile that is being deleted goes when no node has its configuration any more. */
  async #letGo(profile: Profile): Promise<Result> {
    const { world, clock } = this.#options;
    const { name } = profile.metadata;
    if (!isLeaving(profile) || !isHeld(profile) || [...this.#underWay.values()].includes(name)) return {};
    const holders = [...world.written.list()].filter((written) => written.profile === name);
    const reachable = holders.map((holder) => ({ isReachable: world.nodes.get(holder.name)?.isReachable ?? false }));
    const deletedAtMs = Date.parse(profile.metadata.deletionTimestamp ?? '');
    const forMs = staysForMs(reachable, deletedAtMs, clock.date().getTime());
    if (forMs === 0) await this.#setHeld(profile, false);
    return forMs === undefined || forMs === 0 ? {} : { requeueAfterMs: forMs };
  }

  /** With the version that was seen: a list is written whole, and others may have put something there. */
  async #setHeld({ metadata }: Profile, isHeld: boolean): Promise<void> {
    const { name, resourceVersion, finalizers = [] } = metadata;
    const others = finalizers.filter((finalizer) => finalizer !== drainFinalizer);
    const wanted = isHeld ? [...others, drainFinalizer] : others;
    await this.#options.client.mergePatch(PROFILES, name, { metadata: { resourceVersion, finalizers: wanted } });
  }

  /** The spec that is rolled out stands in a ControllerRevision, before anybody carries it; and so do those that came before it. */
  async #keepRevisions(profile: Profile, { state: { target = '', good }, isAccepted, intent }: Course): Promise<void> {
    const { world } = this.#options;
    const { uid } = profile.metadata;
    const needed = (): ReadonlySet<string | undefined> => {
      const given = [...this.#gifts.values()].map(({ revision }) => revision);
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

  /** A node that is unknown to the plan is gone, and what we wrote for it goes too. */
  #intentFor(name: string): Intent {
    if (this.#plan === undefined) return { kind: 'keep' };
    const intent = this.#plan.intents.get(name) ?? { kind: 'unserve' };
    // What keeps what it has keeps neither half of a way out nor what was another's.
    const written = this.#options.world.written.get(name);
    const node = this.#options.world.nodes.get(name);
    const isOnItsWay = written?.withdrawnAtMs !== undefined;
    const isLeftOver = written !== undefined && node !== undefined && isOfPast(written, node);
    return intent.kind === 'keep' && (isOnItsWay || isLeftOver) ? { kind: 'unserve' } : intent;
  }

  #isAsPlanned(name: string): boolean {
    const intent = this.#intentFor(name);
    const node = this.#options.world.nodes.get(name);
    const written = this.#options.world.written.get(name);
    return intent.kind === 'serve' && node !== undefined && !isConfigDue(intent, node, written);
  }

  #differs(name: string): boolean {
    const { world } = this.#options;
    const node = world.nodes.get(name);
    const written = world.written.get(name);
    const intent = this.#intentFor(name);
    switch (intent.kind) {
      case 'keep':
        return false;
      case 'unserve':
        return wayOut(node, written, this.#options.clock.date().getTime()).kind !== 'out';
      case 'serve': {
        if (node === undefined) return false;
        const due = this.#due(intent, node, written);
        return due.config || due.label;
      }
    }
  }

  /** What is on its way already is due no more; but once it should have come, it is looked at again. */
  #due(
    intent: Intent & { kind: 'serve' },
    node: NodeFacts,
    written: WrittenFacts | undefined,
  ): { readonly config: boolean; readonly label: boolean } {
    const config = isConfigDue(intent, node, written);
    const label = stateLabelOf(node) !== stateEnabled;
    const hasConfig = config && this.#onItsWay.has(NODE + node.name, written?.resourceVersion);
    const hasLabel = label && this.#onItsWay.has(stateLabel + node.name, node);
    if (hasConfig || hasLabel) this.#options.queue.addAfter(PLAN, this.#onItsWay.lookAgainMs);
    return { config: config && !hasConfig, label: label && !hasLabel };
  }

  async #writeConfig(
    { profile, profileRevision, revision, config, gift }: Intent & { kind: 'serve' },
    { name, uid }: NodeFacts,
    written: WrittenFacts | undefined,
  ): Promise<void> {
    if (written !== undefined && isOfPast(written, { uid })) {
      // It goes with its status, and that it is gone brings us here again.
      await this.#options.client.delete(LOCAL_DNS_NODES, name, written);
      return;
    }
    const isAnew = gift !== undefined && !hasCome(gift, written);
    const isCarried = !isAnew && written?.profile === profile && written.profileRevision === profileRevision;
    const trial = isCarried ? written.trial : gift?.trial;
    // A change of the cluster's facts is no new start: how long it has been tried is known by that time alone.
    const writtenAtMs = isCarried ? written.writtenAtMs : this.#options.clock.date().getTime();
    // What was decided on an older state than that which stands there now is decided anew: our view of it may lag behind, and a
    // leader of before may have been stopped for a while just now.
    const seen = written?.resourceVersion === undefined ? {} : { resourceVersion: written.resourceVersion };
    const object: LocalDnsNode & KubeObject = {
      metadata: { name, ...seen, ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }] },
      spec: {
        ...{ profile, profileRevision, revision },
        ...(trial !== undefined && { trial: { ...trial, probes: [...trial.probes] } }),
        ...{ writtenAt: timestamp(writtenAtMs), config },
      },
    };
    this.#underWay.set(name, profile);
    try {
      const { client } = this.#options;
      await this.#onItsWay.send(NODE + name, written?.resourceVersion, () => client.apply(LOCAL_DNS_NODES, object));
    } catch (error) {
      this.#underWay.delete(name);
      throw error;
    }
    if (written?.withdrawnAtMs !== undefined) await this.#withdraw(name, written.uid, null);
  }

  /** The uid keeps an apply from bringing a node back that was deleted a moment ago. */
  async #markServed(node: NodeFacts): Promise<void> {
    const { name, uid } = node;
    const object = { metadata: { name, uid, labels: { [stateLabel]: stateEnabled } } };
    await this.#onItsWay.send(stateLabel + name, node, () => this.#options.client.apply(NODES, object));
  }

  /** A merge patch and not an apply: the label goes whoever wrote it, or an agent would run where nothing is to be served. */
  async #unmark({ name, uid }: NodeFacts): Promise<void> {
    await this.#options.client.mergePatch(NODES, name, { metadata: { uid, labels: { [stateLabel]: null } } });
  }

  async #warnMissing({ name, uid }: NodeFacts, profile: string, isKept: boolean): Promise<void> {
    const fate = isKept ? 'keeps what it had' : 'is not served';
    const note = `The label ${profileLabel}=${profile} names a LocalDnsProfile that does not exist: the node ${fate}. Create the profile, correct the label, or set it to ${optOut}.`;
    await this.#options.events.warn(nodeSubject(name, uid), reasons.profileNotFound, note, { lasts: true });
  }
}
