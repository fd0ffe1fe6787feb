/** The one door to zod: bounded primitives from which both kinds' schemas are built, and their OpenAPI form for the CRDs. */
import { z } from 'zod';

export { z };

/** A CEL rule of a CRD (Kubernetes API: CustomResourceDefinition, `x-kubernetes-validations`). */
export interface CelRule {
  rule: string;
  message: string;
  /** What takes the place of `message`, where it can be worked out. */
  messageExpression?: string | undefined;
  fieldPath?: string | undefined;
}

/** Attaches OpenAPI keywords and CEL rules that zod has no word for. */
export function withKeywords<S extends z.ZodType>(
  schema: S,
  keywords: {
    description?: string;
    validations?: readonly CelRule[];
    listType?: 'set' | 'map' | 'atomic';
    listMapKeys?: string[];
    mapType?: 'granular' | 'atomic';
    maxProperties?: number;
    format?: string;
  },
): S {
  const meta: Record<string, unknown> = {};
  if (keywords.description !== undefined) meta.description = keywords.description;
  if (keywords.validations !== undefined) meta['x-kubernetes-validations'] = keywords.validations;
  if (keywords.listType !== undefined) meta['x-kubernetes-list-type'] = keywords.listType;
  if (keywords.listMapKeys !== undefined) meta['x-kubernetes-list-map-keys'] = keywords.listMapKeys;
  if (keywords.mapType !== undefined) meta['x-kubernetes-map-type'] = keywords.mapType;
  if (keywords.maxProperties !== undefined) meta.maxProperties = keywords.maxProperties;
  if (keywords.format !== undefined) meta.format = keywords.format;
  return schema.meta(meta) as S;
}

/** RFC 1035 §2.3.4 bounds; underscores are allowed, because service records and directory zones use them. */
const label = '[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?';
export const domainNamePattern = `^${label}([.]${label})*$`;

/** DNS label of RFC 1123, the form of Kubernetes names that may stand in a Service. */
export const dnsLabelPattern = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';

/** Non-negative int32, the range of a DNS TTL (RFC 2181 §8) and of Kubernetes counts. */
export function count(): z.ZodInt {
  return withKeywords(z.int().min(0).max(2_147_483_647), { format: 'int32' });
}

/** A number from 1 up, or a percentage of that pattern: the IntOrString of Kubernetes. */
export function intOrPercent(pattern: string, description: string) {
  return z
    .union([z.int().min(1).max(2_147_483_647), z.string().regex(new RegExp(pattern))])
    .meta({ 'x-kubernetes-int-or-string': true, description });
}

/** metav1.Condition. */
export function conditionSchema() {
  return z.strictObject({
    type: z.string().max(316).describe('Type of condition in CamelCase.'),
    status: z.enum(['True', 'False', 'Unknown']).describe('Status of the condition.'),
    observedGeneration: z
      .int()
      .min(0)
      .optional()
      .describe('The generation of the object that this condition describes.'),
    lastTransitionTime: withKeywords(z.string(), { format: 'date-time' }).describe(
      'When the condition last went from one status to another.',
    ),
    reason: z.string().max(1024).describe('A programmatic word for why the condition has this status.'),
    message: z.string().max(32768).describe('A sentence a person can act on.'),
  });
}

/**
 * The structural schema of a CRD (Kubernetes API: "Specifying a structural schema") from a zod schema.
 * `additionalProperties: false` or `{}`, which strict and loose objects bring along, is dropped: the API server prunes
 * instead, and refuses the keyword beside `properties`.
 */
export function toOpenApi(schema: z.ZodType): Record<string, unknown> {
  const json = z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input' });
  return structural(json) as Record<string, unknown>;
}

function structural(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(structural);
  if (typeof node !== 'object' || node === null) return node;
  if ('x-kubernetes-int-or-string' in node) return intOrString(node as Record<string, unknown>);
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === 'additionalProperties' && Object.keys(value).length === 0) continue;
    out[key] = key === 'default' || key === 'enum' ? value : structural(value);
  }
  return out;
}

/** The one union that a structural schema may hold, in the only form it may have; bounds of its members stand beside it. */
function intOrString({ anyOf, ...rest }: Record<string, unknown>): Record<string, unknown> {
  const members = anyOf as Record<string, unknown>[];
  const bounds = Object.assign({}, ...members.map(({ type, ...bound }) => bound));
  return { ...rest, anyOf: members.map(({ type }) => ({ type })), ...bounds };
}
