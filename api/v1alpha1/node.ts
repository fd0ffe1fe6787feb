/** LocalDnsNode: one per served node, named as it and owned by it. The operator writes `spec`, that node's agent `status`. */
import type { Condition } from './conditions.ts';
import type { ObjectMeta } from './profile.ts';
import { conditionSchema, count, withKeywords, z } from './schema.ts';

export const nodeSpec = z
  .strictObject({
    profile: z.string().max(63).describe('The LocalDnsProfile that this configuration was rendered from.'),
    revision: z.string().max(64).describe('Versioned hash of the configuration.'),
    profileRevision: z
      .string()
      .max(253)
      .optional()
      .describe(
        "The revision of the profile that it was rendered from: the name of a ControllerRevision in the operator's namespace.",
      ),
    trial: z
      .strictObject({
        soakSeconds: withKeywords(z.int().min(0).max(86_400), { format: 'int32' }).describe(
          'How many seconds the agent serves with the configuration before it reports its health.',
        ),
        probes: withKeywords(z.array(z.string().max(253)).max(8), {
          listType: 'set',
          description: 'Names that the agent resolves at the end of that time.',
        }),
        attempt: count()
          .optional()
          .describe(
            'Of which rollout of the profile it is. A revision that is tried anew is measured anew, and what was found of it before counts no more.',
          ),
        served: z
          .boolean()
          .optional()
          .describe(
            'The node was served before, by another profile or another revision. How it fares then counts against a first revision as it does against any later one. `false`: nobody served it, for what was good could not be served any more. That it does not serve is borne with then, as with a first revision.',
          ),
        late: z
          .boolean()
          .optional()
          .describe(
            'The node came when the rollout was over. That it fails keeps the revision from others that come late.',
          ),
        joined: z
          .boolean()
          .optional()
          .describe(
            'The node was served nothing before, and joined while the rollout was under way. How it fares counts against the revision only where more of these fare ill than may be on trial.',
          ),
      })
      .optional()
      .describe('How the agent tries the configuration. Left out where the node is not judged by it.'),
    writtenAt: withKeywords(z.string(), { format: 'date-time' })
      .optional()
      .describe('When the operator gave the node this revision of the profile.'),
    withdrawnAt: withKeywords(z.string(), { format: 'date-time' })
      .optional()
      .describe(
        'Since when the node shall not be served any more. Its agent then leads no queries to itself, closes its listeners and says so; after that, or a minute, the object is deleted.',
      ),
    config: z
      .looseObject({})
      .meta({ 'x-kubernetes-preserve-unknown-fields': true, 'x-kubernetes-map-type': 'atomic' })
      .describe(
        'The whole rendered configuration. Unknown fields are kept, so that an older agent can refuse them; it has one owner as a whole.',
      ),
  })
  .describe('Written by the operator alone.');

/** Integers alone: a status holds no fractions (Kubernetes API conventions, "Primitive types"). */
const figures = {
  queries: count().describe('Queries of clients that were answered.'),
  servFailPermille: withKeywords(z.int().min(0).max(1000), { format: 'int32' }).describe(
    'How many of a thousand answers were SERVFAIL.',
  ),
  waited: count()
    .optional()
    .describe('Of these, queries that waited for a server, because the node could not answer them by itself.'),
  p99Micros: count().describe(
    'Microseconds in which 99 of 100 queries that waited for a server were answered. Those that the node answers by itself take next to no time and are left out, or a node that answers most of them would seem fast however slow its servers are.',
  ),
};

export const nodeHealth = z
  .strictObject({
    revision: z.string().max(64).describe('The revision that was measured.'),
    profileRevision: z
      .string()
      .max(253)
      .optional()
      .describe('The revision of the profile that it was rendered from, as the spec names it.'),
    attempt: count().optional().describe('The attempt of the trial that it was measured for.'),
    soakSeconds: count().describe('How many seconds it was measured for.'),
    ...figures,
    before: z
      .strictObject(figures)
      .optional()
      .describe('The same of as long a time before the revision came into force. Left out after a start.'),
    probes: withKeywords(
      z
        .array(
          z.strictObject({
            name: z.string().max(253).describe('The name that was asked for.'),
            ok: z.boolean().describe('Whether it was resolved.'),
            message: z.string().max(256).optional().describe('Why it was not.'),
          }),
        )
        .max(8),
      { listType: 'map', listMapKeys: ['name'], description: 'What came of the probes.' },
    ).optional(),
    measuredAt: withKeywords(z.string(), { format: 'date-time' }).describe('When it was measured.'),
  })
  .describe(
    'How the node served with the revision that is in force, measured once at the end of its trial; absent until then.',
  );

export type NodeHealth = z.output<typeof nodeHealth>;

export const nodeStatus = z
  .strictObject({
    observedGeneration: z.int().min(0).optional().describe('The generation of the spec that the agent saw last.'),
    appliedRevision: z.string().max(64).optional().describe('The revision that is in force on the node.'),
    agentVersion: z.string().max(64).optional().describe('The version of the agent.'),
    configVersions: withKeywords(z.array(z.int().min(0).max(1_000_000)).max(16), {
      listType: 'set',
      description: 'Versions of the configuration format that the agent reads.',
    }).optional(),
    health: nodeHealth.optional(),
    lastError: z.string().max(4096).optional().describe('Why the newest configuration is not in force, or empty.'),
    conditions: withKeywords(z.array(conditionSchema()), {
      listType: 'map',
      listMapKeys: ['type'],
      description: 'ConfigApplied, Serving and Intercepting.',
    }).optional(),
  })
  .describe("Written by the node's agent alone.");

export interface LocalDnsNode {
  metadata: ObjectMeta;
  spec: {
    profile: string;
    revision: string;
    profileRevision?: string;
    trial?: {
      soakSeconds: number;
      probes: string[];
      attempt?: number | undefined;
      joined?: boolean | undefined;
      served?: boolean | undefined;
      late?: boolean | undefined;
    };
    writtenAt?: string;
    withdrawnAt?: string;
    config: unknown;
  };
  status?: {
    observedGeneration?: number;
    appliedRevision?: string;
    agentVersion?: string;
    configVersions?: number[];
    health?: NodeHealth;
    lastError?: string;
    conditions?: Condition[];
  };
}
