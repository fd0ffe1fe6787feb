import { isDeepStrictEqual } from 'node:util';
import { bytesOf, defaultedCache } from '../../api/v1alpha1/cache-settings.ts';
import { formatVersion, type ListenerConfig, type NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type {
  DefaultedListener,
  DefaultedProfileSpec,
  DefaultedServerBlock,
} from '../../api/v1alpha1/profile-defaults.ts';
import type { ClusterDns } from './cluster-dns.ts';

/**
 * The configuration that an agent gets for a profile. Pure; equal input renders equally, down to the order.
 * `ranges` are the networks of pods and Services, sorted.
 *
 * Nothing in it differs between the nodes of one profile: what is a node's own (its resolvers, its addresses) the agent
 * follows on the node. So the plan renders once for each profile, not five thousand times.
 */
export function renderNodeConfig(
  spec: DefaultedProfileSpec,
  clusterDns: ClusterDns,
  ranges: readonly string[] = [],
): NodeConfig {
  const { cluster, node } = spec.listeners;
  const { rebind, privateReverse, singleLabelNames } = spec.protection;
  return {
    formatVersion,
    clusterDomain: spec.clusterDomain,
    clusterDNS: { ...clusterDns, addresses: [...clusterDns.addresses] },
    listeners: [
      ...(cluster === undefined ? [] : [listener('cluster', cluster, spec.kubeDNSOverrides)]),
      ...(node === undefined ? [] : [listener('node', node, spec.vnetDNSOverrides)]),
    ],
    upstreams: spec.upstreams,
    // What is as usual is left out: an agent of an older version, which refuses what it does not know, can serve without.
    ...(isDeepStrictEqual(spec.cache, defaultedCache())
      ? {}
      : { cache: { ...spec.cache, maxBytes: bytesOf(spec.cache.maxBytes) } }),
    ...(spec.searchPath !== 'Disabled' && { searchPath: spec.searchPath }),
    ...(spec.hosts.length > 0 && { hosts: spec.hosts }),
    ...(spec.blockedDomains.length > 0 && { blockedDomains: spec.blockedDomains }),
    ...(spec.redirects.length > 0 && {
      redirects: spec.redirects.map(({ target, ...redirect }) => ({ ...redirect, ...target })),
    }),
    ...(rebind.mode !== 'Disabled' && { rebind: { ...rebind, mode: rebind.mode } }),
    ...(privateReverse.mode === 'NxDomain' && { privateReverse: { exceptRanges: [...ranges] } }),
    ...(singleLabelNames.mode === 'NxDomain' && { singleLabelNames: singleLabelNames.mode }),
  };
}

function listener(
  name: ListenerConfig['name'],
  { addresses, intercept, tracked }: DefaultedListener,
  blocks: Readonly<Record<string, DefaultedServerBlock>>,
): ListenerConfig {
  return {
    name,
    addresses: [...addresses],
    intercept,
    tracked,
    serverBlocks: Object.entries(blocks).map(([zone, block]) => ({ zone, ...block })),
  };
}
