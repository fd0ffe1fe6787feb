import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { clusterDnsServiceAddress } from '../cluster/cluster-dns.ts';
import { Namespace } from '../cluster/namespace.ts';
import { answerOf } from '../datapath/lab.ts';
import { nodeState } from '../datapath/node-state.ts';
import { eventually } from '../tools/eventually.ts';
import { RunFolder, sweepRunFolders } from '../tools/run-folder.ts';
import { RealCluster } from './cluster.ts';
import { startKeeper } from './developers-cluster.ts';
import { machineSettings } from './node-settings.ts';
import type { Pod } from './pod.ts';

const machineFolder = new RunFolder('machine');
const machine = new Namespace(machineFolder, 'machine', []);
let cluster: RealCluster;
let first: Pod;
let bare: Awaited<ReturnType<typeof machineState>>;

before(async () => {
  bare = await machineState();
  const startedAt = performance.now();
  cluster = await RealCluster.start({ nodes: Number(process.env.LOCALDNS_E2E_NODES ?? 2) });
  const clusterMs = performance.now() - startedAt;
  first = await cluster.addPod('first', cluster.node(1));
  assert.deepEqual(await asked(first, 'kubernetes.default.svc.cluster.local'), ['10.96.0.1']);
  const firstMs = performance.now() - startedAt;
  console.log(`cluster DNS after ${Math.round(clusterMs)} ms, a pod answered after ${Math.round(firstMs)} ms`);
});

after(async () => {
  await cluster?.stop();
  await machineFolder.remove();
});

test('pods of every node are answered by cluster DNS over both transports', async () => {
  for (const node of cluster.nodes) {
    const pod = await cluster.addPod(`on-${node.name}`, node);
    for (const transport of ['udp', 'tcp'] as const) {
      assert.deepEqual(await asked(pod, 'kubernetes.default.svc.cluster.local', transport), ['10.96.0.1']);
      assert.deepEqual(await asked(pod, 'www.example', transport), [answerOf.clusterDns]);
      assert.deepEqual(await asked(pod, 'www.elsewhere.test', transport), [answerOf.nodeResolver]);
    }
  }
});

test('kubelet tells a pod to ask cluster DNS', () => {
  assert.match(first.read('etc/resolv.conf'), new RegExp(`^nameserver ${clusterDnsServiceAddress}$`, 'm'));
});

test('the API server finds its way to kubelets', async () => {
  const log = await cluster.control.kubectlOk('-n', 'kube-system', 'logs', 'deployment/coredns');
  assert.match(log, /CoreDNS-/);
});

test('a node that was killed comes again on the same disk, with its pods', async () => {
  await first.node.powerOff();
  assert.throws(() => first.read('etc/resolv.conf'));
  const startedAt = performance.now();
  await first.node.boot();
  await first.node.join();
  await eventually('the pod is answered again', 60_000, async () => {
    first = await cluster.findPod(first);
    return (await asked(first, 'www.example')).length > 0;
  });
  console.log(`a killed node's pod answered again after ${Math.round(performance.now() - startedAt)} ms`);
});

test('the machine is as it was before, while the cluster runs', async () => {
  assert.deepEqual(await machineState(), bare);
});

test('stopping leaves no process, no namespace, no control group and no file', async () => {
  const { path } = cluster.control.folder;
  const names = ['namespaces', 'groups'].flatMap((kind) => readdirSync(join(path, kind)));
  assert.ok(leftOf(names, path).length > names.length, 'they are seen while they are there');
  await cluster.stop();
  assert.equal(existsSync(path), false);
  assert.deepEqual(leftOf(names, path), []);
  assert.deepEqual(await machineState(), bare);
});

test("a developer's cluster that is told to end leaves no log", async () => {
  const { keeper, ready, logPath } = startKeeper(['--nodes', '1', '--without-localdns'], () => {});
  await ready;
  assert.ok(existsSync(logPath));
  keeper.kill('SIGTERM');
  assert.deepEqual(await once(keeper, 'exit'), [0, null]);
  assert.equal(existsSync(logPath), false);
});

for (const moment of ['network and images', 'API server', 'cluster DNS']) {
  test(`what a process leaves that is killed at "${moment}" goes with the next start`, async () => {
    const { keeper, ready, logPath } = startKeeper(['--nodes', '1', '--without-localdns'], (what) => {
      if (what === moment) keeper.kill('SIGKILL');
    });
    const [failure] = await Promise.all([ready.catch((error: Error) => error), once(keeper, 'exit')]);
    assert.equal(keeper.signalCode, 'SIGKILL', `${failure}\n${readFileSync(logPath, 'utf8')}`);
    rmSync(logPath);
    await sweepRunFolders();
    assert.deepEqual(leftOf([`ldns-${keeper.pid}-`], `/${keeper.pid}-real`), []);
    assert.deepEqual(await machineState(), bare);
  });
}

async function asked(pod: Pod, name: string, transport: 'udp' | 'tcp' = 'udp'): Promise<string[]> {
  const { answers } = await pod.network.ask({ server: clusterDnsServiceAddress, name, transport, timeoutMs: 2_000 });
  return answers.map(({ data }) => data);
}

/** What of the machine a cluster could have touched. Names of network namespaces are mounts, too, but nobody's way. */
async function machineState() {
  const folders = ['/var/lib/kubelet', '/var/lib/containerd', '/var/lib/cni', '/run/containerd', '/etc/cni'];
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return {
    ...(await nodeState(machine)),
    settings: machineSettings.map((path) => `${path} ${readFileSync(join('/proc/sys', path), 'utf8')}`),
    hostname: readFileSync('/proc/sys/kernel/hostname', 'utf8'),
    resolvers: readFileSync('/etc/resolv.conf', 'utf8'),
    mounts: mounts.filter((line) => !line.includes(' - nsfs ')),
    folders: [...folders, '/usr/libexec/kubernetes'].filter((path) => existsSync(path)),
  };
}

/** Namespaces and control groups whose names begin so, and who works in this folder. */
function leftOf(names: readonly string[], folder: string): string[] {
  const isOurs = (name: string) => names.some((one) => name.startsWith(one));
  const groups = globSync('/sys/fs/cgroup/**/ldns-*/cgroup.procs').map(dirname);
  const namespaces = readdirSync('/run/netns');
  const { stdout } = spawnSync('ps', ['-e', '-o', 'args'], { encoding: 'utf8' });
  return [
    ...groups.filter((path) => isOurs(basename(path))),
    ...namespaces.filter(isOurs),
    ...stdout.split('\n').filter((line) => line.includes(folder)),
  ];
}
