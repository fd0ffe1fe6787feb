/** What metrics read off tallies. */
import { UpstreamCount } from './forward/upstream.ts';
import { ListenerCount } from './server/plan.ts';

/** Why, and where it is counted. */
export const connectionsCut = [
  ['refused_per_client', ListenerCount.refusedPerClient],
  ['refused_in_all', ListenerCount.refusedInAll],
  ['displaced', ListenerCount.displaced],
  ['unread', ListenerCount.unread],
  ['unfinished', ListenerCount.unfinished],
] as const;

export interface Tally {
  labels: Record<string, string>;
  counts: Float64Array;
}

export type Sample = [labels: Record<string, string>, value: number | undefined];

/** One sample for each tally: what it has at this place. */
export function each(tallies: readonly Tally[], place: number): () => Sample[] {
  return () => tallies.map(({ labels, counts }) => [labels, counts[place]]);
}

/** By the transport that they took, over all server blocks that ask the server. */
export function upstreamQueries(tallies: readonly Tally[]): Sample[] {
  const samples = new Map<string, [Record<string, string>, number]>();
  for (const { labels, counts } of tallies) {
    for (const [transport, at] of [
      ['udp', UpstreamCount.udpQueries],
      [labels.transport === 'tls' ? 'tls' : 'tcp', UpstreamCount.tcpQueries],
    ] as const) {
      if (transport === 'udp' && labels.transport === 'tls') continue;
      const key = `${labels.upstream} ${transport}`;
      const before = samples.get(key)?.[1] ?? 0;
      samples.set(key, [{ upstream: labels.upstream ?? '', transport }, before + (counts[at] ?? 0)]);
    }
  }
  return [...samples.values()];
}
