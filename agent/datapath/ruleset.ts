/**
 * The nftables rules as text. Pure. The rules never change while an agent runs: what a configuration changes are elements of
 * sets, so a change of addresses or endpoints is a set update and no reload.
 *
 * There are two tables for each family. The *serving* table belongs to one agent (`flags owner`): the kernel removes it when
 * the process that made it is gone, whatever killed it, and nobody else can change or flush it. So two agents that hand over
 * have two tables, and neither has to know of the other. The *fallback* table outlives the agent: it sends what was meant for
 * our own addresses to cluster DNS while nobody answers there.
 */
import { type Family, nftFamily } from './family.ts';
import type { DatapathNames } from './names.ts';

/**
 * Packets of ours are looked at before connection tracking (raw, -300), and last of all at their delivery. Every packet of the
 * node passes the first rules: they begin with the port, a comparison, and look into sets only then.
 */
const afterEverybody = 32_000;
/** Before kube-proxy's own (dstnat, -100). */
const beforeServices = -110;
/** Slots that the endpoints of a fallback are spread over: as many as there are ways for one query. */
export const fallbackSlots = 16;
/** Longer than a client's idle connection is kept. */
const flowSeconds = 60;
const provedHours = 1;
const retryMinutes = 5;
const maxSources = 65_536;

export const counterNames = [
  'intercepted_udp',
  'intercepted_tcp',
  'tried_udp',
  'tried_tcp',
  'proved',
  'arrived_udp',
  'arrived_tcp',
  'local_udp',
  'local_tcp',
] as const;
export type CounterName = (typeof counterNames)[number];

/** Sets whose elements come and go by themselves. */
export const dynamicSets: readonly string[] = ['alive', 'holding', 'flows', 'proved', 'trying'];

/**
 * What intercepts. Sets, each of addresses: `served` is listened on; `alive` is answered at the moment; `holding`: its TCP
 * connections go on; `tracked` is seen by connection tracking; `clusterdns`: the packets of these are never intercepted, or
 * cluster DNS, which asks the node's resolvers, would be sent round in a circle; `proved`: packets of these sources get
 * through everybody's INPUT rules; `trying`: one packet of these is on trial.
 *
 * @param owned false where the kernel does not know owned tables (before 5.12): there is no gate either then, and after a
 * kill queries of the node's own processes are lost until `alive` has timed out
 */
export function servingTable(family: Family, table: string, { marks }: DatapathNames, owned = true): string {
  const { ip, address } = words(family);
  const intercept = hex(marks.intercept);
  // In the output hook nothing else tells whether the agent's process lives. The bit is taken off again: it is nobody's business.
  const passedTheGate = `meta mark and ${hex(marks.gate)} == ${hex(marks.gate)} meta mark set meta mark xor ${hex(marks.gate)}`;
  const flow = `${ip} saddr . tcp sport . ${ip} daddr`;
  const begins = 'tcp flags & (syn | ack) == syn';
  const goesOn = 'tcp flags & (syn | ack) != syn';
  return `table ${ip} ${table} {
${owned ? '\tflags owner\n' : ''}	set served { type ${address}; }
	set alive { type ${address}; flags timeout; }
	set holding { type ${address}; flags timeout; }
	set tracked { type ${address}; }
	map itself { type ${address} : ${address}; }
	set clusterdns { type ${address}; }
	set flows { type ${address} . inet_service . ${address}; size ${maxSources}; flags dynamic,timeout; }
	set proved { type ${address}; size ${maxSources}; flags dynamic,timeout; }
	set trying { type ${address}; size ${maxSources}; flags dynamic,timeout; }
${counterNames.map((name) => `	counter ${name} { }`).join('\n')}
	chain take {
		${ip} daddr != @tracked notrack
		meta mark set meta mark or ${intercept} accept
	}
	chain begin {
		add @flows { ${flow} timeout ${flowSeconds}s } goto take
	}
	chain go_on {
		update @flows { ${flow} timeout ${flowSeconds}s } goto take
	}
	chain from_pods {
		${ip} saddr @clusterdns return
		meta l4proto udp ${ip} daddr @alive ${ip} saddr @proved socket transparent 1 counter name intercepted_udp goto take
		${goesOn} ${ip} daddr @holding ${flow} @flows socket transparent 1 counter name intercepted_tcp goto go_on
		${ip} daddr != @alive return
		${begins} ${ip} saddr @proved socket transparent 1 counter name intercepted_tcp goto begin
		${ip} saddr @trying return
		meta l4proto udp socket transparent 1 add @trying { ${ip} saddr timeout ${retryMinutes}m } counter name tried_udp goto take
		${begins} socket transparent 1 add @trying { ${ip} saddr timeout ${retryMinutes}m } counter name tried_tcp goto begin
	}
	chain from_node {
		meta mark and ${intercept} == ${intercept} ${ip} daddr != @tracked notrack
		meta mark and ${intercept} == ${intercept} accept
		meta mark and ${hex(marks.own)} == ${hex(marks.own)} return
		${ip} saddr @clusterdns return
		meta l4proto udp ${ip} daddr @alive counter name local_udp goto take
		${goesOn} ${ip} daddr @holding ${flow} @flows counter name local_tcp goto go_on
		${begins} ${ip} daddr @alive counter name local_tcp goto begin
	}
	chain answers {
		${ip} saddr != @tracked notrack
	}
	chain arrived {
		meta l4proto udp counter name arrived_udp
		meta l4proto tcp counter name arrived_tcp
		${ip} saddr != @proved counter name proved add @proved { ${ip} saddr timeout ${provedHours}h }
	}
	chain shield {
		meta mark and ${intercept} == ${intercept} ${ip} daddr @tracked dnat to ${ip} daddr map @itself
	}
	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
		th dport 53 ${ip} daddr @served meta l4proto { tcp, udp } iifname != "lo" jump from_pods
	}
	chain output {
		type route hook output priority raw; policy accept;
		th sport 53 ${ip} saddr @served meta l4proto { tcp, udp } jump answers
		th dport 53 ${owned ? `${passedTheGate} ` : ''}${ip} daddr @served meta l4proto { tcp, udp } jump from_node
	}
	chain input {
		type filter hook input priority ${afterEverybody}; policy accept;
		meta mark and ${intercept} == ${intercept} iifname != "lo" jump arrived
	}
	chain shield_prerouting {
		type nat hook prerouting priority ${beforeServices}; policy accept;
		jump shield
	}
	chain shield_output {
		type nat hook output priority ${beforeServices}; policy accept;
		jump shield
	}
}
`;
}

/** Which addresses are whose in the serving table; all of one family. */
export interface ServedAddresses {
  served: readonly string[];
  /** A part of `served`. */
  tracked: readonly string[];
  clusterDns: readonly string[];
}

/** Makes the serving table's sets what they shall be, in one transaction. */
export function servedAddresses(
  family: Family,
  table: string,
  { served, tracked, clusterDns }: ServedAddresses,
): string {
  const at = `${nftFamily[family]} ${table}`;
  return [
    replaced(`${at} served`, served),
    replaced(`${at} tracked`, tracked),
    replaced(
      `${at} itself`,
      tracked.map((address) => `${address} : ${address}`),
      'map',
    ),
    replaced(`${at} clusterdns`, clusterDns),
  ].join('');
}

export interface LifeSign {
  address: string;
  milliseconds: number;
}

/** These addresses, and no others, are answered (`alive`) and keep their connections (`holding`) for so long from now. */
export function lifeSigns(
  family: Family,
  table: string,
  signs: { alive: readonly LifeSign[]; holding: readonly LifeSign[] },
): string {
  const at = `${nftFamily[family]} ${table}`;
  const timed = (set: readonly LifeSign[]) =>
    set.map(({ address, milliseconds }) => `${address} timeout ${milliseconds}ms`);
  // Emptied and filled in one transaction: adding an element that is there would not renew its time on every kernel.
  return replaced(`${at} alive`, timed(signs.alive)) + replaced(`${at} holding`, timed(signs.holding));
}

/** No source's packets count as getting through any more: each is tried anew. */
export function doubtEverybody(family: Family, table: string): string {
  const at = `${nftFamily[family]} ${table}`;
  return `flush set ${at} proved\nflush set ${at} trying\n`;
}

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
}
`;
}

export interface Fallback {
  /** Our own addresses of one listener. */
  addresses: readonly string[];
  /** Where queries go instead; none: they stay where they are. */
  backends: readonly { address: string; port: number }[];
}

/** Makes the fallback table's sets what they shall be, in one transaction; all of one family. */
export function fallbacks(
  family: Family,
  { table }: DatapathNames,
  { cluster, node }: { cluster: Fallback; node: Fallback },
): string {
  const at = `${nftFamily[family]} ${table}`;
  return [
    replaced(`${at} cluster_addresses`, cluster.addresses),
    replaced(`${at} node_addresses`, node.addresses),
    replaced(`${at} cluster_backends`, slots(cluster.backends), 'map'),
    replaced(`${at} node_backends`, slots(node.backends), 'map'),
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
  const ip = nftFamily[family];
  return { ip, address: family === 4 ? 'ipv4_addr' : 'ipv6_addr' };
}

function hex(mark: number): string {
  return `0x${mark.toString(16)}`;
}
