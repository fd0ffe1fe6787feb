/**
 * `helm uninstall` with profiles still there and nodes that are served, on a real API server with its controllers. The test is the kubelet:
 * each pod of the operator and of the hook's Job runs as a process, with the arguments and the token that the pod has, and ends when its pod
 * goes. Each test goes on from the one before.
 */
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { apiVersion, profileLabel, stateEnabled, stateLabel } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane, withNodes } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import type { LocalDnsNode, Node } from './scene.ts';

const root = resolve(import.meta.dirname, '../..');
const system = 'localdns-system';
const release = ['localdns', join(root, 'charts/localdns'), '-n', system] as const;
const withinMs = 30_000;
/** Of a Lease that nobody has given back. */
const leaseMs = 15_000;
const quick = { canary: { nodes: 0, soakSeconds: 0 }, maxUnavailable: '100%', probes: [] };

interface Pod {
  metadata: { name: string; uid: string; deletionTimestamp?: string };
  spec: { containers: { args: string[]; env: { name: string; value?: string }[] }[] };
  status?: { phase?: string };
}

let cluster: ControlPlane;
let kubelet: Kubelet;

/** The pods of a component, as processes. */
class Kubelet {
  readonly daemons = new Map<string, Daemon>();
  /** By their arguments: as where there is no image for them. */
  ignored: (args: readonly string[]) => boolean;
  readonly #done: Promise<void>;
  #isStopped = false;

  constructor(ignored: (args: readonly string[]) => boolean = () => false) {
    this.ignored = ignored;
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const wanted = 'app.kubernetes.io/component in (operator,uninstall)';
      const { items } = (await cluster.get<{ items: Pod[] }>('pods', '-n', system, '-l', wanted)) ?? { items: [] };
      for (const pod of items) await this.#start(pod);
      const gone = [...this.daemons].filter(([name]) => !items.some(({ metadata }) => metadata.name === name));
      for (const [, daemon] of gone) if (daemon.isRunning) daemon.signal('SIGTERM');
      await new Promise((wake) => setTimeout(wake, 200));
    }
  }

  async #start({ metadata: { name, deletionTimestamp }, spec, status }: Pod): Promise<void> {
    const [container] = spec.containers;
    const daemon = this.daemons.get(name);
    if (daemon !== undefined && !daemon.isRunning && status?.phase !== 'Succeeded') await this.#tell(name, daemon);
    if (container === undefined || daemon !== undefined || deletionTimestamp !== undefined) return;
    // A pod that has ended never runs again (Pod lifecycle); that of a failed Job stays, for its log.
    if (status?.phase === 'Failed' || status?.phase === 'Succeeded') return;
    const [command = '', ...args] = container.args;
    if (this.ignored(args)) return;
    const kubeconfig = await cluster.kubeconfigFor({
      ...{ serviceAccount: 'localdns-operator', namespace: system, pod: name },
    });
    const metrics = `127.0.0.1:${9_400 + this.daemons.size}`;
    this.daemons.set(
      name,
      cluster.startDaemon({
        name,
        command: join(root, 'bin/localdns'),
        args: [command, ...args, '--kubeconfig', kubeconfig, '--metrics', metrics],
        env: { POD_NAMESPACE: system, POD_NAME: name },
      }),
    );
  }

  /** What the Job's controller looks at. */
  async #tell(name: string, { ending }: Daemon): Promise<void> {
    const terminated = { exitCode: typeof ending === 'number' ? ending : 137, reason: 'Ended' };
    const phase = ending === 0 ? 'Succeeded' : 'Failed';
    const containerStatuses = [
      {
        ...{ name: 'withdraw', image: 'i', imageID: 'i', ready: false, restartCount: 0 },
        state: { terminated },
      },
    ];
    const patch = JSON.stringify({ status: { phase, containerStatuses } });
    await cluster.kubectl('patch', 'pod', name, '-n', system, '--subresource=status', '--type=merge', '-p', patch);
  }
}

before(async () => {
  cluster = await startControlPlane();
  // Nobody beats for these nodes.
  const idle = ['node-lifecycle-controller', 'taint-eviction-controller', 'pod-garbage-collector-controller'];
  await cluster.startControllers(withNodes.filter((name) => !idle.includes(name)));
  await install();
  kubelet = new Kubelet();
  cluster.startDaemon({
    name: 'agents',
    command: join(root, 'bin/node'),
    args: [join(import.meta.dirname, 'simulated-agents.ts'), await cluster.kubeconfigFor('admin')],
  });
  for (const [name, labels] of Object.entries({ n1: { pool: 'a' }, n2: { [profileLabel]: 'named' }, n3: {} })) {
    await cluster.applyOk([{ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } }]);
  }
  await profile('pool', { nodeSelector: { matchLabels: { pool: 'a' } } });
  await profile('named', {});
});

after(async () => {
  await kubelet?.stop();
  await cluster?.stop();
});

afterEach((context) => {
  if (!('passed' in context) || context.passed) return;
  for (const daemon of kubelet.daemons.values()) console.log(daemon.lastWords);
});

test('with nodes served and profiles there, helm uninstall takes every node out and all of ours away', async () => {
  await areServed();
  const profiles = await specs();
  await uninstall();
  await isBare();
  assert.deepEqual(await specs(), profiles);
  const ldp = await cluster.kubectlOk('get', 'ldp', '-o', 'jsonpath={.items[*].status.nodes.ready}');
  assert.equal(ldp, '0 0');
});

test('installed again at once, it serves the same nodes without waiting for a Lease that nobody holds', async () => {
  await install();
  const startedAt = performance.now();
  await areServed();
  assert.ok(performance.now() - startedAt < leaseMs, `${performance.now() - startedAt} ms`);
});

test('a label that names no profile, and operators that were killed, keep nobody from uninstalling', async () => {
  await cluster.kubectlOk('label', '--overwrite', 'node/n2', `${profileLabel}=typo`);
  await kubelet.stop();
  for (const daemon of kubelet.daemons.values()) await daemon.kill();
  kubelet = new Kubelet((args) => !args.includes('--withdraw'));
  await uninstall();
  await isBare();
  await cluster.kubectlOk('label', '--overwrite', 'node/n2', `${profileLabel}=named`);
});

test('a withdrawal that fails fails the uninstall, and a rollback to the same revision brings the operator back', async () => {
  await kubelet.stop();
  await install();
  kubelet = new Kubelet();
  await areServed();
  // Whoever guards these objects too: nothing of them goes.
  const held = JSON.stringify({ metadata: { finalizers: ['example.com/guard'] } });
  await cluster.kubectlOk('patch', 'ldn/n1', '--type=merge', '-p', held);
  const uninstalling = cluster.helm('uninstall', 'localdns', '-n', system);
  const job = await eventually('the withdrawal runs', withinMs, () =>
    [...kubelet.daemons.values()].find(({ name, log }) => name.includes('uninstall') && log.includes('leading')),
  );
  await eventually('n2 is out', withinMs, async () => (await ldn('n2')) === undefined);
  // As after two minutes without a change, which its own test plays.
  const pod = job.name;
  await kubelet.stop();
  await job.stop();
  const terminated = { exitCode: 1, reason: 'Error' };
  const status = { name: 'withdraw', image: 'i', imageID: 'i', ready: false, restartCount: 0, state: { terminated } };
  const patch = JSON.stringify({ status: { phase: 'Failed', containerStatuses: [status] } });
  await cluster.kubectlOk('patch', 'pod', pod, '-n', system, '--subresource=status', '--type=merge', '-p', patch);
  const { code, stderr } = await uninstalling;
  assert.notEqual(code, 0);
  assert.match(stderr, /localdns-uninstall.*failed|failed.*localdns-uninstall/s);
  assert.equal(await replicas(), 0);
  await cluster.kubectlOk('patch', 'ldn/n1', '--type=merge', '-p', '{"metadata":{"finalizers":null}}');

  const back = await cluster.helm('rollback', 'localdns', '1', '-n', system);
  assert.equal(back.code, 0, back.stderr);
  assert.equal(await replicas(), 2);
  kubelet = new Kubelet();
  // Who withdrew has died, and its Lease has to run out first.
  await areServed(2 * withinMs);
  await uninstall();
  await isBare();
});

test('an uninstall whose Job never started does nothing to what was rolled back', async () => {
  await kubelet.stop();
  await install();
  kubelet = new Kubelet((args) => args.includes('--withdraw'));
  await areServed();
  const { code, stderr } = await cluster.helm('uninstall', 'localdns', '-n', system, '--timeout=5s');
  assert.notEqual(code, 0);
  assert.match(stderr, /timed out|deadline|not ready/);
  assert.equal((await left()).length, 2, 'the Job and its pod wait for an image');

  const back = await cluster.helm('rollback', 'localdns', '1', '-n', system);
  assert.equal(back.code, 0, back.stderr);
  await eventually('nothing of the uninstall is left', withinMs, async () => (await left()).length === 0);
  // Now there would be one; those that run go on.
  kubelet.ignored = () => false;
  await areServed();
  assert.equal(await replicas(), 2);
  await uninstall();
  await isBare();
});

/** Of the Job that withdraws. */
async function left(): Promise<string[]> {
  const args = ['-n', system, '-l', 'app.kubernetes.io/component=uninstall', '-o', 'name'];
  return (await cluster.kubectlOk('get', 'jobs,pods', ...args)).split('\n').filter((line) => line !== '');
}

async function install(): Promise<void> {
  const { code, stderr } = await cluster.helm('install', ...release, '--create-namespace');
  assert.equal(code, 0, stderr);
  for (const kind of ['localdnsprofiles', 'localdnsnodes']) {
    await cluster.kubectlOk('wait', '--for=condition=Established', `crd/${kind}.localdns.dev`, '--timeout=10s');
  }
}

async function uninstall(): Promise<void> {
  const { code, stderr } = await cluster.helm('uninstall', 'localdns', '-n', system, '--timeout=90s');
  assert.equal(code, 0, stderr);
}

function profile(name: string, spec: object): Promise<void> {
  const metadata = { name };
  return cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata, spec: { rollout: quick, ...spec } }]);
}

function ldn(name: string): Promise<LocalDnsNode | undefined> {
  return cluster.get<LocalDnsNode>(`ldn/${name}`);
}

async function replicas(): Promise<number | undefined> {
  return (await cluster.get<{ spec: { replicas: number } }>('deployment/localdns-operator', '-n', system))?.spec
    .replicas;
}

async function specs(): Promise<string> {
  return cluster.kubectlOk('get', 'ldp', '-o', 'jsonpath={range .items[*]}{.metadata.name} {.spec}{"\\n"}{end}');
}

async function areServed(inMs = withinMs): Promise<void> {
  for (const [name, by] of [
    ['n1', 'pool'],
    ['n2', 'named'],
  ] as const) {
    await eventually(`${name} is served by ${by}`, inMs, async () => {
      const { spec, status } = (await ldn(name)) ?? {};
      const { metadata } = (await cluster.get<Node>(`node/${name}`)) ?? {};
      const isApplied = spec !== undefined && status?.appliedRevision === spec.revision;
      return spec?.profile === by && isApplied && metadata?.labels?.[stateLabel] === stateEnabled;
    });
  }
}

/** Nothing of ours but what people wrote, at the very moment when Helm has ended. */
async function isBare(): Promise<void> {
  assert.equal((await cluster.kubectlOk('get', 'ldn', '-o', 'name')).trim(), '');
  const labels = await cluster.kubectlOk('get', 'nodes', '-o', 'jsonpath={.items[*].metadata.labels}');
  assert.ok(!labels.includes(stateLabel), labels);
  const finalizers = await cluster.kubectlOk('get', 'ldp', '-o', 'jsonpath={.items[*].metadata.finalizers}');
  assert.equal(finalizers.replaceAll(/[[\] ]/g, ''), '');
  const kinds = 'leases,jobs,serviceaccounts,deployments,daemonsets,roles,rolebindings';
  const left = await cluster.kubectlOk('get', kinds, '-n', system, '-o', 'name');
  assert.equal(left.trim(), 'serviceaccount/default');
}
