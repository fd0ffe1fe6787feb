import { reasons, timestamp } from '../../api/v1alpha1/conditions.ts';
import { optOut, profileLabel, stateEnabled, stateLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import { type KubeObject, NODES } from '../../kube/resource.ts';
import type { Result } from '../runtime/controller.ts';
import type { Place } from '../runtime/lines.ts';
import { type Gift, hasCome } from './course.ts';
import { factsOf, NODE, PATTERNS, PLAN, PROFILE } from './duty.ts';
import { nodeSubject } from './events.ts';
import { isOfPast, type NodeFacts, stateLabelOf, type WrittenFacts } from './facts.ts';
import { FindingsAside } from './findings.ts';
import { rememberingJudge } from './judge.ts';
import { Lag } from './lag.ts';
import { OnItsWay } from './on-its-way.ts';
import { type Intent, isConfigDue, lookAgainAtMs, makePlan, type Plan } from './plan.ts';
import { Reports, type ReportsOptions } from './reports.ts';
import { Rest } from './rest.ts';
import { Matching } from './select.ts';
import { rememberingNames } from './wanted.ts';
import { wayOut } from './withdrawal.ts';
import { LOCAL_DNS_NODES, type Profile } from './world.ts';

/** Changes come in bursts (a pool scales up, agents report one after the other): one look serves them all. */
const PLAN_AFTER_MS = 50;
/** What agents say moves rollouts, which take seconds at their quickest. */
const PROGRESS_AFTER_MS = 250;
/** So long patterns are judged, and selectors matched, at a time, and so long others have their turn. */
const ASIDE_MS = 30;
const ASIDE_AFTER_MS = 10;
/** Of thousands of nodes a look takes a while: so many times as long something else may be done. */
const REST_FACTOR = 10;
/** While thousands of agents report for minutes on end, all that is looked for is whether the next step may be taken. */
const PROGRESS_REST_FACTOR = 100;

export interface ReconcilerOptions extends ReportsOptions {
  /** Told of each plan that changes nodes, with how many. */
  readonly onPlan?: (nodes: number) => void;
}

/** A profile becomes configuration on nodes, and the nodes' state becomes the profile's status. Level-based: it compares, then writes. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #findings = new FindingsAside(() => this.#options.clock.nowMs());
  readonly #judge = rememberingJudge(undefined, this.#findings.of);
  readonly #wantedBy = rememberingNames();
  readonly #matching = new Matching(() => this.#options.clock.nowMs());
  readonly #reports: Reports;
  readonly #lag: Lag;
  #gifts: ReadonlyMap<string, Gift> = new Map<string, Gift>();
  /** Nodes whose configuration is on its way into the store, and of which profile it is. */
  readonly #underWay = new Map<string, string>();
  readonly #onItsWay: OnItsWay;
  readonly #rest: Rest;
  #plan: Plan | undefined;
  /** The generation of each profile that the plan was made of. */
  #planned: ReadonlyMap<string, number | undefined> = new Map();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#onItsWay = new OnItsWay(options.clock);
    this.#lag = new Lag(options.clock);
    this.#rest = new Rest(options);
    this.#reports = new Reports(options, {
      given: () => this.#gifts.values(),
      underWay: () => this.#underWay.values(),
    });
    const { queue } = options;
    const lookAt = () => queue.addAfter(PLAN, this.#rest.afterMs(PLAN_AFTER_MS, REST_FACTOR));
    const lookOn = () => queue.addAfter(PLAN, this.#rest.afterMs(PROGRESS_AFTER_MS, PROGRESS_REST_FACTOR));
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
      report: (name) => queue.addAfter(PROFILE + name, this.#reports.afterMs()),
    });
  }

  /** Another may have acted since: what was decided before counts no more, and is decided anew. */
  begin(): void {
    this.#reports.begin();
    this.#lag.clear();
    this.#underWay.clear();
    this.#onItsWay.clear();
    this.#gifts = new Map<string, Gift>();
    this.#plan = undefined;
    this.#options.queue.add(PLAN);
  }

  /**
   * Decisions come first, and what is written down of them, since everything waits for it; then what brings nodes back to what is good; then
   * all else. Among nodes the profiles take turns: one with three is not behind the thousands of another.
   */
  placeOf(key: string): Place {
    const { node } = factsOf(key);
    if (node === undefined) return { rank: 0, line: '' };
    const intent = this.#intentFor(node);
    if (intent.kind !== 'serve') return { rank: 2, line: this.#options.world.written.get(node)?.profile ?? '' };
    const { target, good } = this.#plan?.profiles.get(intent.profile)?.course?.state ?? {};
    const isReturn = intent.gift !== undefined && good !== target && intent.profileRevision === good;
    return { rank: isReturn ? 1 : 2, line: intent.profile };
  }

  /** The duty of a key. Failures are thrown: what follows from them is the controller's business. */
  async reconcile(key: string): Promise<Result> {
    const { world } = this.#options;
    const { node, profile } = factsOf(key);
    if (node !== undefined) {
      const seen = world.written.get(node)?.resourceVersion;
      return this.#lag.trying({ key, seen, stores: [world.written, world.nodes] }, () => this.#converge(node));
    }
    if (profile !== undefined) {
      const seen = world.profiles.get(profile)?.metadata.resourceVersion;
      return this.#lag.trying({ key, seen, stores: [world.profiles] }, () => this.#report(profile));
    }
    if (key === PATTERNS) return this.#goOn();
    return this.#rest.after(() => this.#decide());
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
      state: (profile: Profile) => this.#reports.stateOf(profile),
      refusedSinceMs: (profile: Profile) => this.#reports.refusedSinceMs(profile),
      configOf: (revision: string) => world.configurations.get(revision),
      ...{ gifts: this.#gifts, nowMs, withdraws: world.withdraws },
    };
    const plan = makePlan(facts, this.#judge, this.#wantedBy, this.#matching.selection(profiles, nodes));
    world.serviceTargets.forgetUnasked();
    this.#findings.forgetUnasked();
    this.#reports.forgetGone(profiles);
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
    const isKept = written !== undefined && intent.kind !== 'unserve';
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
    const profile = this.#options.world.profiles.get(name);
    const plan = this.#plan?.profiles.get(name);
    if (profile === undefined || plan === undefined || plan.isUnknown) return {};
    // Edited since: what the plan says is of the spec before, and the next plan, which is due, has it reported.
    if (this.#planned.get(name) !== profile.metadata.generation) return {};
    return this.#reports.report(profile, plan);
  }

  /** A node that is unknown to the plan is gone, and what we wrote for it goes too. */
  #intentFor(name: string): Intent {
    if (this.#plan === undefined) return { kind: 'keep' };
    const intent = this.#plan.intents.get(name) ?? { kind: 'unserve' };
    if (intent.kind === 'unserve' || (intent.kind === 'serve' && !intent.isKept)) return intent;
    // What keeps what it has keeps neither half of a way out nor what was another's.
    const written = this.#options.world.written.get(name);
    const node = this.#options.world.nodes.get(name);
    const isOnItsWay = written?.withdrawnAtMs !== undefined;
    const isLeftOver = written !== undefined && node !== undefined && isOfPast(written, node);
    if (isOnItsWay || isLeftOver) return { kind: 'unserve' };
    if (intent.kind === 'keep') return intent;
    // Nor is it given back what it had, once what was on its way to it has come.
    const isSame = written?.profile === intent.profile && written.profileRevision === intent.profileRevision;
    return isSame ? intent : { kind: 'keep' };
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
