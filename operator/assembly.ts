/** The operator's parts, and what connects them; what it does with them is main.ts, and uninstall.ts. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { operatorManager } from '../api/v1alpha1/labels.ts';
import { KubeClient, type KubeClientOptions } from '../kube/client.ts';
import { systemClock } from '../kube/clock.ts';
import { KubeconfigError } from '../kube/errors.ts';
import { type KubeconfigSource, readAccess } from '../kube/kubeconfig.ts';
import { LEASES } from '../kube/resource.ts';
import type { Trouble } from '../kube/store.ts';
import { Complaints } from './complaints.ts';
import { within } from './ending.ts';
import { LeaderElection } from './lease.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { OperatorOptions } from './options.ts';
import { factsOf } from './profile/duty.ts';
import { EventRecorder } from './profile/events.ts';
import { Reconciler } from './profile/reconciler.ts';
import { World } from './profile/world.ts';
import { Controller } from './runtime/controller.ts';
import { WorkQueue } from './runtime/work-queue.ts';
import { Takeover } from './takeover.ts';

/** Writes to the API server at once; each waits a few milliseconds for its answer, so eight keep one connection pool busy. */
const WORKERS = 8;
const LEAST_WORKERS = 2;
/** Who waits for a turn to write cannot be overtaken by what matters more: at a low rate fewer wait. */
const WRITES_PER_WORKER = 10;
const KUBECONFIG_RETRY_MS = 2_000;

/** Who we are in the Lease, in Events and in the API server's audit log. A container that is started anew is another. */
const podName = process.env.POD_NAME || hostname();
const identity = `${podName}_${randomUUID()}`;

export interface Parts {
  readonly world: World;
  readonly controller: Controller;
  readonly election: LeaderElection;
  readonly complaints: Complaints;
  readonly events: EventRecorder;
}

/** Makes every part and hands each what it needs; nothing runs yet. */
export function assemble(options: OperatorOptions, clients: Clients, metrics: Metrics, log: Log): Parts {
  const clock = systemClock;
  const complaints = new Complaints(log, clock);
  const queue = new WorkQueue(clock, undefined, {
    held: true,
    onTaken: (waitedMs) => metrics.countWait(waitedMs),
    placeOf: (key) => reconciler.placeOf(key),
  });
  const takeover = new Takeover({
    clock,
    refresh: () => world.refresh(),
    begin: (waitedMs) => {
      reconciler.begin();
      queue.release();
      log.info({ seconds: waitedMs / 1000 }, 'acting: all is read anew');
    },
    onWait: (seconds) => log.warn({ seconds }, 'leading, and nothing is written before all is read anew'),
  });
  const election: LeaderElection = new LeaderElection({
    client: clients.lease,
    namespace: options.namespace,
    name: operatorManager,
    identity,
    timing: options.lease,
    clock,
    onChange: (leads) => {
      if (leads) {
        log.info({ identity }, 'leading');
        void takeover.begin();
      } else {
        log.warn({ identity }, 'not leading any more');
        takeover.end();
        queue.hold();
      }
    },
    onTrouble: (trouble) => complaints.store(LEASES.plural, withRemedy(trouble)),
  });
  clients.writesWhile(() => election.isHeld());
  const client = clients.main;
  const world = new World({
    client,
    namespace: options.namespace,
    clusterDnsService: options.clusterDnsService,
    networkPolicies: options.networkPolicies,
    withdraws: options.withdraw,
    clock,
    onTrouble: (plural, trouble) => complaints.store(plural, trouble),
  });
  const events = new EventRecorder(client, clock, podName, (err) => log.debug({ err }, 'an event was not written'));
  const reconciler: Reconciler = new Reconciler({
    world,
    client,
    namespace: options.namespace,
    events,
    queue,
    clock,
    onRollout: (profile, { phase, target, reason }) =>
      log.info({ profile, phase, revision: target, ...(reason !== undefined && { reason }) }, 'rollout'),
    onPlan: (nodes) => log.info({ nodes }, 'nodes differ from what they should have'),
    onThought: (cpuSeconds) => metrics.countThought(cpuSeconds),
  });
  const controller = new Controller({
    queue,
    workers: Math.min(WORKERS, Math.max(LEAST_WORKERS, Math.ceil(options.writesPerSecond / WRITES_PER_WORKER))),
    reconcile: (key) => metrics.timed(factsOf(key).duty, () => reconciler.reconcile(key)),
    onFailure: (key, classified, retryAfterMs) => complaints.reconcile(key, classified, retryAfterMs),
  });
  metrics.observe({
    queueDepth: () => queue.depth,
    queueRetries: () => queue.retries,
    isLeader: () => election.isHeld(),
    reconciles: () => controller.tally,
    profiles: () =>
      [...world.profiles.list()].map(({ metadata, status }) => ({
        name: metadata.name,
        nodes: { ...status?.nodes },
        phase: status?.rollout?.phase,
      })),
    stores: () =>
      world.followable.map(({ plural, size, trouble }) => ({ plural, size, isFollowing: trouble === undefined })),
  });
  return { world, controller, election, complaints, events };
}

export interface Clients {
  /** Every write but those of the Lease goes through this one. */
  readonly main: KubeClient;
  readonly lease: KubeClient;
  /** Until this is called, `main` writes nothing. */
  writesWhile(isHeld: () => boolean): void;
}

/** The one thing that the operator needs and does not make. */
function withRemedy(trouble: Trouble | undefined): Trouble | undefined {
  if (trouble === undefined || !/namespaces "[^"]*" not found/.test(trouble.message)) return trouble;
  return { ...trouble, message: `${trouble.message}: create it, or name another with --namespace` };
}

/** Without a kubeconfig says so once and looks again: one may be mounted any moment. Undefined where a signal comes first. */
export async function connect(
  { kubeconfig, lease, writesPerSecond }: OperatorOptions,
  metrics: Metrics,
  log: Log,
  stopped: Promise<unknown>,
): Promise<Clients | undefined> {
  const source: KubeconfigSource = { env: process.env, ...(kubeconfig === undefined ? {} : { path: kubeconfig }) };
  let isStopped = false;
  void stopped.then(() => {
    isStopped = true;
  });
  for (let complaint = ''; !isStopped; await within(KUBECONFIG_RETRY_MS, stopped)) {
    try {
      let isHeld = (): boolean => false;
      const open = (settings: Pick<KubeClientOptions, 'timeoutMs' | 'mayWrite' | 'writesPerSecond'>): KubeClient =>
        new KubeClient({
          access: () => readAccess(source),
          fieldManager: operatorManager,
          userAgent: `${operatorManager}/${identity}`,
          onRequest: (verb, plural, code) => metrics.countRequest(verb, plural, code),
          ...settings,
        });
      return {
        // No write may last beyond the time when another could lead.
        main: open({
          timeoutMs: lease.durationMs - lease.renewDeadlineMs,
          mayWrite: () => isHeld(),
          writesPerSecond,
        }),
        // Half of what there is for renewing: an answer that is lost leaves time for a second try.
        lease: open({ timeoutMs: lease.renewDeadlineMs / 2 }),
        writesWhile: (held) => {
          isHeld = held;
        },
      };
    } catch (error) {
      if (!(error instanceof KubeconfigError)) throw error;
      if (error.message !== complaint) log.error({ code: error.code }, `${error.message}; retrying`);
      complaint = error.message;
    }
  }
  return undefined;
}
