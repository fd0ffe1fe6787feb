import { createHash } from 'node:crypto';

/**
 * The servers in the order in which this node prefers them (rendezvous hashing): each node draws an order of its own, all orders
 * alike often, so that thousands of nodes which ask the first few spread evenly. A server that goes or comes leaves the order of
 * the others as it is: the nodes that preferred it move, and no other.
 */
export function byRendezvous(node: string, servers: readonly string[]): string[] {
  const weight = (server: string) => createHash('sha256').update(`${node} ${server}`).digest('latin1');
  const weighed = servers.map((server) => ({ server, weight: weight(server) }));
  return weighed.sort((a, b) => (a.weight < b.weight ? -1 : 1)).map(({ server }) => server);
}
