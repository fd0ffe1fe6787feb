/** Nodes that wait for another profile, through the reconciler: what is written, and what has come meanwhile. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { operatorManager, profileLabel, stateLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import { FakeApiServer, operatorKinds, type Stored } from '../../kube/api-server.fake.ts';
import { KubeClient } from '../../kube/client.ts';
import { systemClock as clock } from '../../kube/clock.ts';
import { eventually } from '../../test/tools/eventually.ts';
import { WorkQueue } from '../runtime/work-queue.ts';
import { Reconciler } from './reconciler.ts';
import { World } from './world.ts';

let server: FakeApiServer;
let client: KubeClient;
let world: World;
let reconciler: Reconciler;
/** Held: nothing is done but what the test asks for. */
let queue: WorkQueue;

const slowly = { rollout: { canary: { soakSeconds: 60 } } };

/** A node that giver serves, and that is now to be served by another. */
beforeEach(async () => {
  server = new FakeApiServer(operatorKinds);
  queue = new WorkQueue(clock, undefined, { held: true });
  const url = await server.start();
  const access = () => ({ server: url, origin: '', tls: {} });
  client = new KubeClient({ access, fieldManager: operatorManager, userAgent: 'test' });
  server.put('localdnsprofiles', { metadata: { name: 'giver' }, spec: slowly });
  server.put('localdnsprofiles', { metadata: { name: 'heir' }, spec: { rollout: { paused: true } } });
  server.put('nodes', { metadata: { name: 'n', labels: { [profileLabel]: 'giver' } } });
  dnsAt('10.96.0.10');
  world = new World({ client, clock, namespace: 'localdns-system', onTrouble: () => {} });
  const events = { warn: async () => {} };
  reconciler = new Reconciler({ world, client, namespace: 'localdns-system', events, queue, clock });
  for (const store of world.stores) store.start();
  await world.synced;
  await settle();
  await label('heir');
});

afterEach(async () => {
  queue.close();
  await world.stop();
  client.close();
  await server.stop();
});

/** What a rollout has come to is written down before anybody is given anything. */
async function settle(): Promise<void> {
  for (const key of ['plan', 'profile/giver', 'profile/heir', 'plan', 'node/n']) await reconciler.reconcile(key);
  await heard();
}

/** All that stands there. */
async function heard(): Promise<void> {
  await eventually('the stores have heard of it', 5_000, () => {
    const isHeard = (plural: string, version: string | undefined) =>
      server.get(plural, 'n')?.metadata.resourceVersion === version;
    const { labels } = server.get('nodes', 'n')?.metadata ?? {};
    if (JSON.stringify(labels) !== JSON.stringify(world.nodes.get('n')?.labels)) return false;
    return isHeard('localdnsnodes', world.written.get('n')?.resourceVersion);
  });
}

function dnsAt(clusterIP: string): void {
  const metadata = { name: 'kube-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
  server.put('services', { metadata, spec: { clusterIPs: [clusterIP] } });
}

async function moveDns(): Promise<void> {
  dnsAt('10.96.0.99');
  await eventually('that is heard', 5_000, () => world.clusterDns().clusterDns.addresses.join() === '10.96.0.99');
}

async function label(profile: string, state: string | undefined = 'enabled'): Promise<void> {
  const { metadata } = server.get('nodes', 'n') ?? assert.fail();
  const labels = { [profileLabel]: profile, ...(state !== undefined && { [stateLabel]: state }) };
  server.put('nodes', { metadata: { ...metadata, labels } });
  await heard();
}

type Written = Stored & { readonly spec: LocalDnsNode['spec'] & { readonly config: NodeConfig } };

function written(): Written {
  return (server.get('localdnsnodes', 'n') ?? assert.fail()) as Written;
}

async function rewrite(spec: object): Promise<void> {
  server.put('localdnsnodes', { ...written(), spec: { ...written().spec, ...spec } });
  await heard();
}

for (const wanted of ['heir', 'typo']) {
  test(`where a node waits for ${wanted}, an address of cluster DNS reaches it, and nothing else of it changes`, async () => {
    await label(wanted);
    await settle();
    const { config: had, revision, ...rest } = written().spec;
    await moveDns();
    await settle();
    const { config, revision: other, ...stays } = written().spec;
    assert.deepEqual([had.clusterDNS.addresses, config.clusterDNS.addresses], [['10.96.0.10'], ['10.96.0.99']]);
    assert.notEqual(other, revision);
    assert.deepEqual(stays, rest);
    assert.ok(stays.trial !== undefined && stays.profile === 'giver');
  });
}

test('what somebody writes into it is put right, and the label that keeps its agent there comes back', async () => {
  await settle();
  const { config } = written().spec;
  await rewrite({ config: { ...config, clusterDomain: 'evil.example' } });
  await label('heir', '');
  await settle();
  assert.deepEqual(written().spec.config, config);
  assert.equal(server.get('nodes', 'n')?.metadata.labels?.[stateLabel], 'enabled');
});

test('what has come to it since that was decided is not taken back', async () => {
  await moveDns();
  await reconciler.reconcile('plan');
  const { profileRevision = '' } = written().spec;
  for (const come of [
    { profile: 'heir', profileRevision: 'heir-1' },
    { profile: 'giver', profileRevision: 'giver-2' },
    { profile: 'heir', profileRevision },
  ]) {
    await rewrite(come);
    await reconciler.reconcile('node/n');
    assert.deepEqual({ ...written().spec, ...come }, written().spec);
  }
});

test('nor is a way out that was begun since then', async () => {
  await moveDns();
  await reconciler.reconcile('plan');
  const withdrawnAt = new Date().toISOString();
  await rewrite({ withdrawnAt });
  server.put('localdnsnodes', { ...written(), status: { conditions: [{ type: 'Serving', status: 'True' }] } });
  await heard();
  await reconciler.reconcile('node/n');
  assert.deepEqual([written().spec.withdrawnAt, written().spec.profile], [withdrawnAt, 'giver']);
});
