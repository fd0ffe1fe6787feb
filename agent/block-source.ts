/** Where the answers of a server block come from, and what it must share with its predecessor to keep what that one knew. */
import type { ListenerConfig, NodeConfig, ServerBlockConfig } from '../api/v1alpha1/node-config.ts';
import { isWithin } from '../api/v1alpha1/zone.ts';

/** What the built-in destinations mean at the moment: `ip:port` each. */
export interface Destinations {
  clusterDns: readonly string[];
  nodeDns: readonly string[];
}

export function namedUpstream(name: string, { upstreams }: NodeConfig) {
  return upstreams.find((upstream) => upstream.name === name);
}

/** What a block must share with its predecessor to keep its cache: where answers come from, and how long they hold. */
export function blockIdentity(listener: ListenerConfig, block: ServerBlockConfig, config: NodeConfig): string {
  const rebind = rebindOf(config, listener, block);
  return JSON.stringify([
    ...sourceOf(listener, block, config),
    block.cacheDurationInSeconds,
    block.negativeCacheDurationInSeconds,
    block.serveStaleDurationInSeconds,
    // What was let in before shall not be served from now on, nor the other way round.
    ...(rebind?.mode === 'Enforce' ? [rebind] : []),
  ]);
}

/** Whose names a block serves, and where their answers come from. */
export function sourceOf(
  { name }: ListenerConfig,
  { zone, forwardDestination }: ServerBlockConfig,
  config: NodeConfig,
) {
  const upstream = namedUpstream(forwardDestination, config);
  return [name, zone, forwardDestination, upstream?.servers, upstream?.tls];
}

/** For blocks whose names anybody may register, which is what a configuration does not say otherwise. */
export function rebindOf(
  { rebind, clusterDomain, upstreams }: NodeConfig,
  { serverBlocks }: ListenerConfig,
  { zone, forwardDestination }: ServerBlockConfig,
): NodeConfig['rebind'] {
  const usual = serverBlocks.find((block) => block.zone === '.')?.forwardDestination;
  // A zone with a server of its own has been given to that server, and the addresses are the server's to say.
  const isOwn = forwardDestination !== usual && upstreams.some(({ name }) => name === forwardDestination);
  return isOwn || isWithin(zone, clusterDomain) ? undefined : rebind;
}
