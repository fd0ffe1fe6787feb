/** The part of a profile that says what a node keeps of the answers that it was given. */
import { withKeywords, z } from './schema.ts';

const quantityPattern = '^[1-9][0-9]{0,11}(Ki|Mi|Gi)?$';
const multiples: Readonly<Record<string, number>> = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

export const minCacheBytes = 2 ** 20;
/** Cached answers are in one piece of memory, whose places are told in 32 bits. */
export const maxCacheBytes = 4 * 2 ** 30;

export const cacheSettings = z
  .strictObject({
    maxBytes: withKeywords(z.string().max(16).regex(new RegExp(quantityPattern)), {
      description:
        'Memory for cached answers on each node, over all server blocks, as a quantity: 64Mi. At least 1Mi. Default: 32Mi.',
    }).optional(),
    prefetch: z
      .boolean()
      .optional()
      .describe(
        'Whether popular answers are asked for again in the last tenth of their time, so that nobody waits for them. Default: true.',
      ),
    warmRestart: z
      .boolean()
      .optional()
      .describe(
        "Whether cached answers outlive a restart of the agent: on the node's disk, and from the agent before it. Default: true.",
      ),
  })
  .describe('What a node keeps of the answers that it was given.');

export interface DefaultedCache {
  /** A quantity. */
  maxBytes: string;
  prefetch: boolean;
  warmRestart: boolean;
}

export function defaultedCache(settings: z.input<typeof cacheSettings> = {}): DefaultedCache {
  return {
    maxBytes: settings.maxBytes ?? '32Mi',
    prefetch: settings.prefetch ?? true,
    warmRestart: settings.warmRestart ?? true,
  };
}

/** Octets of a quantity of the schema's form. */
export function bytesOf(quantity: string): number {
  const unit = /[KMG]i$/.exec(quantity)?.[0] ?? '';
  return Number(quantity.slice(0, quantity.length - unit.length)) * (multiples[unit] ?? 1);
}
