/** One event while pods ask, and what it cost them. */
import type { Namespace } from '../cluster/namespace.ts';
import { pause } from '../cluster/scene.ts';
import { clusterListeners, nodeListeners, serviceAddresses } from './lab.ts';
import { forgetConnections, type TrackedConnection, trackedDns } from './node-state.ts';
import { type Account, Traffic, type TrafficOptions } from './traffic.ts';

/** When the event was, by the wall clock. */
export interface Moments {
  atMs: number;
  /** When it was over, where it lasts: a process is gone only some time after it was killed. */
  untilMs?: number;
}

export interface Outcome extends Account, Required<Moments> {
  /** While clients sent. */
  loadMs: number;
  /** Connections that the node tracks though the agent answered them. */
  tracked: TrackedConnection[];
  /** What a client saw meanwhile that asks past the node: this machine's own hesitation. */
  noise: Account;
}

export interface OrdealOptions extends TrafficOptions {
  /** How long the load is on before and after the event. */
  beforeMs?: number;
  afterMs?: number;
}

/** Two heartbeats are in it: what the event leaves behind shows. */
const usual = { beforeMs: 400, afterMs: 1_000 };
const answeredByUs: ReadonlySet<string> = new Set(
  [serviceAddresses, clusterListeners, nodeListeners].flatMap((both) => Object.values(both)),
);

/** Where an event takes place. */
export interface Ground {
  /** Of the node: what it tracks is of interest. */
  readonly node: Namespace;
  /** Who asks whom, past the node. */
  readonly bystander: { from: Namespace; server: string };
  addressesOf(client: Namespace): readonly string[];
}

export async function underLoad(
  ground: Ground,
  options: OrdealOptions,
  event: () => Promise<Moments>,
): Promise<Outcome> {
  const { beforeMs = usual.beforeMs, afterMs = usual.afterMs, ...load } = options;
  await forgetConnections(ground.node);
  const { from: onlooker, server } = ground.bystander;
  const control = await Traffic.start({
    ...{ from: [onlooker], servers: [server], transports: ['udp'] },
    ...{ perSecond: 100, names: ['www.example'] },
  });
  const traffic = await Traffic.start(load);
  const startedAt = performance.now();
  await pause(beforeMs);
  const { atMs, untilMs = Date.now() } = await event();
  await pause(afterMs);
  const loadMs = performance.now() - startedAt;
  const [account, noise] = await Promise.all([traffic.stop(), control.stop()]);
  const clients = load.from.flatMap((client) => ground.addressesOf(client));
  const tracked = (await trackedDns(ground.node)).filter((one) => isOfAgent(one) && isOfClient(one, clients));
  return { ...account, atMs, untilMs, loadMs, tracked, noise };
}

/** A heartbeat of the agent itself is nothing that it served; one may be under way when it dies. */
function isOfClient({ source, destination, isAnswer }: TrackedConnection, clients: readonly string[]): boolean {
  return clients.includes(isAnswer ? destination : source);
}

/** Translated ones took the way through kube-proxy or through our fallback. */
function isOfAgent({ source, destination, answeredBy, isAnswer }: TrackedConnection): boolean {
  return isAnswer ? answeredByUs.has(source) : answeredByUs.has(destination) && answeredBy === destination;
}
