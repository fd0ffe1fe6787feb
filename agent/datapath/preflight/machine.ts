/** What program, process and kernel must be able to do. */
import { reasons } from '../../../api/v1alpha1/conditions.ts';
import { caughtAddresses, familyName, type KernelFeature, type NodeFacts } from './facts.ts';
import { type Finding, saying } from './finding.ts';

/** Bits of a capability set (linux/capability.h). */
const netBindService = 10n;
const netAdmin = 12n;

const oldestNft = [1, 0] as const;

export function platform({ platform }: NodeFacts): Finding[] {
  const say = saying('linux');
  return platform === 'linux'
    ? [say.ok('this is Linux')]
    : [say.blocking(reasons.notLinux, `this is ${platform}: only Linux can intercept; pods keep to cluster DNS here`)];
}

export function systemCalls({ libcTrouble }: NodeFacts): Finding[] {
  const say = saying('system-calls');
  if (libcTrouble === undefined) return [say.ok('transparent sockets and packet marks can be asked for')];
  return [
    say.blocking(
      reasons.systemCallsUnavailable,
      `the C library cannot be called (${libcTrouble}), so sockets can be neither transparent nor marked: run the published image, or a Node whose architecture and C library koffi has a binary for`,
    ),
  ];
}

export function capabilities({ capabilities, sysctls, wanted }: NodeFacts): Finding[] {
  const say = saying('capabilities');
  const has = (bit: bigint) => (capabilities & (1n << bit)) !== 0n;
  const findings: Finding[] = [];
  if (!has(netAdmin)) {
    findings.push(
      say.blocking(
        reasons.capabilityMissing,
        'this process lacks NET_ADMIN, without which the kernel lets it set no rules and no routes: run it as root with capabilities.add: [NET_ADMIN, NET_BIND_SERVICE]',
      ),
    );
  }
  // ip-sysctl: ports below this one are the privileged ones.
  const privilegedBelow = sysctls.get('ipv4.ip_unprivileged_port_start') ?? 1024;
  const port = wanted.listen.map((at) => at.port).find((each) => each > 0 && each < privilegedBelow);
  if (port !== undefined && !has(netBindService)) {
    findings.push(
      say.blocking(
        reasons.capabilityMissing,
        `this process lacks NET_BIND_SERVICE, without which it cannot listen on port ${port}: add it to capabilities.add`,
      ),
    );
  }
  return findings.length > 0 ? findings : [say.ok('NET_ADMIN and, where it is needed, NET_BIND_SERVICE are there')];
}

export function nft({ nftVersion }: NodeFacts): Finding[] {
  const say = saying('nft');
  if (nftVersion === undefined) {
    return [
      say.blocking(
        reasons.nftMissing,
        'there is no nft on the PATH, nor in /usr/sbin: install nftables 1.0 or newer, or run the published image',
      ),
    ];
  }
  const [major = 0, minor = 0] = nftVersion.split('.').map(Number);
  const isOld = major < oldestNft[0] || (major === oldestNft[0] && minor < oldestNft[1]);
  if (!isOld) return [say.ok(`nft ${nftVersion} is there`)];
  return [
    say.blocking(reasons.nftTooOld, `nft ${nftVersion} does not know all that the rules say: install 1.0 or newer`),
  ];
}

/** Which option of the kernel's configuration, and which module, brings what is missing. */
const remedies: Record<KernelFeature, string> = {
  nftables: 'load nf_tables (CONFIG_NF_TABLES, Linux 4.14 or newer)',
  'transparent sockets': 'load nft_socket and nf_socket_ipv4 (CONFIG_NFT_SOCKET)',
  'untracked packets': 'load nft_ct and nf_conntrack (CONFIG_NFT_CT)',
  'sets with timeouts': 'load nf_tables with its hash sets (CONFIG_NF_TABLES, nft_set_hash)',
  'sets of flows': 'load nf_tables with its dynamic sets (CONFIG_NF_TABLES, nft_dynset)',
  'address translation': 'load nft_nat and nft_numgen (CONFIG_NFT_NAT, CONFIG_NFT_NUMGEN)',
  'rerouting of local packets': 'load nft_chain_route (CONFIG_NF_TABLES_IPV4, CONFIG_NF_TABLES_IPV6)',
  'owned tables': 'run Linux 5.12 or newer',
  'something else': 'run a newer kernel or a newer nft',
};

export function kernel({ refused }: NodeFacts): Finding[] {
  const say = saying('kernel');
  if (refused === undefined) return [];
  if (refused.size === 0) return [say.ok('the kernel takes every kind of rule that is needed')];
  return [...refused].map(([feature, said]) =>
    feature === 'owned tables'
      ? say.warning(
          reasons.kernelFeatureMissing,
          `the kernel has no tables that end with their owner (${said}): after a kill of the agent, queries of the node's own processes go unanswered for up to 1.5 s, those of pods do not. To avoid it ${remedies[feature]}`,
        )
      : say.blocking(
          reasons.kernelFeatureMissing,
          `the kernel's packet filter lacks ${feature} (${said}), without which the rules cannot be set: ${remedies[feature]}`,
        ),
  );
}

export function ipv6({ hasIpv6, wanted }: NodeFacts): Finding[] {
  const say = saying('ipv6');
  if (hasIpv6) return [say.ok('IPv6 is on')];
  const caught = caughtAddresses(wanted);
  const isV6 = (address: string) => familyName(address) === 'ipv6';
  const without = caught.filter(isV6);
  // The default profile has addresses of both families, for all nodes.
  const isEnough = caught.some((address) => !isV6(address));
  const level = isEnough ? say.warning : say.blocking;
  return without.map((address) =>
    level(
      reasons.ipv6Missing,
      `IPv6 is off on this node, so ${address} is not served here${isEnough ? ', which harms nobody where pods have no IPv6 either' : ''}. To serve it turn IPv6 on (net.ipv6.conf.all.disable_ipv6=0)`,
      address,
    ),
  );
}

export function kernelSettings({ sysctls, ruleset, wanted }: NodeFacts): Finding[] {
  const say = saying('kernel-settings');
  const findings: Finding[] = [];
  const on = (setting: string, value: number) =>
    [...sysctls]
      .filter(([name, found]) => found === value && name.endsWith(`.${setting}`))
      .map(([name]) => `net.${name}`);
  const strict = on('rp_filter', 1);
  const regardsMarks = on('src_valid_mark', 1);
  if (strict.length > 0 && regardsMarks.length > 0) {
    findings.push(
      say.warning(
        reasons.kernelSetting,
        `${strict[0]}=1 with ${regardsMarks[0]}=1: the kernel looks up the way back of an intercepted query with our mark on it, and drops the query where a rule of another program leads that mark elsewhere. If queries of pods are lost, set rp_filter to 2`,
      ),
    );
  } else if (strict.length > 0) {
    findings.push(
      say.ok(
        `${strict[0]}=1: a query is taken only from the interface to which its answer would go, which holds for pods; the mark plays no part in it`,
      ),
    );
  }
  const open = on('route_localnet', 1);
  const isGuarded = (ruleset ?? []).some(({ chain }) => chain?.name === 'KUBE-FIREWALL');
  if (open.length > 0 && !isGuarded) {
    const served = wanted.listen.some(({ address }) => familyName(address) === 'ipv4' && address.startsWith('127.'));
    findings.push(
      say.warning(
        reasons.kernelSetting,
        `${open[0]}=1: what listens on 127.0.0.1${served ? ', a listener of the profile included,' : ', the metrics of a stand-alone agent included,'} can be reached from outside the node where no firewall forbids it. LocalDNS does not need the setting: set it to 0 unless another program does`,
      ),
    );
  }
  return findings.length > 0 ? findings : [say.ok("rp_filter and route_localnet are in nobody's way")];
}
