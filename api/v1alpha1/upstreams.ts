/** The part of a profile that names servers beside the built-in destinations. */
import { dnsLabelPattern, domainNamePattern, withKeywords, z } from './schema.ts';

/** RFC 7858 §3.1. */
export const tlsPort = 853;

export interface QueryBudget {
  perSecond: number;
  burst: number;
}

/** Of less nothing could be kept for others while one asks without end. */
const leastUsualBurst = 4;

interface Preset {
  servers: readonly string[];
  queryBudget?: QueryBudget;
}

/**
 * Resolvers that clouds give their networks, with budgets below the limits that they document for one network interface, or
 * machine: what goes out in a second is at most `perSecond` and `burst` together, and each query is one packet over UDP.
 */
export const presets = {
  /** 1,024 packets a second for each interface; what is over it is dropped without a word. */
  AwsVpc: { servers: ['169.254.169.253', 'fd00:ec2::253'], queryBudget: { perSecond: 900, burst: 100 } },
  /** 1,000 queries a second for each virtual machine. */
  Azure: { servers: ['168.63.129.16'], queryBudget: { perSecond: 900, burst: 100 } },
  /** Cloud DNS has no quota for queries, as its page of quotas says. */
  Gcp: { servers: ['169.254.169.254'] },
} as const satisfies Record<string, Preset>;

export const serverNamePattern = `${domainNamePattern}|^[0-9.]+$|^[0-9a-f:]+$`;

export const upstream = z.strictObject({
  name: withKeywords(z.string().max(63).regex(new RegExp(dnsLabelPattern)), {
    description: 'Name by which forwardDestination refers to it: lower-case letters, digits and hyphens.',
  }),
  servers: withKeywords(z.array(z.string().max(64)).min(1).max(16), {
    description:
      'IP addresses with an optional port (53; 853 with tls): 192.0.2.1, 192.0.2.1:53, 2001:db8::1, [2001:db8::1]:53.',
    listType: 'set',
  }).optional(),
  preset: z
    .enum(Object.keys(presets) as [keyof typeof presets, ...(keyof typeof presets)[]])
    .optional()
    .describe(
      "In place of servers: a cloud's own resolver, with a queryBudget below the limit that the cloud documents.",
    ),
  tls: z
    .strictObject({
      serverName: z
        .string()
        .max(253)
        .regex(new RegExp(serverNamePattern))
        .describe("The name, or IP address, that the servers' certificates must be for."),
      caBundle: z
        .string()
        .max(65_536)
        .optional()
        .describe('Certificates in PEM that are trusted in place of the public ones: those of a company, say.'),
    })
    .optional()
    .describe('Asks these servers over TLS (RFC 7858), whatever protocol says, and never in any other way.'),
  queryBudget: z
    .strictObject({
      perSecond: withKeywords(z.int().min(1).max(1_000_000), { format: 'int32' }).describe(
        'Queries a second that one node sends to these servers, all together, on the long run.',
      ),
      burst: withKeywords(z.int().min(1).max(1_000_000), { format: 'int32' })
        .optional()
        .describe('Queries at once after a pause. Default: a tenth of perSecond, at least 4.'),
      onExceeded: z
        .enum(['ServeStaleOrServFail'])
        .optional()
        .describe(
          'What becomes of queries over the budget: an expired answer where the server block allows it, else SERVFAIL.',
        ),
    })
    .optional()
    .describe('How often the servers may be asked, where somebody counts.'),
});

export type UpstreamSpec = z.input<typeof upstream>;

export interface DefaultedUpstream {
  name: string;
  servers: string[];
  tls?: { serverName: string; caBundle?: string | undefined };
  queryBudget?: QueryBudget;
}

/** @param normal a server with its port, in canonical form */
export function defaultedUpstream(
  { name, servers, preset, tls, queryBudget }: UpstreamSpec,
  normal: (server: string, port?: number) => string,
): DefaultedUpstream {
  const from: Preset = preset === undefined ? { servers: servers ?? [] } : presets[preset];
  const budget = queryBudget ?? from.queryBudget;
  return {
    name,
    servers: from.servers.map((server) => normal(server, tls && tlsPort)),
    ...(tls && { tls }),
    ...(budget && {
      queryBudget: {
        perSecond: budget.perSecond,
        burst: budget.burst ?? Math.max(leastUsualBurst, Math.floor(budget.perSecond / 10)),
      },
    }),
  };
}
