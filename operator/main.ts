import { hostname } from 'node:os';
import { operatorManager } from '../api/v1alpha1/labels.ts';
import { KubeClient } from '../kube/client.ts';
import { systemClock } from '../kube/clock.ts';
import { KubeconfigError } from '../kube/errors.ts';
import { type KubeconfigSource, readAccess } from '../kube/kubeconfig.ts';
import { Complaints } from './complaints.ts';
import { createLog, type Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { type OperatorOptions, operatorUsage, parseOperatorOptions } from './options.ts';
import { EventRecorder } from './profile/events.ts';
import { Reconciler } from './profile/reconciler.ts';
import { World } from './profile/world.ts';
import { Controller } from './runtime/controller.ts';
import { WorkQueue } from './runtime/work-queue.ts';

/** Writes to the API server at once; each waits a few milliseconds for its answer, so eight keep one connection pool busy. */
const WORKERS = 8;
/** How long a reconcile under way may take to notice that we stop. */
const STOP_MS = 2_000;
const KUBECONFIG_RETRY_MS = 2_000;

/**
 * Runs the operator until SIGTERM or SIGINT. Resolves with the exit code: 0 after a signal, 2 where it could not start
 * (a wrong option, the metrics port taken), with one line on stderr or in the log that says what to do. A missing kubeconfig, an
 * API server that is away and CRDs that are missing are no reason to stop: they are logged once and retried.
 */
export async function runOperator(argv: readonly string[]): Promise<number> {
  const parsed = parseOperatorOptions(argv);
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(operatorUsage);
      return 0;
    case 'error':
      process.stderr.write(`localdns operator: ${parsed.message}\n`);
      return 2;
    case 'options':
      return run(parsed.options, createLog(parsed.options.logLevel));
  }
}

async function run(options: OperatorOptions, log: Log): Promise<number> {
  const metrics = new Metrics();
  if (!(await listens(metrics, options.metrics, log))) return 2;
  const stopped = signalled();
  const client = await connect(options, metrics, log, stopped);
  if (client === undefined) {
    metrics.close();
    return 0;
  }

  const { world, controller } = assemble(options, client, metrics, log);
  for (const store of world.stores) store.start();
  if ((await Promise.race([stopped, world.synced])) === undefined) {
    controller.start();
    metrics.isReady = true;
    const { clusterDns, isFound } = world.clusterDns();
    log.info({ server: client.server, clusterDns: isFound ? clusterDns : null }, 'ready');
    if (!isFound) log.warn('no cluster DNS Service found: name it with --cluster-dns-service NAMESPACE/NAME');
  }

  log.info({ signal: await stopped }, 'stopping');
  metrics.close();
  const ended = Promise.all([world.stop(), controller.stop()]);
  client.close();
  await within(STOP_MS, ended);
  return 0;
}

/** Makes every part and hands each what it needs; nothing runs yet. */
function assemble(
  options: OperatorOptions,
  client: KubeClient,
  metrics: Metrics,
  log: Log,
): { readonly world: World; readonly controller: Controller } {
  const clock = systemClock;
  const complaints = new Complaints(log, clock);
  const queue = new WorkQueue(clock);
  const world = new World({
    client,
    clusterDnsService: options.clusterDnsService,
    clock,
    onTrouble: (plural, trouble) => complaints.store(plural, trouble),
  });
  const reconciler = new Reconciler({
    world,
    client,
    events: new EventRecorder(client, clock, hostname(), (error) =>
      log.debug({ err: error }, 'an event was not written'),
    ),
    queue,
    clock,
    onPlan: (nodes) => log.info({ nodes }, 'nodes differ from what they should have'),
  });
  const controller = new Controller({
    queue,
    workers: WORKERS,
    reconcile: (key) => reconciler.reconcile(key),
    onFailure: (key, classified, retryAfterMs) => complaints.reconcile(key, classified, retryAfterMs),
  });
  metrics.observe({
    queueDepth: () => queue.depth,
    reconciles: () => controller.tally,
    stores: () =>
      world.followable.map(({ plural, size, trouble }) => ({ plural, size, isFollowing: trouble === undefined })),
  });
  return { world, controller };
}

/** Without a kubeconfig says so once and looks again: one may be mounted any moment. Undefined where a signal comes first. */
async function connect(
  { kubeconfig }: OperatorOptions,
  metrics: Metrics,
  log: Log,
  stopped: Promise<unknown>,
): Promise<KubeClient | undefined> {
  const source: KubeconfigSource = { env: process.env, ...(kubeconfig === undefined ? {} : { path: kubeconfig }) };
  let isStopped = false;
  void stopped.then(() => {
    isStopped = true;
  });
  for (let complaint = ''; !isStopped; await within(KUBECONFIG_RETRY_MS, stopped)) {
    try {
      return new KubeClient({
        access: () => readAccess(source),
        fieldManager: operatorManager,
        userAgent: operatorManager,
        onRequest: (verb, plural, code) => metrics.countRequest(verb, plural, code),
      });
    } catch (error) {
      if (!(error instanceof KubeconfigError)) throw error;
      if (error.message !== complaint) log.error({ code: error.code }, `${error.message}; retrying`);
      complaint = error.message;
    }
  }
  return undefined;
}

async function listens(metrics: Metrics, { host, port }: OperatorOptions['metrics'], log: Log): Promise<boolean> {
  try {
    await metrics.listen({ host, port });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    log.error({ code }, `cannot serve metrics on ${host}:${port} (${code}): choose another address with --metrics`);
    return false;
  }
}

/** Resolves with `work`, or after `ms`, whichever comes first; leaves no timer behind. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let cancel = (): void => {};
  const expired = new Promise((resolve) => {
    cancel = systemClock.after(ms, () => resolve(undefined));
  });
  await Promise.race([work, expired]);
  cancel();
}

function signalled(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
}
