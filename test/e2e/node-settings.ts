/** What the programs of a node are told: containerd, the network plugin, kubelet. */
import { clusterDnsServiceAddress } from '../cluster/cluster-dns.ts';
import { networkPlugins } from '../tools/find.ts';

const containerdSocket = '/run/containerd/containerd.sock';

/** containerd's file is TOML, of which JSON's strings are a part. */
export function containerdSettings(pauseImage: string): string {
  const unused = [
    ...['io.containerd.snapshotter.v1.aufs', 'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.zfs'],
    ...['io.containerd.snapshotter.v1.devmapper', 'io.containerd.tracing.processor.v1.otlp'],
    'io.containerd.internal.v1.tracing',
  ];
  return `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ${JSON.stringify(unused)}
[grpc]
  address = ${JSON.stringify(containerdSocket)}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${JSON.stringify(pauseImage)}
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE nobody may lower a score, and runc dies of the try.
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${JSON.stringify(networkPlugins)}
    conf_dir = "/etc/cni/net.d"
`;
}

/** Each pod on a wire of its own, as most network plugins have it: all of its packets take the node's prerouting hook. */
export function networkSettings(podRange: string): string {
  const ipam = { type: 'host-local', ranges: [[{ subnet: podRange }]], routes: [{ dst: '0.0.0.0/0' }] };
  return JSON.stringify({
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      { type: 'ptp', ipMasq: false, ipam },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
}

export function kubeletSettings(address: string, ca: string): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address,
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: ca } },
    authorization: { mode: 'Webhook' },
    healthzBindAddress: '127.0.0.1',
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    clusterDNS: [clusterDnsServiceAddress],
    clusterDomain: 'cluster.local',
    resolvConf: '/etc/resolv.conf',
    volumePluginDir: '/var/lib/kubelet/volume-plugins',
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false,
    failSwapOn: false,
    oomScoreAdj: 0,
    maxPods: 60,
    // The disk is the machine's: how full others have made it is nothing of the node's.
    evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    nodeStatusUpdateFrequency: '4s',
  });
}

/** Settings of the whole machine, which kubelet would write: inside a node they are files that nobody else reads. */
export const machineSettings: readonly string[] = [
  ...['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'],
  ...['kernel/keys/root_maxkeys', 'kernel/keys/root_maxbytes'],
];
