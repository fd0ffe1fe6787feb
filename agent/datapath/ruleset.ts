/**
 * The fallback table as text for nft(8), which a person can read. Pure. It outlives the agent: it sends what was meant for our
 * own addresses to cluster DNS while nobody answers there, and leaves what sockets of a dead agent still send (the end of a
 * connection, and its repetitions) untracked as all that they sent before. Its rules never change: what a configuration changes are elements
 * of sets. ./serving-rules.ts has the other table, which intercepts, and which must not outlive the agent.
 */
import { type Family, nftFamily } from './family.ts';
import type { DatapathNames } from './names.ts';
import type { TableContents } from './nf-image.ts';

/** Before kube-proxy's own (dstnat, -100). */
export const beforeServices = -110;
/** Slots that the endpoints of a fallback are spread over: as many as there are ways for one query. */
export const fallbackSlots = 16;
/** The table that outlives the agent: what was meant for our own addresses goes elsewhere while nobody answers there. */
export function fallbackTable(family: Family, { table }: DatapathNames): string {
  const { ip, address } = words(family);
  const backends = `typeof numgen random mod ${fallbackSlots} : ${ip} daddr . th dport`;
  const to = (map: string) => `dnat ${ip} to numgen random mod ${fallbackSlots} map @${map}`;
  return `table ${ip} ${table} {
	set cluster_addresses { type ${address}; }
	set node_addresses { type ${address}; }
	map cluster_backends { ${backends}; }
	map node_backends { ${backends}; }
	set untracked { type ${address}; }
	counter fallback { }
	chain fallback {
		meta l4proto { tcp, udp } ${ip} daddr @cluster_addresses counter name fallback ${to('cluster_backends')}
		meta l4proto { tcp, udp } ${ip} daddr @node_addresses counter name fallback ${to('node_backends')}
	}
	chain prerouting {
		type nat hook prerouting priority ${beforeServices}; policy accept;
		meta l4proto { tcp, udp } th dport 53 jump fallback
	}
	chain output {
		type nat hook output priority ${beforeServices}; policy accept;
		meta l4proto { tcp, udp } th dport 53 jump fallback
	}
	chain last_words {
		type filter hook output priority raw; policy accept;
		th sport 53 ${ip} saddr @untracked meta l4proto { tcp, udp } socket transparent 1 notrack
	}
}
`;
}

/** What of it is looked at to see whether somebody has changed it. */
export const fallbackContents: TableContents = {
  chains: ['fallback', 'prerouting', 'output', 'last_words'],
  sets: { cluster_addresses: {}, node_addresses: {}, cluster_backends: {}, node_backends: {}, untracked: {} },
};

export interface Fallback {
  /** Our own addresses of one listener. */
  addresses: readonly string[];
  /** Where queries go instead; none: they stay where they are. */
  backends: readonly { address: string; port: number }[];
}

export interface Fallbacks {
  cluster: Fallback;
  node: Fallback;
  /** Whatever an agent that has died still sends from these is nothing that connection tracking has seen. */
  untracked: readonly string[];
}

/** Makes the fallback table's sets what they shall be, in one transaction; all of one family. */
export function fallbacks(family: Family, { table }: DatapathNames, { cluster, node, untracked }: Fallbacks): string {
  const at = `${nftFamily[family]} ${table}`;
  return [
    replaced(`${at} cluster_addresses`, cluster.addresses),
    replaced(`${at} node_addresses`, node.addresses),
    replaced(`${at} cluster_backends`, slots(cluster.backends), 'map'),
    replaced(`${at} node_backends`, slots(node.backends), 'map'),
    replaced(`${at} untracked`, untracked),
  ].join('');
}

/** Every slot leads somewhere: few endpoints take several, and of more than there are slots the first serve. */
function slots(backends: Fallback['backends']): string[] {
  if (backends.length === 0) return [];
  return Array.from({ length: fallbackSlots }, (_, slot) => {
    const { address, port } = backends[slot % backends.length] as Fallback['backends'][number];
    return `${slot} : ${address} . ${port}`;
  });
}

function replaced(set: string, elements: readonly string[], kind: 'set' | 'map' = 'set'): string {
  const filled = elements.length === 0 ? '' : `add element ${set} { ${elements.join(', ')} }\n`;
  return `flush ${kind} ${set}\n${filled}`;
}

function words(family: Family) {
  return { ip: nftFamily[family], address: family === 4 ? 'ipv4_addr' : 'ipv6_addr' };
}
