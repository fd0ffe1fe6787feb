/** Looks at the node, and changes nothing on it. What cannot be read is left out; the checks say what that means. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLibc, loadLibc } from '../../libc.ts';
import { ListenError } from '../../listen/listener.ts';
import { openSocket } from '../../listen/sockets.ts';
import { isOurTable } from '../names.ts';
import { Netlink, netlinkProtocol } from '../netlink.ts';
import { type NftObject, type RunNft, runNft as realNft } from '../nft.ts';
import { tableContents, tableNames } from '../tables.ts';
import {
  type BindTrial,
  type BoundSocket,
  bindKey,
  caughtAddresses,
  familyName,
  type NodeFacts,
  type Wanted,
} from './facts.ts';
import { tryKernel, tryServing } from './kernel-trials.ts';
import { interfaceAddresses, interfaceNames, policyRulesOf, routesOf } from './rtnetlink.ts';
import { socketsOn } from './sockets-in-use.ts';

export interface Means {
  readonly runNft?: RunNft;
  readonly platform?: NodeJS.Platform;
}

export async function gatherFacts(
  wanted: Wanted,
  { runNft = realNft, platform = process.platform }: Means = {},
): Promise<NodeFacts> {
  const capabilities = capabilitiesOf(read('/proc/self/status'));
  const nftVersion = platform === 'linux' ? versionOf((await runNft(['--version'])).stdout) : undefined;
  const mayChange = nftVersion !== undefined && (capabilities & netAdmin) !== 0n;
  const routing = platform === 'linux' ? readRouting(wanted) : nothing;
  const ports = new Set(wanted.listen.map(({ port }) => port));
  const sockets = platform === 'linux' ? socketsOn(ports) : [];
  const libc = loadLibc();
  return {
    platform,
    libcTrouble: isLibc(libc) ? undefined : libc.reason,
    capabilities,
    nftVersion,
    refused:
      mayChange && isLibc(libc)
        ? await tryKernel(familiesOf(wanted), wanted.names, runNft, tryServing(libc))
        : undefined,
    hasIpv6: hasIpv6(),
    ...routing,
    sockets,
    bindTrials: isLibc(libc) ? tryPorts(wanted, sockets) : new Map(),
    sysctls: readSysctls(routing.interfaces),
    ruleset: mayChange ? await readRuleset(wanted, runNft) : undefined,
    legacyTables: ['ip', 'ip6'].flatMap((family) =>
      read(`/proc/net/${family}_tables_names`)
        .split('\n')
        .filter(Boolean)
        .map((table) => `${family} ${table}`),
    ),
    wanted,
  };
}

/** CAP_NET_ADMIN. */
const netAdmin = 1n << 12n;

/** The line CapEff of /proc/self/status; none where there is no such line. */
export function capabilitiesOf(status: string): bigint {
  const [, hex] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  return BigInt(`0x${hex ?? '0'}`);
}

/** `nftables v1.0.6 (Lester Gooch #5)`. */
export function versionOf(said: string): string | undefined {
  return /nftables v(\d+(?:\.\d+)*)/.exec(said)?.[1];
}

function familiesOf(wanted: Wanted): (4 | 6)[] {
  const names = new Set(caughtAddresses(wanted).map(familyName));
  return names.has('ipv6') && hasIpv6() ? [4, 6] : [4];
}

/** The kernel may lack it altogether, or be told not to use it. */
function hasIpv6(): boolean {
  return read('/proc/sys/net/ipv6/conf/all/disable_ipv6').trim() === '0';
}

type Routing = Pick<NodeFacts, 'interfaces' | 'addresses' | 'policyRules' | 'routes'>;
const nothing: Routing = { interfaces: [], addresses: [], policyRules: undefined, routes: [] };

function readRouting({ names: { routeTable } }: Wanted): Routing {
  const libc = loadLibc();
  if (!isLibc(libc)) return nothing;
  let netlink: Netlink | undefined;
  try {
    netlink = new Netlink(libc, netlinkProtocol.route);
    const names = interfaceNames(netlink);
    return {
      interfaces: [...names.values()],
      addresses: interfaceAddresses(netlink, names),
      policyRules: policyRulesOf(netlink),
      routes: routesOf(netlink, routeTable),
    };
  } catch {
    return nothing;
  } finally {
    netlink?.close();
  }
}

/** All but the tables of living agents, which only they can change, and what agents have left under other names. */
async function readRuleset({ names, otherNames }: Wanted, runNft: RunNft): Promise<NftObject[] | undefined> {
  try {
    const contents: NftObject[] = [];
    for (const table of await tableNames(runNft)) {
      const isOurs = [names, ...otherNames].some((each) => isOurTable(table.name, each));
      const isAgents = isOurs && table.name !== names.table;
      if (!isAgents) contents.push(...(await tableContents(table, runNft)));
    }
    return contents;
  } catch {
    return undefined;
  }
}

/**
 * Opens what the agent would open, and closes it at once. Not a UDP socket where another one has the very address: an agent
 * shares it, and what arrived in that moment would be lost.
 */
function tryPorts({ listen }: Wanted, sockets: readonly BoundSocket[]): Map<string, BindTrial> {
  const trials = new Map<string, BindTrial>();
  for (const at of listen) {
    for (const protocol of ['udp', 'tcp'] as const) {
      const isInUse = sockets.some(
        (each) => each.protocol === protocol && each.address === at.address && each.port === at.port,
      );
      trials.set(bindKey(protocol, at), protocol === 'udp' && isInUse ? 'not tried' : tryPort(at, protocol));
    }
  }
  return trials;
}

function tryPort(at: Wanted['listen'][number], protocol: 'udp' | 'tcp'): BindTrial {
  const libc = loadLibc();
  if (!isLibc(libc)) return 'not tried';
  try {
    // The address is on no interface, and an agent that lives shares it.
    libc.close(openSocket({ ...at, transparent: true }, protocol === 'udp' ? 'UDP' : 'TCP'));
    return 'free';
  } catch (error) {
    return error instanceof ListenError && error.code === 'EADDRINUSE' ? 'taken' : 'not tried';
  }
}

const sysctlsOfInterfaces = ['rp_filter', 'src_valid_mark', 'route_localnet'];

function readSysctls(interfaces: readonly string[]): Map<string, number> {
  const found = new Map<string, number>();
  const note = (name: string, ...path: string[]) => {
    const text = read(join('/proc/sys/net', ...path)).trim();
    if (/^-?\d+$/.test(text)) found.set(name, Number(text));
  };
  note('ipv4.ip_unprivileged_port_start', 'ipv4', 'ip_unprivileged_port_start');
  for (const each of ['all', ...interfaces]) {
    for (const setting of sysctlsOfInterfaces) {
      note(`ipv4.conf.${each}.${setting}`, 'ipv4', 'conf', each, setting);
    }
  }
  return found;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
