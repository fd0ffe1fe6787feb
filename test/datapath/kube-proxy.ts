import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clusterDnsServiceAddress, clusterDnsServiceAddress6 } from '../cluster/cluster-dns.ts';
import type { ControlPlane } from '../cluster/control-plane.ts';
import type { Daemon } from '../cluster/daemon.ts';
import type { Namespace } from '../cluster/namespace.ts';
import { eventually } from '../tools/eventually.ts';
import { toolPath } from '../tools/find.ts';
import { podRanges } from './network.ts';

export type ProxyMode = 'iptables' | 'nftables';

/** The real kube-proxy of a node: its rules are what it writes itself, from what the API server has. */
export class KubeProxy {
  readonly mode: ProxyMode;
  readonly #daemon: Daemon;

  private constructor(mode: ProxyMode, daemon: Daemon) {
    this.mode = mode;
    this.#daemon = daemon;
  }

  /** Returns when both addresses of cluster DNS lead to its endpoints. Rules of the other mode are removed by it. */
  static async start(cluster: ControlPlane, node: Namespace, nodeName: string, mode: ProxyMode): Promise<KubeProxy> {
    const kubeconfig = await cluster.kubeconfigForSubject('kube-proxy', '/CN=system:kube-proxy');
    const config = join(cluster.folder.path, 'kube-proxy.json');
    writeFileSync(config, JSON.stringify(proxySettings(kubeconfig, nodeName, mode)));
    const daemon = cluster.startDaemon(
      { name: `kube-proxy-${mode}`, command: toolPath('kube-proxy'), args: ['--config', config] },
      node,
    );
    await eventually(`kube-proxy has written its rules in ${mode} mode`, 20_000, async () => {
      daemon.assertRunning();
      return await leadsToClusterDns(node, mode);
    });
    return new KubeProxy(mode, daemon);
  }

  /** Its rules stay, as they do where its pod is replaced. */
  stop(): Promise<number | string | undefined> {
    return this.#daemon.stop();
  }

  get lastWords(): string {
    return this.#daemon.lastWords;
  }
}

async function leadsToClusterDns(node: Namespace, mode: ProxyMode): Promise<boolean> {
  const listings =
    mode === 'nftables'
      ? [
          ['nft', 'list', 'map', 'ip', 'kube-proxy', 'service-ips'],
          ['nft', 'list', 'map', 'ip6', 'kube-proxy', 'service-ips'],
        ]
      : [
          ['iptables-save', '-t', 'nat'],
          ['ip6tables-save', '-t', 'nat'],
        ];
  const [v4 = '', v6 = ''] = await Promise.all(
    listings.map(async ([command = '', ...args]) => (await node.run(command, args)).stdout),
  );
  return v4.includes(clusterDnsServiceAddress) && v6.includes(clusterDnsServiceAddress6);
}

export function proxySettings(kubeconfig: string, nodeName: string, mode: ProxyMode) {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: { kubeconfig },
    mode,
    clusterCIDR: `${podRanges.v4},${podRanges.v6}`,
    hostnameOverride: nodeName,
    // Settings of the whole machine, which are not a test's to change.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    // Containers often lack CAP_SYS_RESOURCE, and without it the default (-999) is refused.
    oomScoreAdj: 0,
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
    iptables: { minSyncPeriod: '0s' },
    nftables: { minSyncPeriod: '0s' },
  };
}
