/**
 * The rules of a profile that concern more than one field, each once as CEL (the API server refuses at `kubectl apply`) and
 * once as a function (files, `validate`, the operator's second look), with one message for both. A test applies the same
 * cases to both and to a real API server.
 */
import { canonicalAddress, dnsPort, formatEndpoint, isAddress, isPrefix, isUnicast, parseEndpoint } from './address.ts';
import { isCaBundle, notABundle } from './ca-bundle.ts';
import { bytesOf, maxCacheBytes, minCacheBytes } from './cache-settings.ts';
import { optOut } from './labels.ts';
import type { ProfileSpec } from './profile.ts';
import { domainNamePattern } from './schema.ts';
import { tlsPort, type UpstreamSpec } from './upstreams.ts';
import { isWithin } from './zone.ts';

export interface Rule {
  rule: string;
  message: string;
  /** Names the first of the zones: a fieldPath can name the map alone, and to name all costs more than the API server allows. */
  messageExpression?: string;
  fieldPath?: string;
  /** Paths of the fields that break the rule; empty where it holds. The spec has passed the schema. */
  broken: (spec: ProfileSpec) => string[];
}

type Overrides = 'kubeDNSOverrides' | 'vnetDNSOverrides';
const overrides = ['kubeDNSOverrides', 'vnetDNSOverrides'] as const satisfies readonly Overrides[];

export const defaultClusterDomain = 'cluster.local';
export const defaultListeners = {
  cluster: { addresses: ['169.254.10.11', 'fdcd:6c64:6e73::11'], interceptClusterDNS: true, tracked: false },
  node: { addresses: ['169.254.10.10', 'fdcd:6c64:6e73::10'], interceptNodeResolvers: true, tracked: false },
};

/** Where a zone of a map is forwarded, by its own field or by the defaults that product documentation gives. */
export function effectiveDestination(spec: ProfileSpec, map: Overrides, zone: string): string {
  const blocks = spec[map] ?? {};
  const own = blocks[zone]?.forwardDestination;
  if (own !== undefined) return own;
  if (zone === (spec.clusterDomain ?? defaultClusterDomain)) return 'ClusterCoreDNS';
  return blocks['.']?.forwardDestination ?? (map === 'kubeDNSOverrides' ? 'ClusterCoreDNS' : 'VnetDNS');
}

function zonesWhere(spec: ProfileSpec, maps: readonly Overrides[], bad: (map: Overrides, zone: string) => boolean) {
  return maps.flatMap((map) =>
    Object.keys(spec[map] ?? {})
      .filter((zone) => bad(map, zone))
      .map((zone) => `spec.${map}[${JSON.stringify(zone)}]`),
  );
}

function listenerAddresses(spec: ProfileSpec, listener: 'cluster' | 'node'): string[] {
  const listeners = spec.listeners ?? defaultListeners;
  if (listeners[listener] === undefined) return [];
  return listeners[listener].addresses ?? defaultListeners[listener].addresses;
}

function serversWhere(
  spec: ProfileSpec,
  bad: (server: string, upstream: UpstreamSpec, at: number) => boolean,
): string[] {
  return (spec.upstreams ?? []).flatMap((upstream, of) =>
    (upstream.servers ?? []).flatMap((server, at) =>
      bad(server, upstream, at) ? [`spec.upstreams[${of}].servers[${at}]`] : [],
    ),
  );
}

const notAnAddress = 'addresses are IP addresses without a port, such as 192.0.2.1 or 2001:db8::1';

function malformed(addresses: readonly string[], field: string): string[] {
  return addresses.flatMap((address, at) => (isAddress(address) ? [] : [`${field}[${at}]`]));
}

const validZone = new RegExp(domainNamePattern);

const celWithin = "(z == self.clusterDomain || z.endsWith('.' + self.clusterDomain))";
/** For each zone of a map. */
function zoneRule(map: Overrides, condition: string, message: string): Omit<Rule, 'broken'> {
  const holds = condition.replaceAll('MAP', `self.${map}`);
  return {
    rule: `!has(self.${map}) || self.${map}.all(z, ${holds})`,
    message,
    messageExpression: `self.${map}.filter(z, !(${holds}))[0] + ': ' + ${JSON.stringify(message)}`,
    fieldPath: `.${map}`,
  };
}
const celAddresses = (listener: 'cluster' | 'node') =>
  `(has(self.listeners.${listener}) ? self.listeners.${listener}.addresses : [])`;
const celHost = "(s.startsWith('[') ? s.substring(1).split(']')[0] : s.split(':').size() == 2 ? s.split(':')[0] : s)";
const celUnicast = (a: string) =>
  `!ip(${a}).isUnspecified() && (ip(${a}).family() == 6 ? !${a}.lowerAscii().startsWith('ff') : int(${a}.split('.')[0]) > 0 && int(${a}.split('.')[0]) < 224)`;
const celPort =
  "(s.startsWith('[') ? (s.endsWith(']') ? '53' : s.split(']:').size() == 2 ? s.split(']:')[1] : 'x') : s.split(':').size() == 2 ? s.split(':')[1] : '53')";

export const profileRules: readonly Rule[] = [
  ...overrides.map(
    (map): Rule => ({
      ...zoneRule(
        map,
        `z == '.' || (size(z) <= 253 && z.matches('${domainNamePattern}'))`,
        'zones are lower-case domain names without a trailing dot, such as corp.example, or "." for everything else',
      ),
      broken: (spec) =>
        zonesWhere(spec, [map], (_, zone) => zone !== '.' && (zone.length > 253 || !validZone.test(zone))),
    }),
  ),
  ...overrides.map(
    (map): Rule => ({
      ...zoneRule(
        map,
        `!${celWithin} || (has(MAP[z].forwardDestination) ? MAP[z].forwardDestination != 'VnetDNS' : z == self.clusterDomain || ` +
          (map === 'kubeDNSOverrides'
            ? `!('.' in MAP) || !has(MAP['.'].forwardDestination) || MAP['.'].forwardDestination != 'VnetDNS')`
            : `('.' in MAP && has(MAP['.'].forwardDestination) && MAP['.'].forwardDestination != 'VnetDNS'))`),
        "the cluster domain and what is below it cannot be forwarded to VnetDNS, because the node's resolvers do not know it: set forwardDestination to ClusterCoreDNS or to an upstream",
      ),
      broken: (spec) =>
        zonesWhere(
          spec,
          [map],
          (_, zone) =>
            isWithin(zone, spec.clusterDomain ?? defaultClusterDomain) &&
            effectiveDestination(spec, map, zone) === 'VnetDNS',
        ),
    }),
  ),
  {
    ...zoneRule(
      'vnetDNSOverrides',
      `${celWithin} || !has(MAP[z].forwardDestination) || MAP[z].forwardDestination != 'ClusterCoreDNS'`,
      "a zone outside the cluster domain cannot be forwarded to ClusterCoreDNS here, because cluster DNS asks the node's resolvers in turn, which is a loop: set forwardDestination to VnetDNS or to an upstream",
    ),
    broken: (spec) =>
      zonesWhere(
        spec,
        ['vnetDNSOverrides'],
        (map, zone) =>
          !isWithin(zone, spec.clusterDomain ?? defaultClusterDomain) &&
          spec[map]?.[zone]?.forwardDestination === 'ClusterCoreDNS',
      ),
  },
  ...overrides.map(
    (map): Rule => ({
      ...zoneRule(
        map,
        `!has(MAP[z].forwardDestination) || MAP[z].forwardDestination in ['ClusterCoreDNS', 'VnetDNS'] || (has(self.upstreams) && self.upstreams.exists(u, u.name == MAP[z].forwardDestination))`,
        'forwardDestination names an upstream that is not declared: declare it in upstreams, or use ClusterCoreDNS or VnetDNS',
      ),
      broken: (spec) => {
        const known = new Set(['ClusterCoreDNS', 'VnetDNS', ...(spec.upstreams ?? []).map(({ name }) => name)]);
        return zonesWhere(spec, [map], (_, zone) => !known.has(effectiveDestination(spec, map, zone)));
      },
    }),
  ),
  {
    rule: `!has(self.upstreams) || self.upstreams.all(u, !has(u.servers) || u.servers.all(s, isIP(${celHost}) && (!s.startsWith('[') || ip(${celHost}).family() == 6) && ${celPort}.matches('^[0-9]{1,5}$') && int(${celPort}) >= 1 && int(${celPort}) <= 65535))`,
    message: 'servers are IP addresses with an optional port: 192.0.2.1, 192.0.2.1:53, 2001:db8::1 or [2001:db8::1]:53',
    fieldPath: '.upstreams',
    broken: (spec) =>
      serversWhere(spec, (server) => server.includes('%') || !isAddress(parseEndpoint(server)?.address ?? '')),
  },
  {
    rule: `!has(self.upstreams) || self.upstreams.all(u, !has(u.servers) || u.servers.all(s, !isIP(${celHost}) || ${celUnicast(celHost)}))`,
    message:
      'a server is at a unicast address: unspecified, multicast and broadcast addresses such as 0.0.0.0, :: and 224.0.0.1 are nobody in particular',
    fieldPath: '.upstreams',
    broken: (spec) =>
      serversWhere(spec, (server) => {
        const { address = '' } = parseEndpoint(server) ?? {};
        return isAddress(address) && !isUnicast(address);
      }),
  },
  {
    // By the letter: that 2001:DB8::1 is 2001:db8::1 costs the API server more than it allows.
    rule: `!has(self.upstreams) || self.upstreams.all(u, !has(u.servers) || u.servers.all(s, !(s + (has(u.tls) ? ':${tlsPort}' : ':${dnsPort}') in u.servers) && !('[' + s + ']' in u.servers) && !('[' + s + (has(u.tls) ? ']:${tlsPort}' : ']:${dnsPort}') in u.servers)))`,
    message: `a server stands twice: one without a port is asked at port ${dnsPort}, or with tls at ${tlsPort}`,
    fieldPath: '.upstreams',
    broken: (spec) =>
      serversWhere(spec, (server, { servers = [], tls }, at) => {
        const normal = (text: string) => {
          const endpoint = parseEndpoint(text, tls === undefined ? dnsPort : tlsPort);
          return endpoint && formatEndpoint(endpoint);
        };
        const own = normal(server);
        // What is spelt alike is told as a duplicate value.
        return (
          own !== undefined && servers.slice(0, at).some((earlier) => earlier !== server && normal(earlier) === own)
        );
      }),
  },
  {
    rule: "!has(self.upstreams) || self.upstreams.all(u, !has(u.tls) || !has(u.tls.caBundle) || (u.tls.caBundle.contains('-----BEGIN CERTIFICATE-----') && u.tls.caBundle.contains('-----END CERTIFICATE-----')))",
    message: notABundle,
    fieldPath: '.upstreams',
    broken: (spec) =>
      (spec.upstreams ?? []).flatMap(({ tls }, at) =>
        tls?.caBundle === undefined || isCaBundle(tls.caBundle) ? [] : [`spec.upstreams[${at}].tls.caBundle`],
      ),
  },
  {
    rule: '!has(self.upstreams) || self.upstreams.all(u, has(u.servers) != has(u.preset))',
    message: 'an upstream has either servers or a preset',
    fieldPath: '.upstreams',
    broken: (spec) =>
      (spec.upstreams ?? []).flatMap(({ servers, preset }, at) =>
        (servers === undefined) === (preset === undefined) ? [`spec.upstreams[${at}]`] : [],
      ),
  },
  {
    rule: '!has(self.upstreams) || self.upstreams.all(u, !has(u.preset) || !has(u.tls))',
    message:
      'the resolvers of a preset do not speak TLS: leave out tls, or name servers that do in place of the preset',
    fieldPath: '.upstreams',
    broken: (spec) =>
      (spec.upstreams ?? []).flatMap(({ preset, tls }, at) =>
        preset === undefined || tls === undefined ? [] : [`spec.upstreams[${at}].tls`],
      ),
  },
  {
    rule: `[${celAddresses('cluster')} + ${celAddresses('node')}].all(own, own.all(a, !isIP(a) || !has(self.upstreams) || self.upstreams.all(u, !has(u.servers) || u.servers.all(s, !isIP(${celHost}) || ip(${celHost}) != ip(a)))))`,
    message:
      'an upstream cannot be an address that LocalDNS itself listens on, which is a loop: name the real resolver',
    fieldPath: '.upstreams',
    broken: (spec) => {
      const own = [...listenerAddresses(spec, 'cluster'), ...listenerAddresses(spec, 'node')].map(canonicalAddress);
      return serversWhere(spec, (server) => own.includes(parseEndpoint(server)?.address ?? ''));
    },
  },
  {
    rule: `(${celAddresses('cluster')} + ${celAddresses('node')}).all(a, isIP(a) && ${celUnicast('a')})`,
    message: 'listener addresses are unicast IP addresses without a port, such as 169.254.10.11',
    fieldPath: '.listeners',
    broken: (spec) =>
      (['cluster', 'node'] as const).flatMap((listener) =>
        listenerAddresses(spec, listener).flatMap((address, at) =>
          isUnicast(address) ? [] : [`spec.listeners.${listener}.addresses[${at}]`],
        ),
      ),
  },
  {
    rule: 'has(self.listeners.cluster) || has(self.listeners.node)',
    message: 'name at least one of listeners.cluster and listeners.node, or use mode Disabled to serve nothing',
    fieldPath: '.listeners',
    broken: (spec) =>
      spec.listeners !== undefined && spec.listeners.cluster === undefined && spec.listeners.node === undefined
        ? ['spec.listeners']
        : [],
  },
  {
    // Not by `ip(a) == ip(b)`: what that costs an API server of 1.31 does not know, assumes the worst, and refuses the CRD.
    rule: `!has(self.listeners.cluster) || !has(self.listeners.node) || self.listeners.cluster.addresses.all(a, self.listeners.node.addresses.all(b, a != b && (!isIP(a) || !isIP(b) || !cidr(a + (a.contains(':') ? '/128' : '/32')).containsIP(b))))`,
    message:
      'an address can belong to one listener only: give listeners.cluster and listeners.node different addresses',
    fieldPath: '.listeners',
    broken: (spec) => {
      const cluster = new Set(listenerAddresses(spec, 'cluster').map(canonicalAddress));
      return listenerAddresses(spec, 'node').flatMap((address, at) =>
        cluster.has(canonicalAddress(address)) ? [`spec.listeners.node.addresses[${at}]`] : [],
      );
    },
  },
  {
    rule: '!has(self.redirects) || self.redirects.all(r, has(r.match.exact) || has(r.match.suffixes) || has(r.match.patterns))',
    message: 'a redirect needs names to match: exact, suffixes or patterns',
    fieldPath: '.redirects',
    broken: (spec) =>
      (spec.redirects ?? []).flatMap(({ match }, at) =>
        Object.values(match).some((names) => (names ?? []).length > 0) ? [] : [`spec.redirects[${at}].match`],
      ),
  },
  {
    rule: '!has(self.redirects) || self.redirects.all(r, !has(r.target.addresses) || r.target.addresses.all(a, isIP(a)))',
    message: notAnAddress,
    fieldPath: '.redirects',
    broken: (spec) =>
      (spec.redirects ?? []).flatMap(({ target }, at) =>
        malformed(target.addresses ?? [], `spec.redirects[${at}].target.addresses`),
      ),
  },
  {
    rule: '!has(self.redirects) || self.redirects.all(r, has(r.target.addresses) != has(r.target.serviceRef))',
    message: 'a target is either addresses or a serviceRef',
    fieldPath: '.redirects',
    broken: (spec) =>
      (spec.redirects ?? []).flatMap(({ target }, at) =>
        (target.addresses === undefined) === (target.serviceRef === undefined) ? [`spec.redirects[${at}].target`] : [],
      ),
  },
  {
    rule: '!has(self.hosts) || self.hosts.all(h, h.addresses.all(a, isIP(a)))',
    message: notAnAddress,
    fieldPath: '.hosts',
    broken: (spec) =>
      (spec.hosts ?? []).flatMap(({ addresses }, at) => malformed(addresses, `spec.hosts[${at}].addresses`)),
  },
  {
    rule: '!has(self.protection) || !has(self.protection.rebind) || !has(self.protection.rebind.extraPrefixes) || self.protection.rebind.extraPrefixes.all(p, isCIDR(p))',
    message: 'prefixes are networks, such as 203.0.113.0/24 or 2001:db8::/32',
    fieldPath: '.protection',
    broken: (spec) =>
      (spec.protection?.rebind?.extraPrefixes ?? []).flatMap((prefix, at) =>
        isPrefix(prefix) ? [] : [`spec.protection.rebind.extraPrefixes[${at}]`],
      ),
  },
  {
    rule: "!has(self.cache) || !has(self.cache.maxBytes) || !isQuantity(self.cache.maxBytes) || (quantity(self.cache.maxBytes).compareTo(quantity('1Mi')) >= 0 && quantity(self.cache.maxBytes).compareTo(quantity('4Gi')) <= 0)",
    message: 'cache.maxBytes is at least 1Mi and at most 4Gi',
    fieldPath: '.cache',
    broken: (spec) => {
      const bytes = bytesOf(spec.cache?.maxBytes ?? '1Mi');
      // What is no quantity is told by the schema.
      return !(bytes < minCacheBytes || bytes > maxCacheBytes) ? [] : ['spec.cache.maxBytes'];
    },
  },
  {
    rule: `!has(self.nodeSelector) || !has(self.nodeSelector.matchExpressions) || self.nodeSelector.matchExpressions.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && size(e.values) > 0))`,
    message: 'In and NotIn need at least one value; Exists and DoesNotExist take none',
    fieldPath: '.nodeSelector',
    broken: (spec) =>
      (spec.nodeSelector?.matchExpressions ?? []).flatMap(({ operator, values }, at) =>
        (operator === 'In' || operator === 'NotIn') === (values ?? []).length > 0
          ? []
          : [`spec.nodeSelector.matchExpressions[${at}].values`],
      ),
  },
];

/** Rules about the object's name: it stands as the value of a node label, where `none` means opted out. */
export const rootRules = [
  {
    rule: `self.metadata.name != '${optOut}' && size(self.metadata.name) <= 63`,
    message: `a profile's name stands as a label value on nodes: at most 63 characters, and not "${optOut}", which opts a node out`,
    broken: (name: string): string[] => (name === optOut || name.length > 63 ? ['metadata.name'] : []),
  },
] as const;
