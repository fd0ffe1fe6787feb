/**
 * Nodes as the API server sees them, without any machine: as large as real ones, and with the heartbeat of their kubelets. Says `made` when
 * all are there, and goes on until it is ended.
 *
 *   node simulated-nodes.ts KUBECONFIG FROM TO
 */
import { setTimeout as delay } from 'node:timers/promises';
import { KubeClient } from '../../kube/client.ts';
import { readAccess } from '../../kube/kubeconfig.ts';
import { type KubeObject, NODES } from '../../kube/resource.ts';
import { isAway, nodeName, servedPool } from './temperament.ts';

/** What a kubelet does where nothing changes (--node-status-update-frequency with leases). */
const heartbeatSeconds = 300;
const atOnce = 16;

const [path = '', from = '', to = ''] = process.argv.slice(2);
const client = new KubeClient({
  access: () => readAccess({ path, env: {} }),
  ...{ fieldManager: 'simulated-nodes', userAgent: 'simulated-nodes' },
});
const numbers = Array.from({ length: Number(to) }, (_, number) => number);
let next = Number(from);
await Promise.all(Array.from({ length: atOnce }, makeSome));
console.log('made');
for (let turn = 0; ; turn += 1) {
  await delay((heartbeatSeconds * 1000) / numbers.length);
  const number = turn % numbers.length;
  await client
    .mergePatch(NODES, nodeName(number), { status: status(number) }, { subresource: 'status' })
    .catch((error: unknown) => console.log(`${error}`));
}

async function makeSome(): Promise<void> {
  for (let number = next++; number < numbers.length; number = next++) {
    await client.create(NODES, node(number));
    // A Node is created without a status.
    await client.mergePatch(NODES, nodeName(number), { status: status(number) }, { subresource: 'status' });
  }
}

function node(number: number): KubeObject {
  const name = nodeName(number);
  const labels = {
    ...{ 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64', 'kubernetes.io/hostname': name },
    'topology.kubernetes.io/region': 'somewhere',
    'topology.kubernetes.io/zone': `somewhere-${number % 3}`,
    'node.kubernetes.io/instance-type': 'large-8',
    agentpool: `pool${number % 7}`,
    ...servedPool,
  };
  const annotations = {
    'node.alpha.kubernetes.io/ttl': '0',
    'volumes.kubernetes.io/controller-managed-attach-detach': 'true',
    'csi.volume.kubernetes.io/nodeid': JSON.stringify({ 'disk.csi.example': name, 'file.csi.example': name }),
  };
  const podCIDRs = [`10.${64 + (number >> 8)}.${number & 255}.0/24`];
  return { metadata: { name, labels, annotations }, spec: { podCIDRs, podCIDR: podCIDRs[0] } } as KubeObject;
}

/** Fifty images are what a kubelet lists; they are most of a Node. */
function status(number: number): object {
  const lastHeartbeatTime = new Date().toISOString().replace(/\.\d{3}Z$/, 'Z');
  const common = { lastHeartbeatTime, lastTransitionTime: '2026-01-01T00:00:00Z' };
  const pressures = ['MemoryPressure', 'DiskPressure', 'PIDPressure'].map((type) => ({
    ...{ type, status: 'False', reason: `KubeletHasNo${type}`, message: `kubelet has no ${type}` },
    ...common,
  }));
  const ready = isAway(number) ? 'Unknown' : 'True';
  const images = Array.from({ length: 50 }, (_, image) => ({
    names: [`registry.example/group/program-${image}@sha256:${`${image}`.padStart(64, '0')}`],
    sizeBytes: 100_000_000 + image,
  }));
  return {
    addresses: [{ type: 'InternalIP', address: `10.8.${number >> 8}.${number & 255}` }],
    capacity: { cpu: '8', memory: '32Gi', pods: '110' },
    conditions: [...pressures, { type: 'Ready', status: ready, reason: 'KubeletReady', message: '', ...common }],
    images,
    nodeInfo: { kubeletVersion: 'v1.34.0', osImage: 'Some Linux', kernelVersion: '6.12.0' },
  };
}
