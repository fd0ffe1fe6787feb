/** Who else on this node answers DNS, holds our addresses, or leads packets past the packet filter. */
import { formatEndpoint } from '../../../api/v1alpha1/address.ts';
import { reasons } from '../../../api/v1alpha1/conditions.ts';
import {
  type BoundSocket,
  bindKey,
  caughtAddresses,
  type InterfaceAddress,
  isLoopback,
  type NodeFacts,
} from './facts.ts';
import { type Finding, saying } from './finding.ts';

interface Product {
  readonly name: string;
  /** Dummy interfaces that it makes for its addresses. */
  readonly interfaces: readonly string[];
  /** Its usual addresses. */
  readonly addresses: readonly string[];
  readonly remedy: string;
}

const products: readonly Product[] = [
  {
    name: 'NodeLocal DNSCache',
    interfaces: ['nodelocaldns'],
    addresses: ['169.254.20.10'],
    remedy: 'remove its DaemonSet (kube-system/node-local-dns) and the interface nodelocaldns that it may leave behind',
  },
  {
    name: 'AKS LocalDNS',
    interfaces: ['localdns', 'akslocaldns'],
    addresses: ['169.254.10.10', '169.254.10.11'],
    remedy: 'switch it off for the node pool (az aks nodepool update --localdns-config with mode Disabled)',
  },
];

const ipvsInterface = 'kube-ipvs0';

/** By its interface, or by its address on any interface but the loopback one. */
function productOf(at: InterfaceAddress): Product | undefined {
  return products.find(
    ({ interfaces, addresses }) =>
      interfaces.includes(at.interface) || (addresses.includes(at.address) && at.interface !== 'lo'),
  );
}

export function otherNodeLocalDns({ addresses, interfaces, wanted }: NodeFacts): Finding[] {
  const say = saying('other-node-local-dns');
  const caught = caughtAddresses(wanted);
  const findings = products.flatMap((product) => {
    const theirs = addresses.filter((at) => productOf(at) === product);
    const name = theirs[0]?.interface ?? interfaces.find((each) => product.interfaces.includes(each));
    if (name === undefined) return [];
    const shared = theirs.filter(({ address }) => caught.includes(address));
    if (shared.length === 0) {
      return [
        say.warning(
          reasons.anotherNodeLocalDns,
          `${product.name} is on this node (interface ${name}): it uses none of our addresses, but whoever asks its addresses is answered by it. To have one cache only, ${product.remedy}`,
        ),
      ];
    }
    return shared.map(({ address }) =>
      say.blocking(
        reasons.anotherNodeLocalDns,
        `${product.name} holds ${address} on interface ${name} and answers there: ${address} is left to it. To let LocalDNS answer, ${product.remedy}`,
        address,
      ),
    );
  });
  return findings.length > 0 ? findings : [say.ok('no other node-local DNS is on this node')];
}

/** An address that the kernel takes for its own is delivered to whoever listens there, also while no agent lives. */
export function addressesOnInterfaces({ addresses, wanted }: NodeFacts): Finding[] {
  const say = saying('addresses');
  const findings = caughtAddresses(wanted).flatMap((address) => {
    // What another node-local DNS holds is told by the check of that name.
    const at = addresses.find((each) => each.address === address && productOf(each) === undefined)?.interface;
    if (at === undefined) return [];
    if (at === ipvsInterface) {
      return [
        say.blocking(
          reasons.heldByIpvs,
          `kube-proxy in IPVS mode holds ${address} on ${ipvsInterface} and takes its packets before they reach an agent: pods that ask ${address} keep to cluster DNS. Let them ask an address of the cluster listener (kubelet's clusterDNS, or a pod's dnsConfig), or run kube-proxy in nftables mode`,
          address,
        ),
      ];
    }
    if (wanted.others.includes(address)) {
      return [
        say.blocking(
          reasons.addressTaken,
          `${address} is on interface ${at} of this node: what is sent there belongs to the program that put it there, and is left to it. Remove the address, or let pods ask an address of the cluster listener`,
          address,
        ),
      ];
    }
    return [
      say.warning(
        reasons.addressTaken,
        `${address} is on interface ${at}: LocalDNS needs its addresses on no interface, and does not remove this one. Where nothing else uses it, remove it: ip address del ${address} dev ${at}`,
        address,
      ),
    ];
  });
  return findings.length > 0 ? findings : [say.ok('our addresses are on no interface of this node')];
}

/** Whether our sockets can be opened; the trial is the kernel's own word, the names are for the person who reads. */
export function ports({ sockets, bindTrials, wanted }: NodeFacts): Finding[] {
  const say = saying('ports');
  const findings = wanted.listen.flatMap((at) => {
    const holders = (protocol: 'udp' | 'tcp') =>
      sockets.filter((each) => each.protocol === protocol && each.port === at.port && each.address === at.address);
    const wildcards = sockets.filter((each) => each.port === at.port && isWildcardFor(each.address, at.address));
    const isTaken = (protocol: 'udp' | 'tcp') => {
      const trial = bindTrials.get(bindKey(protocol, at));
      if (trial === 'taken') return true;
      // A UDP address in use is not tried, for that would take queries from who serves there: one that lets us
      // share its TCP port is an agent, which shares the UDP port as well.
      if (protocol === 'tcp' || trial === 'free' || holders('udp').length === 0) return false;
      return bindTrials.get(bindKey('tcp', at)) !== 'free' || !sharesHolder(holders('udp'), holders('tcp'));
    };
    const taken = (['udp', 'tcp'] as const).find(isTaken);
    if (taken !== undefined) {
      const culprits = holders(taken).length > 0 ? holders(taken) : wildcards;
      return [
        say.blocking(
          reasons.portTaken,
          `${nameOf(culprits)} has ${formatEndpoint(culprits[0] ?? at)} (${taken.toUpperCase()}), so nothing of ours can listen on ${formatEndpoint(at)}: ${culprits.some((each) => each.address !== at.address) ? 'bind it to its own address (dnsmasq: bind-interfaces) or stop it' : "stop it, or give LocalDNS another address (the profile's listeners)"}`,
          at.address,
        ),
      ];
    }
    if (wildcards.length > 0) {
      return [
        say.warning(
          reasons.portTaken,
          `${nameOf(wildcards)} listens on port ${at.port} of every address. Ours is named, so that queries to ${at.address} come to us while an agent lives; afterwards that program answers them. Bind it to its own address (dnsmasq: bind-interfaces)`,
          at.address,
        ),
      ];
    }
    return [];
  });
  return findings.length > 0 ? findings : [say.ok(`nobody else has ${wanted.listen.map(formatEndpoint).join(', ')}`)];
}

function isWildcardFor(wildcard: string, address: string): boolean {
  // A socket on :: takes IPv4 as well, unless it was told not to, which cannot be seen from outside.
  return wildcard === '::' || (wildcard === '0.0.0.0' && !address.includes(':'));
}

function sharesHolder(some: readonly BoundSocket[], others: readonly BoundSocket[]): boolean {
  return some.every(({ holder }) => others.some((other) => other.holder?.pid === holder?.pid));
}

function nameOf(sockets: readonly BoundSocket[]): string {
  const names = new Set(sockets.flatMap(({ holder }) => (holder ? `${holder.name} (process ${holder.pid})` : [])));
  return names.size > 0 ? [...names].join(', ') : 'a process that cannot be seen from here';
}

interface Plugin {
  readonly name: string;
  /** An interface that it makes in the mode in which it matters. */
  readonly interface: RegExp;
  readonly meaning: string;
}

/** Network plugins that can lead packets of pods past the packet filter of the node, or rewrite them before. */
const plugins: readonly Plugin[] = [
  {
    name: 'Cilium',
    interface: /^cilium_host$/,
    meaning:
      "where it replaces kube-proxy, the Service address is rewritten in the pod's own socket or at its interface, and never seen here; with BPF host routing no packet of a pod is. Set bpf.hostLegacyRouting=true, and let pods ask an address of the cluster listener",
  },
  {
    name: 'Calico in eBPF mode',
    interface: /^bpf(in\.cali|natin)$/,
    meaning:
      'Service addresses are translated before the packet filter sees them. Let pods ask an address of the cluster listener',
  },
  {
    name: 'Antrea',
    interface: /^antrea-gw0$/,
    meaning:
      'with AntreaProxy, Service addresses are translated in Open vSwitch. Let pods ask an address of the cluster listener',
  },
  {
    name: 'OVN-Kubernetes',
    interface: /^ovn-k8s-mp0$/,
    meaning: 'Service addresses are translated in Open vSwitch. Let pods ask an address of the cluster listener',
  },
  {
    name: 'Kube-OVN',
    interface: /^ovn0$/,
    meaning: 'Service addresses may be translated in Open vSwitch. Let pods ask an address of the cluster listener',
  },
];

export function networkPlugin({ interfaces }: NodeFacts): Finding[] {
  const say = saying('network-plugin');
  const findings = plugins.flatMap((plugin) => {
    const found = interfaces.find((name) => plugin.interface.test(name));
    if (found === undefined) return [];
    return [
      say.warning(
        reasons.networkPluginBypasses,
        `${plugin.name} is on this node (interface ${found}): ${plugin.meaning}; until a query of a pod has come through, nothing is lost, for it goes to cluster DNS`,
      ),
    ];
  });
  return findings.length > 0
    ? findings
    : [say.ok('no network plugin is known here that leads packets past the packet filter')];
}

/** Whether a caught address is one that nobody outside the node could ask anyway. */
export function loopbackListeners({ wanted }: NodeFacts): Finding[] {
  const say = saying('loopback-listeners');
  const alone = wanted.listen.filter(({ address }) => isLoopback(address));
  if (alone.length === 0) return [];
  return [
    say.ok(
      `${alone.map(formatEndpoint).join(', ')}: processes of this node alone can ask there; nothing is intercepted`,
    ),
  ];
}
