/**
 * The rendered configuration of one node: the file in which the operator and the agent meet. The operator writes it into
 * `LocalDnsNode.spec.config`; the agent parses it strictly, so that an older agent refuses what it does not know.
 */
import { createHash } from 'node:crypto';
import { isAddress, isPrefix, isUnicast, parseEndpoint } from './address.ts';
import { isCaBundle, notABundle } from './ca-bundle.ts';
import { PatternBudget } from './pattern.ts';
import { z } from './schema.ts';

/** Raised when an agent of the last release could misread what is written now. */
export const formatVersion = 1;

/** What an agent reads; that of the last release stays for a release, since the configuration on a node's disk may be of it. */
export const readVersions: readonly number[] = [formatVersion];

const seconds = z.int().min(0).max(2_147_483_647);
const ipAddress = z.string().refine(isAddress, 'must be an IP address');
const prefix = z.string().refine(isPrefix, 'must be a network: an IP address, a slash and a number of bits');
const server = z
  .string()
  .refine((text) => isUnicast(parseEndpoint(text)?.address ?? ''), 'must be a unicast IP address with a port');
const caBundle = z.string().refine(isCaBundle, notABundle);

const serverBlockConfig = z.strictObject({
  /** `.` or a lower-case domain name without a trailing dot. */
  zone: z.string().min(1).max(253),
  queryLogging: z.enum(['Error', 'Log']),
  protocol: z.enum(['PreferUDP', 'PreferTCP', 'ForceTCP']),
  forwardDestination: z.string().min(1).max(63),
  forwardPolicy: z.enum(['Sequential', 'RoundRobin', 'Random']),
  maxConcurrent: seconds,
  cacheDurationInSeconds: seconds,
  negativeCacheDurationInSeconds: seconds,
  serveStaleDurationInSeconds: seconds,
  serveStale: z.enum(['Verify', 'Immediate', 'Disable']),
});

const listenerConfig = z.strictObject({
  name: z.enum(['cluster', 'node']),
  /** Without ports: the agent serves on 53 unless its options replace the addresses. */
  addresses: z.array(ipAddress).min(1),
  /** Answers also what is sent to the cluster DNS Service (cluster) or to the node's own resolvers (node). */
  intercept: z.boolean(),
  /** Connection tracking sees what is served here. */
  tracked: z.boolean(),
  serverBlocks: z.array(serverBlockConfig).min(1),
});

const names = z.strictObject({
  exact: z.array(z.string()),
  /** Domains, with all names below them. */
  suffixes: z.array(z.string()),
  patterns: z.array(z.string()),
});

/** What the agent answers itself, at every listener. A configuration leaves out what is empty. */
const localAnswers = {
  hosts: z
    .array(
      z.strictObject({
        hostnames: z.array(z.string()).min(1),
        addresses: z.array(ipAddress).min(1),
        ttlSeconds: seconds,
      }),
    )
    .optional(),
  blockedDomains: z
    .array(z.strictObject({ domain: z.string(), response: z.enum(['NxDomain', 'NullAddress']) }))
    .optional(),
  redirects: z
    .array(
      z.strictObject({
        name: z.string(),
        match: names,
        except: names,
        /** None where the Service that it leads to has no ready endpoint: the names are nobody else's meanwhile. */
        addresses: z.array(ipAddress),
        ttlSeconds: seconds,
        otherTypes: z.enum(['NoData', 'Forward']),
      }),
    )
    .superRefine((redirects, context) => {
      const budget = new PatternBudget();
      for (const [at, redirect] of redirects.entries()) {
        for (const part of ['match', 'except'] as const) {
          for (const [of, text] of redirect[part].patterns.entries()) {
            const message = budget.error(text);
            if (message !== undefined) context.addIssue({ code: 'custom', message, path: [at, part, 'patterns', of] });
          }
        }
      }
    })
    .optional(),
  /** Addresses of names of one label are not asked about. */
  singleLabelNames: z.literal('NxDomain').optional(),
  /** Names of private addresses do not exist, but for those of pods and Services. */
  privateReverse: z.strictObject({ exceptRanges: z.array(prefix) }).optional(),
  /** What becomes of answers that lead from public names to private addresses. */
  rebind: z
    .strictObject({
      mode: z.enum(['Report', 'Enforce']),
      allowedDomains: z.array(z.string()),
      allowLoopback: z.boolean(),
      extraPrefixes: z.array(prefix),
    })
    .optional(),
};

export const nodeConfig = z.strictObject({
  formatVersion: z.literal(formatVersion),
  clusterDomain: z.string().min(1).max(253),
  /** The cluster DNS Service whose ready endpoints ClusterCoreDNS means; its addresses serve where none is known. */
  clusterDNS: z.strictObject({
    namespace: z.string(),
    service: z.string(),
    addresses: z.array(ipAddress),
  }),
  listeners: z.array(listenerConfig).min(1),
  upstreams: z.array(
    z.strictObject({
      name: z.string(),
      servers: z.array(server).min(1),
      /** Asked over TLS alone, and the server must prove this name. */
      tls: z.strictObject({ serverName: z.string(), caBundle: caBundle.optional() }).optional(),
      queryBudget: z.strictObject({ perSecond: z.int().min(1), burst: z.int().min(1) }).optional(),
    }),
  ),
  /** Left out where it is as usual. */
  cache: z.strictObject({ maxBytes: z.int().min(1), prefetch: z.boolean(), warmRestart: z.boolean() }).optional(),
  /** What becomes of names that search paths make and cluster DNS cannot have. */
  searchPath: z.enum(['Report', 'Spec']).optional(),
  ...localAnswers,
});

export type NodeConfig = z.output<typeof nodeConfig>;
export type ListenerConfig = NodeConfig['listeners'][number];
export type RedirectNames = z.output<typeof names>;
export type ServerBlockConfig = ListenerConfig['serverBlocks'][number];

/** The configuration, or why this agent refuses it, in one sentence. */
export function parseNodeConfig(value: unknown): { config: NodeConfig } | { error: string } {
  const format = (value as { formatVersion?: unknown } | null)?.formatVersion;
  if (format !== formatVersion) {
    return {
      error: `configuration format ${JSON.stringify(format)} is not known here, only ${formatVersion}: upgrade the agent`,
    };
  }
  const parsed = nodeConfig.safeParse(value);
  if (!parsed.success) {
    return {
      error: parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '),
    };
  }
  const config = parsed.data;
  const destinations = new Set(['ClusterCoreDNS', 'VnetDNS', ...config.upstreams.map(({ name }) => name)]);
  for (const { name, serverBlocks } of config.listeners) {
    if (!serverBlocks.some(({ zone }) => zone === '.')) return { error: `listener ${name} has no root zone` };
    const lost = serverBlocks.find(({ forwardDestination }) => !destinations.has(forwardDestination));
    if (lost !== undefined) {
      return {
        error: `zone ${lost.zone} of listener ${name} is forwarded to ${lost.forwardDestination}, which is not defined`,
      };
    }
  }
  return { config };
}

/**
 * By which operator and agent agree what is applied: the format, and a hash that is equal for equal configurations, in any order of
 * keys.
 */
export function revisionOf(value: unknown): string {
  const format = (value as { formatVersion?: unknown } | null)?.formatVersion;
  return `v${typeof format === 'number' ? format : 0}-${createHash('sha256').update(canonicalJson(value)).digest('hex').slice(0, 12)}`;
}

/** The same text for the same value, in whatever order its fields stand. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}
