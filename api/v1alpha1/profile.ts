/**
 * LocalDnsProfile: what a person writes. The schema below is the single source of the TypeScript types, of the strict parse
 * of profile files, and of the CRD in crds/. A field stands here only if the product does what it says.
 */

import { cacheSettings } from './cache-settings.ts';
import { apiVersion, profileKind } from './labels.ts';
import { localAnswerFields } from './local-answers.ts';
import { defaultClusterDomain, defaultListeners, profileRules, rootRules } from './profile-rules.ts';
import { rolloutSettings, rolloutStatus } from './rollout-settings.ts';
import { conditionSchema, count, domainNamePattern, withKeywords, z } from './schema.ts';
import { upstream } from './upstreams.ts';

const destination = z.string().min(1).max(63);

const serverBlock = z.strictObject({
  queryLogging: z
    .enum(['Error', 'Log'])
    .optional()
    .describe('Error logs failures; Log writes one line a query, and failures too. Default: Error.'),
  protocol: z
    .enum(['PreferUDP', 'PreferTCP', 'ForceTCP'])
    .optional()
    .describe(
      'Transport towards the upstream; the client keeps its own. PreferUDP repeats a truncated answer over TCP. PreferTCP asks over UDP where no server answers over TCP. ForceTCP never asks over UDP: an upstream that refuses TCP counts as down. Default: ForceTCP for the cluster domain, else PreferUDP.',
    ),
  forwardDestination: destination
    .optional()
    .describe(
      "Where queries go that the cache cannot answer: VnetDNS (the node's own resolvers), ClusterCoreDNS (the ready endpoints of the cluster DNS Service), or the name of an upstream of this profile. Default: ClusterCoreDNS for the cluster domain and for the root zone of kubeDNSOverrides, VnetDNS for the root zone of vnetDNSOverrides, else that of the root zone of the same map.",
    ),
  forwardPolicy: z
    .enum(['Sequential', 'RoundRobin', 'Random'])
    .optional()
    .describe(
      'Order in which healthy servers are asked; a dead one is remembered under every policy. Default: Sequential.',
    ),
  maxConcurrent: count()
    .optional()
    .describe(
      'Upstream queries in flight at most; queries over it are REFUSED, and counted. Cache hits do not count. 0: no bound. Default: 1000.',
    ),
  cacheDurationInSeconds: count()
    .optional()
    .describe('Upper bound in seconds on a cached TTL, positive or negative. 0: do not cache. Default: 3600.'),
  negativeCacheDurationInSeconds: count()
    .optional()
    .describe('Upper bound in seconds on a cached NXDOMAIN or NODATA. Default: 30; 5 for the cluster domain.'),
  serveStaleDurationInSeconds: count()
    .optional()
    .describe('How many seconds past its TTL an answer may still be used. 0: never. Default: 3600.'),
  serveStale: z
    .enum(['Verify', 'Immediate', 'Disable'])
    .optional()
    .describe(
      'Verify asks upstream first, and answers from an expired entry after a failure or 1.8 s. Immediate answers from it at once and refreshes it behind. Both mark the answer (Extended DNS Error 3 or 19, TTL at most 30 s), and retry a refresh that failed after 30 s. Disable never answers from an expired entry. Default: Immediate.',
    ),
});

const zoneMap = (words: string) =>
  withKeywords(z.record(z.string().max(253), serverBlock), {
    description: `${words} Keys are zones: "." for everything else, the others lower-case domain names; the longest that matches wins.`,
    maxProperties: 64,
  });

const addresses = (description: string) =>
  withKeywords(z.array(z.string().max(45)).min(1).max(8), { description, listType: 'set' });

const tracked = z
  .boolean()
  .default(false)
  .describe(
    'Whether connection tracking sees what this listener serves: for network policies that are enforced by it. It leaves a conntrack entry for each query.',
  );

const listeners = z
  .strictObject({
    cluster: z
      .strictObject({
        addresses: addresses(
          'IP addresses to serve on, port 53. Default: 169.254.10.11 and fdcd:6c64:6e73::11.',
        ).default(defaultListeners.cluster.addresses),
        interceptClusterDNS: z
          .boolean()
          .default(true)
          .describe(
            'Whether queries to the cluster DNS Service are answered on the node, so that pods need no change.',
          ),
        tracked,
      })
      .optional()
      .describe('Serves kubeDNSOverrides: pods with dnsPolicy ClusterFirst. Not opened where left out.'),
    node: z
      .strictObject({
        addresses: addresses(
          'IP addresses to serve on, port 53. Default: 169.254.10.10 and fdcd:6c64:6e73::10.',
        ).default(defaultListeners.node.addresses),
        interceptNodeResolvers: z
          .boolean()
          .default(true)
          .describe(
            "Whether queries to the node's own resolvers are answered on the node; cluster DNS pods are left alone.",
          ),
        tracked,
      })
      .optional()
      .describe(
        'Serves vnetDNSOverrides: pods with dnsPolicy Default, and processes of the node. Not opened where left out.',
      ),
  })
  .describe('The addresses on which the agent of a node answers. Default: both listeners.');

const labelSelector = z
  .strictObject({
    matchLabels: withKeywords(z.record(z.string(), z.string().max(63)), {
      maxProperties: 32,
      description: 'Labels and values that a node must have, all of them.',
    }).optional(),
    matchExpressions: withKeywords(
      z
        .array(
          z.strictObject({
            key: z.string().min(1).max(317).describe('The label that the requirement is about.'),
            operator: z
              .enum(['In', 'NotIn', 'Exists', 'DoesNotExist'])
              .describe('How the label relates to the values.'),
            values: withKeywords(z.array(z.string().max(63)).max(64), {
              listType: 'atomic',
              description: 'Values for In and NotIn; empty for Exists and DoesNotExist.',
            }).optional(),
          }),
        )
        .max(32),
      { listType: 'atomic', description: 'Requirements that a node must meet, all of them.' },
    ).optional(),
  })
  .describe(
    'Nodes that this profile serves where no label on the node names a profile. Left out: only labelled nodes.',
  );

export const profileSpec = withKeywords(
  z.strictObject({
    mode: z
      .enum(['Required', 'Preferred', 'Disabled'])
      .default('Preferred')
      .describe(
        'Required and Preferred serve the selected nodes. Of a part that only the operator can judge, such as a pattern or a Service, and that is not valid, Preferred leaves out that part, and Required refuses the whole: nodes keep what they have. Disabled keeps the claim on its nodes and does not serve them: their DNS is as if LocalDNS were not installed.',
      ),
    nodeSelector: labelSelector.optional(),
    priority: withKeywords(z.int().min(-2_147_483_648).max(2_147_483_647), { format: 'int32' })
      .default(0)
      .describe(
        'Of several profiles whose nodeSelector matches a node the highest priority serves it; on a tie the older.',
      ),
    clusterDomain: withKeywords(z.string().max(253).regex(new RegExp(domainNamePattern)), {
      description: "The cluster's DNS domain, as the kubelet has it.",
    }).default(defaultClusterDomain),
    listeners: listeners.default(defaultListeners),
    kubeDNSOverrides: zoneMap('Server blocks of the cluster listener.').optional(),
    vnetDNSOverrides: zoneMap('Server blocks of the node listener.').optional(),
    upstreams: withKeywords(z.array(upstream).max(32), {
      description: 'Named destinations beside the built-in ClusterCoreDNS and VnetDNS.',
      listType: 'map',
      listMapKeys: ['name'],
    }).optional(),
    ...localAnswerFields,
    searchPath: z
      .enum(['Disabled', 'Report', 'Spec'])
      .optional()
      .describe(
        'Names that the search path of a pod makes and that cluster DNS cannot have by the Kubernetes DNS specification, such as api.example.com.NAMESPACE.svc.cluster.local. Spec answers them on the node, but for a sample; where such a name exists, what is like it is asked of the servers from then on. Report asks as ever, and counts. Default: Disabled.',
      ),
    cache: cacheSettings.optional(),
    rollout: rolloutSettings.optional(),
  }),
  {
    validations: profileRules.map(({ rule, message, messageExpression, fieldPath }) => ({
      ...{ rule, message, fieldPath },
      ...(messageExpression !== undefined && { messageExpression }),
    })),
    description: 'What the selected nodes shall serve.',
  },
);

const nodeCounts = z.strictObject({
  selected: count().describe('Nodes that this profile serves.'),
  updated: count().describe(
    'Of these, nodes whose agent has applied the current revision, and that have proved it in their trial.',
  ),
  ready: count().describe('Of these, nodes that are updated and serve.'),
  failed: count().describe('Of these, nodes whose agent refused its configuration or cannot serve.'),
});

export const profileStatus = z
  .strictObject({
    observedGeneration: z.int().min(0).optional().describe('The generation of the spec that this status describes.'),
    revision: z.string().max(64).optional().describe('Hash of the accepted spec.'),
    nodes: nodeCounts.optional().describe('How many nodes are at which point.'),
    rollout: rolloutStatus.optional(),
    conditions: withKeywords(z.array(conditionSchema()), {
      listType: 'map',
      listMapKeys: ['type'],
      description: 'Accepted, Programmed, Progressing, Degraded, Conflicted.',
    }).optional(),
  })
  .describe('What the operator saw last.');

/** The manifest as files hold it. `metadata` is the API server's business and passes through. */
export const profileManifest = withKeywords(
  z.strictObject({
    apiVersion: z.literal(apiVersion),
    kind: z.literal(profileKind.kind),
    metadata: z.looseObject({ name: z.string().min(1).max(253) }),
    spec: profileSpec,
    status: profileStatus.optional(),
  }),
  { validations: rootRules.map(({ rule, message }) => ({ rule, message })) },
);

/** A spec as it stands in a file or in the API: defaults of the schema may be absent. */
export type ProfileSpec = z.input<typeof profileSpec>;
export type ServerBlock = z.input<typeof serverBlock>;
export type ProfileStatus = z.output<typeof profileStatus>;
export type LabelSelector = z.output<typeof labelSelector>;

/** What of ObjectMeta the product reads. */
export interface ObjectMeta {
  name: string;
  uid?: string;
  generation?: number;
  resourceVersion?: string;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  finalizers?: string[];
  labels?: Record<string, string>;
}

export interface LocalDnsProfile {
  metadata: ObjectMeta;
  spec: ProfileSpec;
  status?: ProfileStatus | undefined;
}
