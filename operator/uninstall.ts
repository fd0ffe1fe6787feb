/**
 * What `helm uninstall` runs first, once: every node goes out of service while its agent is still there to take its rules away, and nothing
 * stays on profiles that would keep people from deleting them. Profiles themselves stay: whoever installs again is served again.
 *
 *   the Deployment to 0 replicas ──▶ the Lease is given back, and ours ──▶ each node goes its way out ──▶ nothing is left ──▶ the Lease goes
 *
 * Those who serve end first, or they would serve each node anew as soon as nobody holds the Lease. An operator that has died, or never ran,
 * changes nothing: its Lease runs out.
 */
import { drainFinalizer, stateLabel } from '../api/v1alpha1/labels.ts';
import type { KubeClient } from '../kube/client.ts';
import { type Clock, sleep, systemClock } from '../kube/clock.ts';
import { ApiError, KubeError } from '../kube/errors.ts';
import { DEPLOYMENTS, type KubeObject, NODES, type Resource } from '../kube/resource.ts';
import { assemble, connect, type Parts } from './assembly.ts';
import { end, signalled } from './ending.ts';
import type { Log } from './log.ts';
import { Metrics } from './metrics.ts';
import type { OperatorOptions } from './options.ts';
import { stateLabelOf } from './profile/facts.ts';
import { WITHDRAW_MS } from './profile/withdrawal.ts';
import { LOCAL_DNS_NODES, PROFILES, type World } from './profile/world.ts';

/** A node that is away is waited for half as long: where nothing has moved since, nothing will. */
const STUCK_MS = 2 * WITHDRAW_MS;
const LOOK_MS = 250;
const RETRY_MS = 2_000;
const LIST_MS = 15_000;
/** In what is said at the end. */
const NAMED = 5;

/** How far it has come. */
export interface View {
  readonly leads: boolean;
  /** Who is known to hold the Lease; '' where nobody is. */
  readonly holder: string;
  /** Nodes that were told to leave and have not left. */
  readonly told: number;
  /** Nodes with a label or a LocalDnsNode of ours. */
  readonly nodes: readonly string[];
  /** Profiles that our finalizer holds. */
  readonly profiles: readonly string[];
}

export interface Waiting {
  readonly look: () => View;
  /** Asks the API server itself, which may know what we have not heard of yet. */
  readonly isAllOut: () => Promise<boolean>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Exit code 0: nothing is left; 1: something is, and nothing moves any more; 2: a signal came first. */
export async function withdraw(options: OperatorOptions, log: Log): Promise<number> {
  const stopped = signalled();
  const abort = new AbortController();
  void stopped.then(() => abort.abort());
  const metrics = new Metrics();
  const clients = await connect(options, metrics, log, stopped);
  if (clients === undefined) return 2;

  const parts = assemble(options, clients, metrics, log);
  const { world, controller, election } = parts;
  const replicas = stopReplicas(options, clients.lease, parts, abort.signal);
  for (const store of world.stores) store.start();
  // Before all is known, what is left cannot be told from what was never there.
  void Promise.all([world.synced, replicas]).then(() => {
    controller.start();
    election.start();
  });
  const look = (): View => ({ leads: election.isHeld(), holder: election.holder, ...leftIn(world) });
  const isAllOut = () => hasNothing(clients.main);
  const last = await untilOut({ look, isAllOut, clock: systemClock, signal: abort.signal });
  abort.abort();
  await end(parts, clients, last === 'out');
  switch (last) {
    case 'out':
      log.info('nothing of LocalDNS is left on nodes and profiles');
      return 0;
    case 'signal':
      log.warn('told to end before everything was out of service');
      return 2;
    default:
      log.error({ code: 'NOT_WITHDRAWN' }, whatIsLeft(last));
      return 1;
  }
}

/** Resolves with 'out' when nothing is left, with what stands in the way where nothing moves any more, and with 'signal'. */
export async function untilOut({ look, isAllOut, clock, signal }: Waiting): Promise<'out' | 'signal' | View> {
  let state = '';
  for (let movedMs = clock.nowMs(); !signal.aborted; await sleep(clock, LOOK_MS, signal)) {
    const view = look();
    const { leads, holder, told, nodes, profiles } = view;
    const now = [leads, holder, told, nodes.length, profiles.length].join();
    if (now !== state) movedMs = clock.nowMs();
    state = now;
    if (leads && nodes.length + profiles.length === 0 && (await isAllOut())) return 'out';
    if (clock.nowMs() - movedMs >= STUCK_MS) return view;
  }
  return 'signal';
}

/** In words that say what a person can do. */
export function whatIsLeft({ leads, holder, nodes, profiles }: View): string {
  const again = 'uninstall again, or with --no-hooks and then clean the nodes with examples/cleanup.yaml';
  if (!leads && holder !== '') return `another operator acts (${holder}): stop it, then ${again}`;
  if (!leads) return `the cluster or the Lease could not be read, as said before: put that right, then ${again}`;
  const left = [`nodes: ${some(nodes)}`, `profiles: ${some(profiles)}`].join('; ');
  return `not everything went out of service (${left}): ${again}`;
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, NAMED).join(', ') || 'none';
  return names.length > NAMED ? `${shown} and ${names.length - NAMED} more` : shown;
}

function leftIn({ nodes, written, profiles }: World): Pick<View, 'told' | 'nodes' | 'profiles'> {
  const marked = [...nodes.list()].filter((node) => stateLabelOf(node) !== undefined);
  const configured = [...written.list()];
  const held = [...profiles.list()].filter(({ metadata }) => metadata.finalizers?.includes(drainFinalizer));
  return {
    told: configured.filter(({ withdrawnAtMs }) => withdrawnAtMs !== undefined).length,
    nodes: [...new Set([...configured, ...marked].map(({ name }) => name))],
    profiles: held.map(({ metadata }) => metadata.name),
  };
}

/** Whoever led before may have written something of which our watches have not told yet. */
async function hasNothing(client: KubeClient): Promise<boolean> {
  const first = async (resource: Resource, query: { labelSelector?: string; limit?: number }) => {
    try {
      return (await client.list<KubeObject>(resource, { ...query, timeoutMs: LIST_MS })).items;
    } catch (error) {
      if (error instanceof ApiError && error.code === 'KUBE_RESOURCE_MISSING') return [];
      throw error;
    }
  };
  try {
    const [configured, marked, profiles] = await Promise.all([
      first(LOCAL_DNS_NODES, { limit: 1 }),
      first(NODES, { labelSelector: stateLabel, limit: 1 }),
      first(PROFILES, {}),
    ]);
    const isHeld = profiles.some(({ metadata }) => metadata.finalizers?.includes(drainFinalizer));
    return configured.length + marked.length === 0 && !isHeld;
  } catch (error) {
    // The watches complain of the same.
    if (error instanceof KubeError) return false;
    throw error;
  }
}

/** A Deployment that somebody has deleted has no replicas. */
async function stopReplicas(
  { namespace, deployment }: OperatorOptions,
  client: KubeClient,
  { complaints }: Parts,
  signal: AbortSignal,
): Promise<void> {
  for (; deployment !== undefined && !signal.aborted; await sleep(systemClock, RETRY_MS, signal)) {
    try {
      const where = { namespace, subresource: 'scale' } as const;
      await client.mergePatch(DEPLOYMENTS, deployment, { spec: { replicas: 0 } }, where);
      return;
    } catch (error) {
      if (error instanceof ApiError && error.isNotFound) return;
      if (!(error instanceof KubeError)) throw error;
      complaints.store(DEPLOYMENTS.plural, { code: error.code, message: error.message });
    }
  }
}
