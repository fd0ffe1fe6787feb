/**
 * Rollouts on a real API server, with agents that are simulated: a good change reaches every node step by step, a bad one is taken back and
 * says why, and an operator that is killed anywhere is followed by one that ends what it began. Each test goes on from the one before.
 */
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import type { Condition } from '../../api/v1alpha1/conditions.ts';
import { apiVersion, profileLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import { packetsOfRun, Random, seedOfRun } from '../fuzz/random.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { Installation } from './installation.ts';
import { pause } from './scene.ts';

const root = resolve(import.meta.dirname, '../..');
const system = 'localdns-system';
const names = Array.from({ length: 12 }, (_, index) => `n${String(index).padStart(2, '0')}`);
const kills = packetsOfRun(2, 30);
const rollout = {
  maxUnavailable: 3,
  canary: { nodes: 1, soakSeconds: 1 },
  probes: ['kubernetes.default.svc.cluster.local'],
};

/** Where nobody looks at what happens on the way: the health of a node counts as soon as it has it. */
const brisk = { canary: { nodes: 1, soakSeconds: 0 } };

let cluster: ControlPlane;
let operator: Daemon;
let operatorKubeconfig: string;
let blocked: string[] = [];

before(async () => {
  cluster = await startControlPlane();
  await Installation.create(cluster, { nodes: [] });
  operatorKubeconfig = await cluster.kubeconfigFor({ serviceAccount: 'localdns-operator', namespace: system });
  await cluster.applyOk(
    names.map((name, at) => ({
      ...{ apiVersion: 'v1', kind: 'Node' },
      metadata: { name, labels: { [profileLabel]: 'default', 'topology.kubernetes.io/zone': `z${at % 3}` } },
    })),
  );
  cluster.startDaemon({
    name: 'agents',
    command: join(root, 'bin/node'),
    args: [join(import.meta.dirname, 'simulated-agents.ts'), await cluster.kubeconfigFor('admin')],
  });
  startOperator();
});

after(() => cluster?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(operator?.lastWords);
});

test('the first revision reaches every node, and stands in a ControllerRevision that the profile owns', async () => {
  await apply(brisk);
  await ends('Done');
  assert.deepEqual(await carriers(), new Map([[await target(), names.length]]));
  const [revision] = await revisions();
  assert.equal(revision?.metadata.name, await target());
  assert.equal(revision?.metadata.ownerReferences?.[0]?.kind, 'LocalDnsProfile');
  assert.equal((await status())?.rollout?.good, await target());
  const lines = operator.log.split('\n').filter((line) => line.includes('"msg":"rollout"'));
  assert.deepEqual(
    lines.map((line) => JSON.parse(line) as Record<string, string>).map(({ profile, phase }) => `${profile} ${phase}`),
    ['default Canary', 'default Batch', 'default Done'],
  );
});

test('a change reaches one node, then the others some at a time, each with one write', async () => {
  const from = Date.now();
  blocked = ['ads.example'];
  await apply();
  const most = await watchTrials(() => ends('Done'));
  assert.ok(most <= rollout.maxUnavailable, `${most} nodes on trial at once`);
  assert.deepEqual(await carriers(), new Map([[await target(), names.length]]));
  assert.deepEqual(
    [...writesOfNodes(from).values()],
    names.map(() => 1),
  );
  assert.equal((await revisions()).length, 2);
});

test('a change that fails on its canary is taken back from it, reaches nobody else, and says why', async () => {
  const { good } = (await status())?.rollout ?? {};
  const from = Date.now();
  blocked = ['fails.any.test'];
  await apply();
  await ends('RolledBack');
  assert.deepEqual(await carriers(), new Map([[good, names.length]]));
  assert.equal(writesOfNodes(from).size, 1);
  const { rollout: state, conditions } = (await status()) ?? {};
  assert.equal(state?.reason, 'ProbeFailed');
  assert.match(state?.message ?? '', /^n\d\d: kubernetes.default.svc.cluster.local: SERVFAIL from 192.0.2.1$/);
  assert.deepEqual(
    ['Programmed', 'Progressing', 'Degraded'].map((type) => summary(conditions, type)),
    ['False RolledBack', 'False RolledBack', 'True RolloutFailed'],
  );
  const { items } = (await cluster.get<{ items: { reason: string; note: string }[] }>('events.events.k8s.io')) ?? {};
  const told = items?.filter(({ reason }) => reason === 'RolloutFailed') ?? [];
  assert.equal(told.length, 1);
  assert.match(told[0]?.note ?? '', /failed: ProbeFailed: n\d\d: kubernetes.* Nodes return to default-/);
});

test('what failed is not tried again, not even by another operator', async () => {
  const from = Date.now();
  await operator.kill();
  startOperator();
  await pause(4_000);
  assert.equal(writesOfNodes(from).size, 0);
  assert.equal((await status())?.rollout?.phase, 'RolledBack');
});

test('a good revision that somebody deletes meanwhile is written again, whether or not an operator runs, and a node without any gets it', async () => {
  const { good = '' } = (await status())?.rollout ?? {};
  const [kept] = (await revisions()).filter(({ metadata }) => metadata.name === good);
  const deletion = ['delete', `controllerrevision/${good}`, `--namespace=${system}`];
  for (const isKnown of [true, false]) {
    if (!isKnown) await operator.kill();
    await cluster.kubectlOk(...deletion);
    await cluster.kubectlOk('delete', 'ldn/n11');
    if (!isKnown) startOperator();
    const again = await eventually('it is there again', 10_000, async () => {
      return (await revisions()).find(({ metadata }) => metadata.name === good);
    });
    await eventually('every node has it', 20_000, async () => (await carriers()).get(good) === names.length);
    assert.equal(again.metadata.ownerReferences?.[0]?.kind, 'LocalDnsProfile');
    assert.equal(again.data?.spec.blockedDomains?.[0]?.domain, kept?.data?.spec.blockedDomains?.[0]?.domain);
    if (isKnown) assert.deepEqual([again.data, again.revision], [kept?.data, kept?.revision]);
    const served = await Promise.all(['n10', 'n11'].map((name) => cluster.get<LocalDnsNode>(`ldn/${name}`)));
    assert.deepEqual(served[0]?.spec.config, served[1]?.spec.config);
  }
  assert.equal((await status())?.rollout?.phase, 'RolledBack');
});

test('an edit that is better is rolled out, and paused it waits', async () => {
  blocked = ['better.example'];
  await apply({ paused: true });
  await eventually('it is paused', 20_000, async () => (await status())?.rollout?.phase === 'Paused');
  await pause(1_000);
  assert.equal((await carriers()).get(await target()), undefined);
  await apply(brisk);
  await ends('Done');
  assert.deepEqual(await carriers(), new Map([[await target(), names.length]]));
});

test('an edit in the middle takes the place of the one before, and ends alone', async () => {
  blocked = ['first.example'];
  await apply();
  await eventually('it has begun', 10_000, async () => (await status())?.rollout?.phase === 'Canary');
  const first = await target();
  blocked = ['second.example'];
  await apply(brisk);
  await eventually('the new one is rolled out', 10_000, async () => (await target()) !== first);
  await ends('Done');
  assert.deepEqual(await carriers(), new Map([[await target(), names.length]]));
});

test('an edit back to an earlier spec is that revision again, and the newest', async () => {
  const count = (await revisions()).length;
  blocked = ['ads.example'];
  await apply(brisk);
  await ends('Done');
  const stored = await revisions();
  assert.equal(stored.length, count);
  const newest = stored.reduce((most, one) => (one.revision > most.revision ? one : most));
  assert.equal(newest.metadata.name, await target());
});

test('a node that is away does not block, and follows when it returns', async () => {
  await ready('n05', 'False');
  const before = await target();
  blocked = ['away.example'];
  await apply(brisk);
  await ends('Done');
  assert.deepEqual(
    await carriers(),
    new Map([
      [await target(), names.length - 1],
      [before, 1],
    ]),
  );
  await ready('n05', 'True');
  await eventually('it follows', 20_000, async () => (await carriers()).get(await target()) === names.length);
});

test(`an operator that is killed at ${kills} moments is followed by one that ends what it began`, async () => {
  const random = new Random(seedOfRun());
  for (let round = 0; round < kills; round += 1) {
    const { good } = (await status())?.rollout ?? {};
    const isBad = round % 2 === 1;
    blocked = isBad ? [`round-${round}.example`, 'fails.n07.test'] : [`round-${round}.example`];
    await apply();
    const waitMs = random.below(3_500);
    await pause(waitMs);
    await operator.kill();
    startOperator();
    const what = `round ${round}, killed after ${waitMs} ms`;
    const most = await watchTrials(() => ends(isBad ? 'RolledBack' : 'Done'));
    assert.ok(most <= rollout.maxUnavailable, `${what}: ${most} nodes on trial at once`);
    assert.deepEqual(await carriers(), new Map([[isBad ? good : await target(), names.length]]), what);
  }
});

test('the roles of the chart were enough for all of this', () => {
  assert.deepEqual(
    cluster.audit().filter(({ responseStatus }) => responseStatus?.code === 403),
    [],
  );
});

function startOperator(): void {
  operator = cluster.startDaemon({
    name: 'operator',
    command: join(root, 'bin/localdns'),
    args: [
      ...['operator', '--kubeconfig', operatorKubeconfig, '--metrics', '127.0.0.1:9354'],
      // Whoever is killed gives nothing back: the next one waits for the Lease to run out.
      ...['--lease-duration', '3', '--lease-renew-deadline', '2', '--lease-retry', '0.5'],
    ],
  });
}

interface Revision {
  metadata: { name: string; ownerReferences?: { kind: string }[] };
  data?: { spec: { blockedDomains?: { domain: string }[] } };
  revision: number;
}

interface Stored {
  metadata: { name: string };
  spec: { profileRevision?: string; trial?: object; revision: string };
  status?: { health?: { revision: string } };
}

function apply(more: object = {}): Promise<void> {
  const blockedDomains = blocked.map((domain) => ({ domain }));
  const spec = { blockedDomains, rollout: { ...rollout, ...more } };
  return cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec }]);
}

async function status(): Promise<ProfileStatus | undefined> {
  return (await cluster.get<{ status?: ProfileStatus }>('ldp/default'))?.status;
}

async function target(): Promise<string | undefined> {
  return (await status())?.rollout?.target;
}

/** Until the newest spec has come to this end. */
async function ends(phase: string): Promise<void> {
  await eventually(`the rollout ends as ${phase}`, 60_000, async () => {
    const profile = await cluster.get<{ metadata: { generation: number }; status?: ProfileStatus }>('ldp/default');
    return (
      profile?.status?.observedGeneration === profile?.metadata.generation && profile?.status?.rollout?.phase === phase
    );
  });
}

async function localDnsNodes(): Promise<Stored[]> {
  return (await cluster.get<{ items: Stored[] }>('ldn'))?.items ?? [];
}

/** How many nodes carry which revision. */
async function carriers(): Promise<Map<string | undefined, number>> {
  const found = new Map<string | undefined, number>();
  for (const { spec } of await localDnsNodes()) {
    found.set(spec.profileRevision, (found.get(spec.profileRevision) ?? 0) + 1);
  }
  return found;
}

/** The most nodes that were seen on trial at once. */
async function watchTrials(work: () => Promise<void>): Promise<number> {
  let isOver = false;
  let most = 0;
  const done = work().finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const onTrial = (await localDnsNodes()).filter(
      ({ spec, status: reported }) => spec.trial !== undefined && reported?.health?.revision !== spec.revision,
    );
    most = Math.max(most, onTrial.length);
    await pause(20);
  }
  await done;
  return most;
}

function revisions(): Promise<Revision[]> {
  return cluster.get<{ items: Revision[] }>('-n', system, 'controllerrevisions').then((list) => list?.items ?? []);
}

/** How often the operator has written each LocalDnsNode since. */
function writesOfNodes(fromMs: number): Map<string, number> {
  const found = new Map<string, number>();
  for (const { verb, objectRef, userAgent, requestReceivedTimestamp, responseStatus } of cluster.audit()) {
    const { resource, subresource, name = '' } = objectRef ?? {};
    if (resource !== 'localdnsnodes' || subresource !== undefined || verb !== 'patch') continue;
    // Refused since the agent had just written its status: decided anew, and no write.
    if (responseStatus?.code === 409) continue;
    if (!userAgent?.startsWith('localdns-operator') || Date.parse(requestReceivedTimestamp) < fromMs) continue;
    found.set(name, (found.get(name) ?? 0) + 1);
  }
  return found;
}

async function ready(node: string, value: 'True' | 'False'): Promise<void> {
  const change = JSON.stringify({ status: { conditions: [{ type: 'Ready', status: value }] } });
  await cluster.kubectlOk('patch', `node/${node}`, '--subresource=status', '--type=merge', '-p', change);
}

function summary(conditions: readonly Condition[] | undefined, type: string): string {
  const found = conditions?.find((condition) => condition.type === type);
  return `${found?.status} ${found?.reason}`;
}
