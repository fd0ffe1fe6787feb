/**
 * A second operator stands by, and its view of the cluster is old without its knowing: its watch of one kind is open and tells nothing, or
 * cannot be opened any more. The first ends in order, so that the second leads within a second. It undoes nothing of what was accepted
 * meanwhile, and tries nothing again that has failed; nor does a leader whose view grows old while it leads.
 */
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { apiVersion, profileLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { FaultyPath } from './faulty-path.ts';
import { Installation } from './installation.ts';
import { pause } from './scene.ts';

const root = resolve(import.meta.dirname, '../..');
const system = 'localdns-system';
const names = Array.from({ length: 8 }, (_, index) => `n${index}`);
/** An operator that is wrong begins to act within a second, and takes the second step two later. */
const actsWithinMs = 4_000;
const bad = names.slice(3).map((name) => `fails.${name}.test`);

let cluster: ControlPlane;
let localdns: Installation;
let straight: string;
let path: FaultyPath;
let leader: Daemon;
let standby: Daemon;
let edits = 0;

before(async () => {
  cluster = await startControlPlane();
  localdns = await Installation.create(cluster, { nodes: [] });
  straight = await cluster.kubeconfigFor({ serviceAccount: 'localdns-operator', namespace: system });
  path = await FaultyPath.start(cluster, straight);
  await cluster.applyOk(
    names.map((name) => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels: { [profileLabel]: 'default' } },
    })),
  );
  cluster.startDaemon({
    name: 'agents',
    command: join(root, 'bin/node'),
    args: [join(import.meta.dirname, 'simulated-agents.ts'), await cluster.kubeconfigFor('admin')],
  });
});

after(() => cluster?.stop());

/** All is at rest, on a revision that is good. */
beforeEach(async () => {
  await path.order();
  await Promise.all([leader?.stop(), standby?.stop()]);
  leader = localdns.startOperator(straight, { name: 'operator-a', metricsPort: 9354, env: { POD_NAME: 'a' } });
  await eventually('the first leads', 15_000, () => leader.log.includes('"leading"'));
  await edit([`edit-${++edits}.example`]);
  await ends('Done');
  standby = localdns.startOperator(path.kubeconfig, { name: 'operator-b', metricsPort: 9355, env: { POD_NAME: 'b' } });
  await eventually('the second is ready', 15_000, () => standby.log.includes('"ready"'));
});

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(leader?.lastWords, standby?.lastWords);
});

for (const [title, fault] of [
  ['its watch of profiles tells nothing', { silent: 'localdnsprofiles' }],
  ['its watch of nodes’ configurations tells nothing', { silent: 'localdnsnodes' }],
] as const) {
  test(`an edit that was accepted is not undone by who leads next, while ${title}`, async () => {
    await path.order(fault);
    const before = await acceptedEdit();
    await handsOver();
    await pause(actsWithinMs);
    assert.deepEqual(await standing(), before);
    // And it is what it goes on from.
    await edit([`edit-${++edits}.example`]);
    await path.order();
    await ends('Done', 60_000);
  });
}

test('while profiles cannot be read nothing is written, the log says so, and the work goes on once they can be', async () => {
  await path.order({ refused: 'localdnsprofiles' });
  const before = await acceptedEdit();
  await handsOver();
  const fromMs = Date.now();
  const said = 'leading, and nothing is written before all is read anew';
  await eventually('the log says so', 10_000, () => standby.log.includes(said));
  await edit([`edit-${++edits}.example`]);
  await pause(actsWithinMs);
  const { metadata, ...rest } = await standing();
  assert.deepEqual(rest, { status: before.status, carriers: before.carriers });
  assert.deepEqual(writesSince(fromMs), []);
  await path.order();
  await ends('Done');
});

test('what has failed is not tried again by who leads next, while its watch of profiles tells nothing', async () => {
  await edit(bad);
  await eventually('the batch is under way', 20_000, async () => {
    const { observedGeneration, rollout } = (await standing()).status ?? {};
    return observedGeneration === (await standing()).metadata.generation && rollout?.phase === 'Batch';
  });
  await path.order({ silent: 'localdnsprofiles' });
  await ends('RolledBack');
  const before = await standing();
  await handsOver();
  await pause(actsWithinMs);
  assert.deepEqual(await standing(), before);
});

test('a node that was taken out is not served again by who leads next, while its watch of nodes tells nothing', async () => {
  await path.order({ silent: 'nodes' });
  await cluster.kubectlOk('label', '--overwrite', 'node/n7', `${profileLabel}=none`);
  const isOut = async (): Promise<boolean> => (await standing()).carriers.every(({ name }) => name !== 'n7');
  await eventually('the node is out', 20_000, isOut);
  await handsOver();
  await pause(actsWithinMs);
  assert.ok(await isOut());
  await cluster.kubectlOk('label', '--overwrite', 'node/n7', `${profileLabel}=default`);
});

test('a leader whose watch of profiles tells nothing any more hears of an edit once it has something to write', async () => {
  await handsOver();
  await path.order({ silent: 'localdnsprofiles' });
  await edit([`edit-${++edits}.example`]);
  // One more node to serve: its status says so.
  await cluster.applyOk([
    { apiVersion: 'v1', kind: 'Node', metadata: { name: `more${edits}`, labels: { [profileLabel]: 'default' } } },
  ]);
  await ends('Done', 30_000);
  const { status, metadata } = await standing();
  assert.equal(status?.observedGeneration, metadata.generation);
  await cluster.kubectlOk('delete', `node/more${edits}`);
});

/** Brings it about before the other takes over. */
async function acceptedEdit(): Promise<Standing> {
  await edit([`edit-${++edits}.example`]);
  await ends('Done');
  return standing();
}

async function handsOver(): Promise<void> {
  const toldAtMs = Date.now();
  assert.equal(await leader.stop(), 0, leader.lastWords);
  await eventually('the second leads', 20_000, () => standby.log.includes('"leading"'));
  console.log(`the second led ${Date.now() - toldAtMs} ms after SIGTERM`);
}

interface Standing {
  metadata: { generation: number };
  status?: ProfileStatus;
  carriers: { name: string; revision: string | undefined }[];
}

/** What the API says of the profile, and of what nodes have. */
async function standing(): Promise<Standing> {
  const profile = await cluster.get<Pick<Standing, 'metadata' | 'status'>>('ldp/default');
  const { items } = (await cluster.get<{ items: (LocalDnsNode & { metadata: { name: string } })[] }>('ldn')) ?? {};
  const carriers = (items ?? []).map(({ metadata: { name }, spec }) => ({ name, revision: spec.profileRevision }));
  const { generation = 0 } = profile?.metadata ?? {};
  return { metadata: { generation }, ...(profile?.status && { status: profile.status }), carriers };
}

async function ends(phase: string, withinMs = 30_000): Promise<void> {
  await eventually(`the rollout ends as ${phase}`, withinMs, async () => {
    const { metadata, status } = await standing();
    if (status?.observedGeneration === metadata.generation && status.rollout?.phase === phase) return true;
    throw new Error(JSON.stringify([metadata.generation, status?.observedGeneration, status?.rollout]));
  });
}

/** By the second, and not of its Lease. */
function writesSince(fromMs: number): string[] {
  return cluster.audit().flatMap(({ verb, userAgent, objectRef, requestReceivedTimestamp }) => {
    const isWrite = !['get', 'list', 'watch'].includes(verb) && objectRef?.resource !== 'leases';
    const isMeant = userAgent?.startsWith('localdns-operator/b_') && Date.parse(requestReceivedTimestamp) >= fromMs;
    return isMeant && isWrite ? [`${verb} ${objectRef?.resource} ${objectRef?.name}`] : [];
  });
}

async function edit(domains: readonly string[]): Promise<void> {
  const rollout = {
    ...{ maxUnavailable: 3, canary: { nodes: 1, soakSeconds: 1 } },
    probes: ['kubernetes.default.svc.cluster.local'],
  };
  const spec = { rollout, blockedDomains: domains.map((domain) => ({ domain })) };
  await cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec }]);
}
