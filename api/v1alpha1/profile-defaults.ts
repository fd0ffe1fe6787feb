/** Fills what a profile leaves out. Pure and idempotent: defaulting a defaulted spec changes nothing. */
import { canonicalAddress, dnsPort, formatEndpoint, parseEndpoint } from './address.ts';
import { type DefaultedCache, defaultedCache } from './cache-settings.ts';
import { type DefaultedNames, defaultedNames } from './local-answers.ts';
import type { LabelSelector, ProfileSpec, ServerBlock } from './profile.ts';
import { defaultClusterDomain, defaultListeners, effectiveDestination } from './profile-rules.ts';
import { type DefaultedRollout, defaultedRollout } from './rollout-settings.ts';
import { type DefaultedUpstream, defaultedUpstream } from './upstreams.ts';

export type DefaultedServerBlock = { [K in keyof ServerBlock]-?: NonNullable<ServerBlock[K]> };

export interface DefaultedListener {
  addresses: string[];
  /** What else is answered here: queries to the cluster DNS Service (cluster), to the node's resolvers (node). */
  intercept: boolean;
  tracked: boolean;
}

/** A valid spec with nothing left out but what has a meaning when absent. Servers carry their ports. */
export interface DefaultedProfileSpec {
  mode: 'Required' | 'Preferred' | 'Disabled';
  nodeSelector?: LabelSelector;
  priority: number;
  clusterDomain: string;
  listeners: { cluster?: DefaultedListener; node?: DefaultedListener };
  kubeDNSOverrides: Record<string, DefaultedServerBlock>;
  vnetDNSOverrides: Record<string, DefaultedServerBlock>;
  upstreams: DefaultedUpstream[];
  redirects: DefaultedRedirect[];
  hosts: { hostnames: string[]; addresses: string[]; ttlSeconds: number }[];
  blockedDomains: { domain: string; response: 'NxDomain' | 'NullAddress' }[];
  searchPath: 'Disabled' | 'Report' | 'Spec';
  cache: DefaultedCache;
  rollout: DefaultedRollout;
  protection: {
    rebind: {
      mode: 'Disabled' | 'Report' | 'Enforce';
      allowedDomains: string[];
      allowLoopback: boolean;
      extraPrefixes: string[];
    };
    privateReverse: { mode: 'Disabled' | 'NxDomain' };
    singleLabelNames: { mode: 'Disabled' | 'NxDomain' };
  };
}

export interface DefaultedRedirect {
  name: string;
  match: DefaultedNames;
  except: DefaultedNames;
  target: { addresses: string[] };
  ttlSeconds: number;
  otherTypes: 'NoData' | 'Forward';
}

/** `spec` must have passed validateProfileSpec, and settleParts where a redirect may lead to a Service. */
export function defaultProfileSpec(spec: ProfileSpec): DefaultedProfileSpec {
  const { cluster, node }: NonNullable<ProfileSpec['listeners']> = spec.listeners ?? defaultListeners;
  return {
    mode: spec.mode ?? 'Preferred',
    ...(spec.nodeSelector && { nodeSelector: spec.nodeSelector }),
    priority: spec.priority ?? 0,
    clusterDomain: spec.clusterDomain ?? defaultClusterDomain,
    listeners: {
      ...(cluster && { cluster: defaultListener('cluster', cluster, cluster.interceptClusterDNS) }),
      ...(node && { node: defaultListener('node', node, node.interceptNodeResolvers) }),
    },
    kubeDNSOverrides: defaultBlocks(spec, 'kubeDNSOverrides'),
    vnetDNSOverrides: defaultBlocks(spec, 'vnetDNSOverrides'),
    upstreams: (spec.upstreams ?? []).map((upstream) => defaultedUpstream(upstream, withPort)),
    redirects: (spec.redirects ?? []).map(({ name, match, except, target, ttlSeconds, otherTypes }) => ({
      name,
      match: defaultedNames(match),
      except: defaultedNames(except),
      target: { addresses: (target.addresses ?? []).map(canonicalAddress) },
      ttlSeconds: ttlSeconds ?? 30,
      otherTypes: otherTypes ?? 'NoData',
    })),
    hosts: (spec.hosts ?? []).map(({ hostnames, addresses, ttlSeconds }) => ({
      hostnames,
      addresses: addresses.map(canonicalAddress),
      ttlSeconds: ttlSeconds ?? 60,
    })),
    blockedDomains: (spec.blockedDomains ?? []).map(({ domain, response }) => ({
      domain,
      response: response ?? 'NxDomain',
    })),
    searchPath: spec.searchPath ?? 'Disabled',
    cache: defaultedCache(spec.cache),
    rollout: defaultedRollout(spec.rollout),
    protection: {
      rebind: {
        mode: spec.protection?.rebind?.mode ?? 'Disabled',
        allowedDomains: spec.protection?.rebind?.allowedDomains ?? [],
        allowLoopback: spec.protection?.rebind?.allowLoopback ?? true,
        extraPrefixes: spec.protection?.rebind?.extraPrefixes ?? [],
      },
      privateReverse: { mode: spec.protection?.privateReverse?.mode ?? 'Disabled' },
      singleLabelNames: { mode: spec.protection?.singleLabelNames?.mode ?? 'Disabled' },
    },
  };
}

function defaultListener(
  name: 'cluster' | 'node',
  { addresses, tracked }: { addresses?: string[] | undefined; tracked?: boolean | undefined },
  intercept: boolean | undefined,
): DefaultedListener {
  return {
    addresses: (addresses ?? defaultListeners[name].addresses).map(canonicalAddress),
    intercept: intercept ?? true,
    tracked: tracked ?? false,
  };
}

function withPort(server: string, port = dnsPort): string {
  const endpoint = parseEndpoint(server, port);
  return endpoint === undefined ? server : formatEndpoint(endpoint);
}

/** The root zone and the cluster domain always exist in both maps. Zones come sorted, so that equal specs render equally. */
function defaultBlocks(spec: ProfileSpec, map: 'kubeDNSOverrides' | 'vnetDNSOverrides') {
  const clusterDomain = spec.clusterDomain ?? defaultClusterDomain;
  const given = spec[map] ?? {};
  const zones = [...new Set(['.', clusterDomain, ...Object.keys(given)])].sort();
  return Object.fromEntries(
    zones.map((zone): [string, DefaultedServerBlock] => {
      const isClusterDomain = zone === clusterDomain;
      const block = given[zone] ?? {};
      return [
        zone,
        {
          queryLogging: block.queryLogging ?? 'Error',
          protocol: block.protocol ?? (isClusterDomain ? 'ForceTCP' : 'PreferUDP'),
          forwardDestination: effectiveDestination(spec, map, zone),
          forwardPolicy: block.forwardPolicy ?? 'Sequential',
          maxConcurrent: block.maxConcurrent ?? 1000,
          cacheDurationInSeconds: block.cacheDurationInSeconds ?? 3600,
          negativeCacheDurationInSeconds: block.negativeCacheDurationInSeconds ?? (isClusterDomain ? 5 : 30),
          serveStaleDurationInSeconds: block.serveStaleDurationInSeconds ?? 3600,
          serveStale: block.serveStale ?? 'Immediate',
        },
      ];
    }),
  );
}
