/** What of a node's network LocalDNS could have touched, in a form in which two moments can be compared. */
import type { Namespace } from '../cluster/namespace.ts';

export interface NodeState {
  /** What each listing printed, line by line or table by table, without what changes by itself. */
  readonly [listing: string]: readonly string[];
}

const listings: Record<string, readonly [string, ...string[]]> = {
  // As text: nft 1.0.6 cannot print every rule of ours as JSON. Without what is counted.
  'nft list ruleset': ['nft', '--stateless', 'list', 'ruleset'],
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
      return [name, name.startsWith('nft') ? tables(stdout) : lines(stdout)] as const;
    }),
  );
  return Object.fromEntries(entries);
}

/** Each table by itself, since their order says nothing; remaining times change while nobody does anything. */
function tables(text: string): string[] {
  return text
    .replace(/ expires [\dhms]+/g, '')
    .split(/^(?=table )/m)
    .map((table) => table.trim())
    .filter((table) => table !== '')
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

/**
 * Every connection of DNS is as new from here on: only while no load is on its way. Not those of others: programs of a real node that
 * reach the API server by its Service would be cut off, and not know.
 */
export async function forgetConnections(node: Namespace): Promise<void> {
  for (const family of ['ipv4', 'ipv6']) {
    for (const protocol of ['udp', 'tcp']) {
      for (const port of ['--orig-port-dst', '--orig-port-src']) {
        await node.run('conntrack', ['-D', '-f', family, '-p', protocol, port, '53']);
      }
    }
  }
}

/** A connection that the kernel tracks. */
export interface TrackedConnection {
  protocol: string;
  /** As the client sent it. */
  source: string;
  destination: string;
  /** Who answers it: another address than the destination where NAT has had a hand in it. */
  answeredBy: string;
  /** Its first packet was an answer: the query had not been tracked. */
  isAnswer: boolean;
}

/** The DNS connections that the node tracks, of both families. */
export async function trackedDns(node: Namespace): Promise<TrackedConnection[]> {
  const found: TrackedConnection[] = [];
  for (const family of ['ipv4', 'ipv6']) {
    for (const protocol of ['udp', 'tcp']) {
      const { stdout, stderr, code } = await node.run('conntrack', ['-L', '-f', family, '-p', protocol]);
      if (code !== 0) throw new Error(`conntrack: ${stderr.trim()}`);
      for (const line of stdout.split('\n')) {
        // The first tuple is the original direction, the second that of replies.
        const [source, answeredBy] = Array.from(line.matchAll(/\bsrc=(\S+)/g), ([, address]) => address);
        const [, destination, from, to] = /\bdst=(\S+) sport=(\d+) dport=(\d+)/.exec(line) ?? [];
        if (!source || !answeredBy || !destination || (from !== '53' && to !== '53')) continue;
        found.push({ protocol, source, destination, answeredBy, isAnswer: from === '53' });
      }
    }
  }
  return found;
}
