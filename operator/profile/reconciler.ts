import { reasons } from '../../api/v1alpha1/conditions.ts';
import { optOut, profileLabel, stateEnabled, stateLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../kube/clock.ts';
import { type KubeObject, NODES } from '../../kube/resource.ts';
import type { Result } from '../runtime/controller.ts';
import type { WorkQueue } from '../runtime/work-queue.ts';
import { factsOf, NODE, PLAN, PROFILE } from './duty.ts';
import { type EventRecorder, nodeSubject, profileSubject } from './events.ts';
import { type NodeFacts, stateLabelOf, type WrittenFacts } from './facts.ts';
import { type Intent, makePlan, type Plan, rememberingJudge } from './plan.ts';
import { isSameStatus, newTroubles, profileStatus } from './status.ts';
import { LOCAL_DNS_NODES, PROFILES, type World } from './world.ts';

/** Changes come in bursts (a pool scales up, agents report one after the other): one look serves them all. */
const PLAN_AFTER_MS = 50;
const REPORT_AFTER_MS = 200;

export interface ReconcilerOptions {
  readonly world: World;
  readonly client: Pick<KubeClient, 'apply' | 'mergePatch' | 'delete'>;
  readonly events: Pick<EventRecorder, 'warn'>;
  readonly queue: WorkQueue;
  readonly clock: Clock;
  /** Told of each plan that changes nodes, with how many. */
  readonly onPlan?: (nodes: number) => void;
}

/** A profile becomes configuration on nodes, and the nodes' state becomes the profile's status. Level-based: it compares, then writes. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #judge = rememberingJudge();
  #plan: Plan | undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    const { queue } = options;
    options.world.follow({
      plan: () => queue.addAfter(PLAN, PLAN_AFTER_MS),
      report: (profile) => queue.addAfter(PROFILE + profile, REPORT_AFTER_MS),
    });
  }

  /** Another may have acted since: what was decided before counts no more, and is decided anew. */
  begin(): void {
    this.#plan = undefined;
    this.#options.queue.add(PLAN);
  }

  /** The duty of a key. Failures are thrown: what follows from them is the controller's business. */
  async reconcile(key: string): Promise<Result> {
    const { node, profile } = factsOf(key);
    if (node !== undefined) await this.#converge(node);
    else if (profile !== undefined) await this.#report(profile);
    else this.#decide();
    return {};
  }

  #decide(): void {
    const { world, queue, onPlan } = this.#options;
    const facts = {
      profiles: [...world.profiles.list()],
      nodes: [...world.nodes.list()],
      written: (node: string) => world.written.get(node),
      cluster: world.clusterFacts(),
    };
    const plan = makePlan(facts, this.#judge);
    world.serviceTargets.forgetUnasked();
    this.#plan = plan;

    const differing = [...plan.intents.keys(), ...orphans(world, plan)].filter((name) => this.#differs(name));
    for (const name of differing) queue.add(NODE + name);
    for (const name of plan.missing.keys()) queue.add(NODE + name);
    for (const name of plan.profiles.keys()) queue.add(PROFILE + name);
    if (differing.length > 0) onPlan?.(differing.length);
  }

  async #converge(name: string): Promise<void> {
    const { world } = this.#options;
    const node = world.nodes.get(name);
    const written = world.written.get(name);
    const intent = this.#intentFor(name);

    const missing = this.#plan?.missing.get(name);
    if (missing !== undefined && node !== undefined) await this.#warnMissing(node, missing);
    if (intent.kind === 'serve' && node !== undefined) {
      if (this.#isConfigDue(intent, node, written)) await this.#writeConfig(intent, node);
      if (stateLabelOf(node) !== stateEnabled) await this.#markServed(node);
    }
    if (intent.kind === 'unserve') {
      if (written !== undefined) await this.#options.client.delete(LOCAL_DNS_NODES, name, written);
      if (node !== undefined && stateLabelOf(node) !== undefined) await this.#unmark(node);
    }
  }

  async #report(name: string): Promise<void> {
    const { world, client, events, clock } = this.#options;
    const profile = world.profiles.get(name);
    const plan = this.#plan?.profiles.get(name);
    if (profile === undefined || plan === undefined || plan.isUnknown) return;

    const { clusterDns, isFound } = world.clusterDns();
    const status = profileStatus({
      profile,
      plan,
      node: (node) => world.nodes.get(node),
      written: (node) => world.written.get(node),
      clusterDns,
      isClusterDnsFound: isFound,
      policyConflicts: plan.revision === undefined ? undefined : world.policyConflicts(profile),
      nowMs: clock.date().getTime(),
    });
    if (isSameStatus(profile.status, status)) return;
    const { uid = '' } = profile.metadata;
    const object: KubeObject & { status: ProfileStatus } = { metadata: { name, uid }, status };
    await client.apply(PROFILES, object, { subresource: 'status' });
    for (const { reason, message } of newTroubles(profile.status, status)) {
      await events.warn(profileSubject(name, uid), reason, message);
    }
  }

  /** A node that is unknown to the plan is gone, and what we wrote for it goes too. */
  #intentFor(name: string): Intent {
    return this.#plan?.intents.get(name) ?? { kind: this.#plan === undefined ? 'keep' : 'unserve' };
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
        return written !== undefined || (node !== undefined && stateLabelOf(node) !== undefined);
      case 'serve':
        return node !== undefined && (this.#isConfigDue(intent, node, written) || stateLabelOf(node) !== stateEnabled);
    }
  }

  /** Its turn has come for another revision, or what stands there was tampered with, or belongs to a node of the past. */
  #isConfigDue(intent: Intent & { kind: 'serve' }, node: NodeFacts, written: WrittenFacts | undefined): boolean {
    if (written?.revision !== intent.revision) return this.#plan?.batch.has(node.name) ?? false;
    return !written.isIntact || written.profile !== intent.profile || written.ownerUid !== node.uid;
  }

  async #writeConfig(
    { profile, revision, config }: Intent & { kind: 'serve' },
    { name, uid }: NodeFacts,
  ): Promise<void> {
    const object: LocalDnsNode & KubeObject = {
      metadata: { name, ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }] },
      spec: { profile, revision, config },
    };
    await this.#options.client.apply(LOCAL_DNS_NODES, object);
  }

  /** The uid keeps an apply from bringing a node back that was deleted a moment ago. */
  async #markServed({ name, uid }: NodeFacts): Promise<void> {
    await this.#options.client.apply(NODES, { metadata: { name, uid, labels: { [stateLabel]: stateEnabled } } });
  }

  /** A merge patch and not an apply: the label goes whoever wrote it, or an agent would run where nothing is to be served. */
  async #unmark({ name, uid }: NodeFacts): Promise<void> {
    await this.#options.client.mergePatch(NODES, name, { metadata: { uid, labels: { [stateLabel]: null } } });
  }

  async #warnMissing({ name, uid }: NodeFacts, profile: string): Promise<void> {
    const note = `The label ${profileLabel}=${profile} names a LocalDnsProfile that does not exist: the node keeps what it had. Create the profile, correct the label, or set it to ${optOut}.`;
    await this.#options.events.warn(nodeSubject(name, uid), reasons.profileNotFound, note);
  }
}

/** Nodes that are gone, and whose configuration is still there (the garbage collector takes it too, where one runs). */
function orphans(world: World, plan: Plan): string[] {
  return [...world.written.keys()].filter((name) => !plan.intents.has(name));
}
