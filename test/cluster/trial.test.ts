/** What an agent tells of a configuration: how the node serves with it, and what of it the agent does not know. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { apiVersion, profileLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import { type NodeConfig, revisionOf } from '../../api/v1alpha1/node-config.ts';
import type { KubeObject } from '../../kube/resource.ts';
import { writtenFacts } from '../../operator/profile/facts.ts';
import { sampleBlock, sampleConfig } from '../fake/node-config.ts';
import { eventually } from '../tools/eventually.ts';
import { type ClusterDns, everyName } from './cluster-dns.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { Installation } from './installation.ts';
import { clusterListener, kubernetes, type LocalDnsProfile, listenAddresses } from './scene.ts';

const node = 'n1';
const soakSeconds = 2;
const forwarded = 'localdns_zone_answers_total{listener="cluster",zone="cluster.local",origin="forwarded"}';

let cluster: ControlPlane;
let localdns: Installation;
let dns: ClusterDns;
let agent: Daemon;
let operator: Daemon | undefined;

before(async () => {
  cluster = await startControlPlane();
  for (const address of listenAddresses) cluster.namespace.addAddress(address);
  dns = await cluster.startClusterDns({ extraZones: { '.': everyName('192.0.2.7', 1) } });
  localdns = await Installation.create(cluster);
  agent = localdns.startAgent(node, dns.address);
});

after(() => cluster?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(agent?.lastWords, operator?.lastWords);
});

/** There is no operator here: what it would write, the test does. */
async function write(config: object, ...probes: string[]): Promise<string> {
  const revision = revisionOf(config);
  const spec = { profile: 'default', revision, trial: { soakSeconds, probes }, config };
  await cluster.applyOk([{ apiVersion, kind: 'LocalDnsNode', metadata: { name: node }, spec }]);
  return revision;
}

const config = (fields: Partial<NodeConfig> = {}) =>
  sampleConfig({
    listeners: [
      {
        name: 'cluster',
        addresses: [clusterListener],
        intercept: false,
        tracked: false,
        serverBlocks: [sampleBlock(), sampleBlock({ zone: 'cluster.local', protocol: 'ForceTCP' })],
      },
    ],
    ...fields,
  });

const status = async () => (await cluster.get<LocalDnsNode>(`ldn/${node}`))?.status;
const touchedAtMs = async () => {
  const object = await cluster.get<LocalDnsNode & KubeObject>(`ldn/${node}`);
  return (object && writtenFacts(object).touchedAtMs) ?? assert.fail();
};
const healthOf = (revision: string) =>
  eventually(`the health with ${revision}`, 15_000, async () => {
    const health = (await status())?.health;
    return health?.revision === revision ? health : undefined;
  });

test('an agent says once, at the end of the soak, how it has served, and whether probes are resolved', async () => {
  const revision = await write(config(), kubernetes.name, 'nowhere.cluster.local');
  await eventually('it serves', 10_000, async () => (await status())?.appliedRevision === revision);
  const appliedAtMs = await touchedAtMs();
  assert.deepEqual((await status())?.configVersions, [1]);
  assert.ok((await status())?.agentVersion);
  const load = await cluster.namespace.startLoad({ server: clusterListener, names: ['www.example'], perSecond: 100 });
  const health = await healthOf(revision);
  // By that an operator that has just begun knows for how long an agent has been silent.
  assert.ok((await touchedAtMs()) > appliedAtMs);
  const { sent, lost } = await load.stop();
  assert.equal(lost, 0);
  assert.ok(health.queries > 50 && health.queries <= sent, `${health.queries} of ${sent}`);
  assert.ok((health.waited ?? 0) >= 1 && health.p99Micros > 64, JSON.stringify(health));
  assert.deepEqual([health.soakSeconds, health.servFailPermille, health.before], [soakSeconds, 0, undefined]);
  assert.deepEqual(health.probes, [
    { name: kubernetes.name, ok: true },
    { name: 'nowhere.cluster.local', ok: false, message: 'the answer is NXDOMAIN' },
  ]);
  const { body } = await localdns.agentPage('metrics');
  assert.ok(!body.includes(`${forwarded} 0`), 'the probes went where the queries of pods go');
});

test('the next revision is compared with the time before it, and servers that fail show', async () => {
  const load = await cluster.namespace.startLoad({
    server: clusterListener,
    names: Array.from({ length: 50 }, (_, at) => `${at}.gone.example`),
    perSecond: 100,
  });
  // So long that the whole of the soak before has its load.
  const earlier = await answered();
  await eventually('enough has been answered', 10_000, async () => (await answered()) > earlier + 400);
  const gone = { zone: 'gone.example', forwardDestination: 'nobody' };
  const [listener] = config().listeners;
  assert.ok(listener !== undefined);
  const serverBlocks = [...listener.serverBlocks, sampleBlock({ ...gone, serveStale: 'Disable' })];
  const upstreams = [{ name: 'nobody', servers: ['127.0.0.1:9'] }];
  const revision = await write(config({ listeners: [{ ...listener, serverBlocks }], upstreams }));
  const { before, servFailPermille } = await healthOf(revision);
  await load.stop();
  assert.ok(before !== undefined && before.queries > 100, JSON.stringify(before));
  // Some queries are served by the new configuration before it is told to be in force: on a busy machine those of a tenth of a second.
  assert.ok(before.servFailPermille <= 50, `${before.servFailPermille}`);
  assert.ok(servFailPermille > 900, `${servFailPermille}`);
});

test('an agent refuses what it does not know, names it, and serves on with what it has', async () => {
  const applied = (await status())?.appliedRevision;
  const unknown: [string, object][] = [
    ['sorcery', { ...config(), sorcery: true }],
    ['listeners.0.serverBlocks.0', { ...config(), listeners: [withUnknownBlockField()] }],
    ['configuration format 2 is not known here', { ...config(), formatVersion: 2 }],
  ];
  for (const [what, written] of unknown) {
    const revision = await write(written);
    const told = await eventually(`${what} is refused`, 10_000, async () => {
      const now = await status();
      const condition = now?.conditions?.find(({ type }) => type === 'ConfigApplied');
      return condition?.status === 'False' && condition.message.includes(revision) ? now : undefined;
    });
    assert.ok(told.lastError?.includes(what), `${told.lastError}`);
    assert.equal(told.appliedRevision, applied);
    assert.equal(told.conditions?.find(({ type }) => type === 'Serving')?.status, 'True');
    const { answers } = await cluster.namespace.ask({ server: clusterListener, name: kubernetes.name });
    assert.equal(answers[0]?.data, kubernetes.address);
  }
  const revision = await write(config());
  await eventually(
    'what it knows comes into force',
    10_000,
    async () => (await status())?.appliedRevision === revision,
  );
  assert.equal((await status())?.lastError, '');
});

test('an agent that starts on what only newer ones read says so and what it reads, and the operator renders that for it', async () => {
  await agent.stop();
  rmSync(localdns.stateFolder(node), { recursive: true });
  await cluster.kubectlOk('delete', `ldn/${node}`);
  const newer = await write({ ...config(), formatVersion: 2 });
  agent = localdns.startAgent(node, dns.address);
  const told = await eventually('it says what it reads', 10_000, async () => {
    const now = await status();
    return now?.configVersions === undefined ? undefined : now;
  });
  assert.deepEqual([told.configVersions, told.appliedRevision ?? ''], [[1], '']);
  assert.match(told.lastError ?? '', /configuration format 2 is not known here, only 1: upgrade the agent/);
  assert.equal(told.conditions?.find(({ type }) => type === 'Serving')?.status, 'False');

  const labels = { 'kubernetes.io/os': 'linux', [profileLabel]: 'default' };
  const spec = { rollout: { canary: { nodes: 1, soakSeconds: 1 } } };
  await cluster.applyOk([
    { apiVersion: 'v1', kind: 'Node', metadata: { name: node, labels } },
    { apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec },
  ]);
  operator = localdns.startOperator();
  const served = await eventually('it serves what the operator has rendered', 15_000, async () => {
    operator?.assertRunning();
    const now = await cluster.get<LocalDnsNode>(`ldn/${node}`);
    return now?.spec.revision !== newer && now?.status?.appliedRevision === now?.spec.revision ? now : undefined;
  });
  assert.match(served.spec.revision, /^v1-/);
  assert.equal(served.status?.lastError, '');
  await cluster.kubectlOk('wait', '--for=condition=Programmed', 'ldp/default', '--timeout=15s');
});

test('an agent that reads nothing of what the operator writes keeps what it has, and the profile says whom to upgrade', async () => {
  await agent.stop();
  const before = (await cluster.get<LocalDnsNode>(`ldn/${node}`))?.spec;
  const tells = { status: { agentVersion: '9.0.0', configVersions: [9] } };
  await cluster.kubectlOk('patch', `ldn/${node}`, '--subresource=status', '--type=merge', '-p', JSON.stringify(tells));
  await cluster.kubectlOk('wait', '--for=condition=Degraded', 'ldp/default', '--timeout=10s');
  const { conditions } = (await cluster.get<LocalDnsProfile>('ldp/default'))?.status ?? {};
  const degraded = conditions?.find(({ type }) => type === 'Degraded');
  assert.equal(degraded?.reason, 'AgentTooNew');
  assert.match(
    degraded?.message ?? '',
    /n1: its agent \(9\.0\.0\) reads configuration format 9, and this operator writes 1: upgrade the operator/,
  );
  assert.deepEqual((await cluster.get<LocalDnsNode>(`ldn/${node}`))?.spec, before);
});

async function answered(): Promise<number> {
  const { body } = await localdns.agentPage('metrics');
  return Number(/localdns_answers_total\{listener="cluster",rcode="NOERROR"\} (\d+)/.exec(body)?.[1]);
}

function withUnknownBlockField(): object {
  return { ...config().listeners[0], serverBlocks: [{ ...sampleBlock(), sorcery: true }] };
}
