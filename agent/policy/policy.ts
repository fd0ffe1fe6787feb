import type { PendingQuery } from '../wire/query.ts';

/**
 * Answers a query on the node itself, or leaves it alone. Policies are asked in order; the first that answers wins.
 * Writes the answer into `out` and returns its length, 0 to pass.
 */
export type Policy = (query: PendingQuery, out: Buffer, limit: number) => number;
