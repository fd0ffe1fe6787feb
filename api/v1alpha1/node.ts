/** LocalDnsNode: one per served node, named as it and owned by it. The operator writes `spec`, that node's agent `status`. */
import type { Condition } from './conditions.ts';
import type { ObjectMeta } from './profile.ts';
import { conditionSchema, withKeywords, z } from './schema.ts';

export const nodeSpec = z
  .strictObject({
    profile: z.string().max(63).describe('The LocalDnsProfile that this configuration was rendered from.'),
    revision: z.string().max(64).describe('Versioned hash of the configuration.'),
    config: z
      .looseObject({})
      .meta({ 'x-kubernetes-preserve-unknown-fields': true, 'x-kubernetes-map-type': 'atomic' })
      .describe(
        'The whole rendered configuration. Unknown fields are kept, so that an older agent can refuse them; it has one owner as a whole.',
      ),
  })
  .describe('Written by the operator alone.');

export const nodeStatus = z
  .strictObject({
    observedGeneration: z.int().min(0).optional().describe('The generation of the spec that the agent saw last.'),
    appliedRevision: z.string().max(64).optional().describe('The revision that is in force on the node.'),
    agentVersion: z.string().max(64).optional().describe('The version of the agent.'),
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
  spec: { profile: string; revision: string; config: unknown };
  status?: {
    observedGeneration?: number;
    appliedRevision?: string;
    agentVersion?: string;
    lastError?: string;
    conditions?: Condition[];
  };
}
