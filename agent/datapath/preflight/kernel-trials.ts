/**
 * Whether the kernel takes the kinds of rules that are needed. The serving table, which lets everything pass while its sets are
 * empty, is made and taken away at once; all else nft hands to the kernel and takes back (`nft --check`).
 */
import type { Libc } from '../../libc.ts';
import { type Family, nftFamily } from '../family.ts';
import type { DatapathNames } from '../names.ts';
import { Netlink, netlinkProtocol } from '../netlink.ts';
import type { RunNft } from '../nft.ts';
import { fallbackTable } from '../ruleset.ts';
import { ServingTable } from '../serving-table.ts';
import type { KernelFeature } from './facts.ts';

/** It never comes into being. */
const table = 'localdns-trial';

const flow = { 4: 'ipv4_addr . inet_service . ipv4_addr', 6: 'ipv6_addr . inet_service . ipv6_addr' } as const;
const addressType = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;
const example = { 4: '192.0.2.1', 6: '2001:db8::1' } as const;

/** The smallest rules that need each thing, to say which one it is that the kernel lacks. */
function scripts(family: Family): Record<Exclude<KernelFeature, 'owned tables' | 'something else'>, string> {
  const ip = nftFamily[family];
  const within = (...lines: string[]) => `table ${ip} ${table} {\n${lines.join('\n')}\n}\n`;
  const chain = (type: string, hook: string, rule: string) =>
    `chain c {\n type ${type} hook ${hook} priority -300; policy accept;\n ${rule}\n}`;
  return {
    nftables: within(chain('filter', 'prerouting', 'udp dport 53 accept')),
    'transparent sockets': within(chain('filter', 'prerouting', 'socket transparent 1 accept')),
    'untracked packets': within(chain('filter', 'prerouting', 'notrack')),
    'sets with timeouts': within(
      `set s { type ${addressType[family]}; flags timeout; }`,
      chain('filter', 'prerouting', `${ip} daddr @s accept`),
    ),
    'sets of flows': within(
      `set s { type ${flow[family]}; size 65536; flags dynamic,timeout; }`,
      chain('filter', 'prerouting', `add @s { ${ip} saddr . tcp sport . ${ip} daddr timeout 60s }`),
    ),
    'address translation': within(
      chain('nat', 'prerouting', `udp dport 53 dnat to numgen random mod 1 map { 0 : ${example[family]} }`),
    ),
    'rerouting of local packets': within(chain('route', 'output', 'meta mark set meta mark or 0x10')),
  };
}

/** What the kernel made of the serving table: throws where it refuses it. */
export type TryServing = (family: Family, names: DatapathNames) => { owned: boolean };

/** Under a name that `localdns cleanup` knows, should this process end in the middle of it. */
export function tryServing(libc: Libc): TryServing {
  return (family, names) => {
    const suffix = (process.pid >>> 0).toString(16).padStart(8, '0');
    const netlink = new Netlink(libc, netlinkProtocol.netfilter);
    try {
      const trial = ServingTable.open(netlink, family, `${names.table}-${suffix}`, names);
      trial.close();
      return trial;
    } finally {
      netlink.close();
    }
  };
}

/** What was said to that which was refused; empty where the kernel takes our rules as they are. */
export async function tryKernel(
  families: readonly Family[],
  names: DatapathNames,
  runNft: RunNft,
  serving: TryServing,
): Promise<Map<KernelFeature, string>> {
  const complaint = async (script: string) => {
    const { code, stderr } = await runNft(['--check', '-f', '-'], script);
    return code === 0 ? undefined : sentenceOf(stderr);
  };
  const refused = new Map<KernelFeature, string>();
  for (const family of families) {
    const tried = attempt(() => serving(family, names));
    const all = tried.refusal ?? (await complaint(fallbackTable(family, { ...names, table })));
    if (all === undefined) {
      if (!tried.owned) refused.set('owned tables', 'tables do not end with their owner');
      continue;
    }
    const found = refused.size;
    for (const [feature, script] of Object.entries(scripts(family)) as [KernelFeature, string][]) {
      const said = await complaint(script);
      if (said !== undefined) refused.set(feature, said);
      // Without nftables nothing else can work, and says the same.
      if (said !== undefined && feature === 'nftables') return refused;
    }
    if (refused.size === found) refused.set('something else', all);
  }
  return refused;
}

function attempt(serving: () => { owned: boolean }): { owned: boolean; refusal?: string } {
  try {
    return { owned: serving().owned };
  } catch (error) {
    return { owned: false, refusal: (error as Error).message };
  }
}

function sentenceOf(stderr: string): string {
  return (/Error: (.*)/.exec(stderr)?.[1] ?? stderr.split('\n')[0] ?? '').trim() || 'it says nothing';
}
