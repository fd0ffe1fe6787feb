/** What of a node's network LocalDNS could have touched, in a form in which two moments can be compared. */
import type { Namespace } from '../cluster/namespace.ts';

export interface NodeState {
  /** What each listing printed, line by line or object by object, without what changes by itself. */
  readonly [listing: string]: readonly string[];
}

const listings: Record<string, readonly [string, ...string[]]> = {
  'nft list ruleset': ['nft', '-j', 'list', 'ruleset'],
  'iptables-save': ['iptables-save'],
  'ip6tables-save': ['ip6tables-save'],
  'ip rule': ['ip', 'rule', 'show'],
  'ip -6 rule': ['ip', '-6', 'rule', 'show'],
  'ip route': ['ip', 'route', 'show', 'table', 'all'],
  'ip -6 route': ['ip', '-6', 'route', 'show', 'table', 'all'],
  'ip address': ['ip', '-o', 'address', 'show'],
  'ip link': ['ip', '-o', 'link', 'show'],
};

export async function nodeState(node: Namespace): Promise<NodeState> {
  const entries = await Promise.all(
    Object.entries(listings).map(async ([name, [command, ...args]]) => {
      const { stdout, stderr, code } = await node.run(command, args);
      if (code !== 0) throw new Error(`${name}: ${stderr.trim()}`);
      return [name, name.startsWith('nft') ? ruleset(stdout) : lines(stdout)] as const;
    }),
  );
  return Object.fromEntries(entries);
}

/** Counters, handles and remaining times change while nobody does anything; order in the listing says nothing across tables. */
function ruleset(json: string): string[] {
  const { nftables } = JSON.parse(json, (key, value) => {
    return key === 'handle' || key === 'index' || key === 'expires' || key === 'packets' || key === 'bytes'
      ? undefined
      : value;
  }) as { nftables: Record<string, unknown>[] };
  return nftables
    .filter((object) => !('metainfo' in object))
    .map((object) => JSON.stringify(object))
    .sort();
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) =>
      line
        .replace(/\[\d+:\d+\]/, '')
        .replace(/ expires \d+sec/, '')
        .trimEnd(),
    )
    .sort();
}

/** A connection that the kernel tracks. */
export interface TrackedConnection {
  protocol: string;
  /** As the client sent it. */
  source: string;
  destination: string;
  /** Who answers it: another address than the destination where NAT has had a hand in it. */
  answeredBy: string;
}

/** The DNS connections that the node tracks, of both families. */
export async function trackedDns(node: Namespace): Promise<TrackedConnection[]> {
  const found: TrackedConnection[] = [];
  for (const family of ['ipv4', 'ipv6']) {
    for (const protocol of ['udp', 'tcp']) {
      const { stdout, stderr, code } = await node.run('conntrack', [
        '-L',
        '-f',
        family,
        '-p',
        protocol,
        '--dport',
        '53',
      ]);
      if (code !== 0) throw new Error(`conntrack: ${stderr.trim()}`);
      for (const line of stdout.split('\n')) {
        // The first tuple is the original direction, the second that of replies.
        const [source, answeredBy] = Array.from(line.matchAll(/\bsrc=(\S+)/g), ([, address]) => address);
        const destination = /\bdst=(\S+)/.exec(line)?.[1];
        if (source && answeredBy && destination) found.push({ protocol, source, destination, answeredBy });
      }
    }
  }
  return found;
}
