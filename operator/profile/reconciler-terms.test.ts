/** Between two terms of a leader another one may have acted: what was decided in the first counts no more in the second. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { operatorManager, profileLabel, profileUidLabel } from '../../api/v1alpha1/labels.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import { FakeApiServer, operatorKinds } from '../../kube/api-server.fake.ts';
import { KubeClient } from '../../kube/client.ts';
import { systemClock as clock } from '../../kube/clock.ts';
import { Controller } from '../runtime/controller.ts';
import { WorkQueue } from '../runtime/work-queue.ts';
import { Reconciler } from './reconciler.ts';
import { World } from './world.ts';

const server = new FakeApiServer(operatorKinds);
let client: KubeClient;
let world: World;
let reconciler: Reconciler;
/** Held: nothing is done but what the test asks for. */
const queue = new WorkQueue(clock, undefined, { held: true });

before(async () => {
  const url = await server.start();
  server.put('localdnsprofiles', { metadata: { name: 'default' }, spec: {} });
  server.put('nodes', { metadata: { name: 'n1', labels: { [profileLabel]: 'default', 'kubernetes.io/os': 'linux' } } });
  client = new KubeClient({
    access: () => ({ server: url, origin: '', tls: {} }),
    fieldManager: operatorManager,
    userAgent: 'test',
  });
  world = new World({ client, clock, namespace: 'localdns-system', onTrouble: () => {} });
  reconciler = new Reconciler({
    world,
    client,
    namespace: 'localdns-system',
    events: { warn: async () => {} },
    queue,
    clock,
  });
  for (const store of world.stores) store.start();
  await world.synced;
});

after(async () => {
  queue.close();
  await world.stop();
  client.close();
  await server.stop();
});

test('a node that was decided about in another term is left alone until it is decided about anew', async () => {
  await decide();
  await world.refresh();
  reconciler.begin();
  await reconciler.reconcile('node/n1');
  assert.equal(server.get('localdnsnodes', 'n1'), undefined);
  await decide();
  await reconciler.reconcile('node/n1');
  assert.ok(server.get('localdnsnodes', 'n1'));
});

/** What a rollout has come to is written down before anybody is given anything. */
async function decide(): Promise<void> {
  for (const key of ['plan', 'profile/default', 'plan']) await reconciler.reconcile(key);
}

test('a term begins with a decision, though nothing has changed', async () => {
  queue.release();
  await readyKeys();
  reconciler.begin();
  assert.deepEqual(await readyKeys(), ['plan']);
});

async function readyKeys(): Promise<string[]> {
  const keys: string[] = [];
  while (queue.depth > 0) {
    const key = (await queue.take()) ?? '';
    queue.done(key);
    keys.push(key);
  }
  return keys;
}

test('the status of a profile that was edited since the last decision waits for the next one', async () => {
  await decide();
  const generation = () => server.get('localdnsprofiles', 'default')?.metadata.generation;
  const observed = () =>
    (server.get('localdnsprofiles', 'default')?.status as ProfileStatus | undefined)?.observedGeneration;
  const spec = { blockedDomains: [{ domain: 'ads.example' }] };
  server.put('localdnsprofiles', { ...server.get('localdnsprofiles', 'default'), metadata: { name: 'default' }, spec });
  await until(() => world.profiles.get('default')?.metadata.generation === generation());
  await reconciler.reconcile('profile/default');
  assert.notEqual(observed(), generation());
  await reconciler.reconcile('plan');
  await reconciler.reconcile('profile/default');
  assert.equal(observed(), generation());
});

test('what was decided on an older state than stands there now is refused by the API server', async () => {
  await until(() => world.written.get('n1') !== undefined);
  const metadata = { name: 'kube-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
  server.put('services', { metadata, spec: { clusterIPs: ['10.96.0.10'] } });
  await until(() => world.services.size > 0);
  await reconciler.reconcile('plan');
  // From here on its view lags behind.
  await world.stop();
  const written = server.get('localdnsnodes', 'n1');
  assert.ok(written);
  const spec = { ...(written.spec as object), profile: 'of-another-leader' };
  server.put('localdnsnodes', { ...written, spec });
  await assert.rejects(reconciler.reconcile('node/n1'), { code: 'KUBE_API_409' });
  assert.deepEqual(server.get('localdnsnodes', 'n1')?.spec, spec);
});

test('neither is the status of a profile written that was decided on an older state', async () => {
  const profile = server.get('localdnsprofiles', 'default');
  assert.ok(profile);
  const status = { ...(profile.status as ProfileStatus), observedGeneration: 1, nodes: undefined };
  server.put('localdnsprofiles', { ...profile, status });
  await assert.rejects(reconciler.reconcile('profile/default'), { code: 'KUBE_API_409' });
  assert.deepEqual(server.get('localdnsprofiles', 'default')?.status, { ...status, nodes: undefined });
});

test('what stands there is known again once all is read anew', async () => {
  world = new World({ client, clock, namespace: 'localdns-system', onTrouble: () => {} });
  silence('localdnsprofiles', 'nodes', 'localdnsnodes', 'services', 'controllerrevisions');
  for (const store of world.stores) store.start();
  await world.synced;
  for (const plural of ['localdnsprofiles', 'nodes', 'localdnsnodes'])
    server.put(plural, { metadata: { name: 'new', labels: { [profileLabel]: 'none' } }, spec: {} });
  const labels = { 'k8s-app': 'kube-dns' };
  server.put('services', { metadata: { name: 'new', namespace: 'kube-system', labels }, spec: {} });
  const metadata = { name: 'new', namespace: 'localdns-system', labels: { [profileUidLabel]: 'x' } };
  server.put('controllerrevisions', { metadata });
  await world.refresh();
  const { profiles, nodes, written, services, revisions } = world;
  assert.ok([profiles, nodes, written].every((store) => store.get('new') !== undefined));
  assert.ok(services.get('kube-system/new') !== undefined && revisions.get('localdns-system/new') !== undefined);
});

test('a leader that is told nothing any more looks again once what it writes is refused, of a profile and of a node', async () => {
  await world.stop();
  // Its waits are a twentieth, what it takes for lost after 10 s among them.
  const quick = {
    ...clock,
    nowMs: () => clock.nowMs() * 20,
    after: (delayMs: number, run: () => void) => clock.after(delayMs / 20, run),
  };
  const own = new WorkQueue(quick);
  world = new World({ client, clock, namespace: 'localdns-system', onTrouble: () => {} });
  const events = { warn: async () => {} };
  reconciler = new Reconciler({ world, client, namespace: 'localdns-system', events, queue: own, clock: quick });
  for (const store of world.stores) store.start();
  await world.synced;
  reconciler.begin();
  const controller = new Controller({
    queue: own,
    workers: 2,
    reconcile: (key) => reconciler.reconcile(key),
    onFailure: () => {},
  });
  const generation = 1 + (server.get('localdnsprofiles', 'default')?.metadata.generation ?? 0);
  const spec = { blockedDomains: [{ domain: 'other.example' }] };
  server.put('localdnsprofiles', { ...server.get('localdnsprofiles', 'default'), metadata: { name: 'default' }, spec });
  // Somebody touches what the node has, too.
  const touched = server.get('localdnsnodes', 'n1') ?? assert.fail();
  server.put('localdnsnodes', { ...touched, metadata: { ...touched.metadata, labels: { touched: 'yes' } } });
  controller.start();
  const status = () => server.get('localdnsprofiles', 'default')?.status as ProfileStatus | undefined;
  await until(() => status()?.observedGeneration === generation);
  await until(() => JSON.stringify(server.get('localdnsnodes', 'n1')?.spec).includes('other.example'));
  await Promise.all([world.stop(), controller.stop()]);
});

/** Watches of these kinds are open from now on, and tell nothing. */
function silence(...plurals: string[]): void {
  server.script = ({ verb, plural }, response) => {
    if (verb !== 'watch' || !plurals.includes(plural)) return false;
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    return true;
  };
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 5_000 && !holds(); tries++) await delay(2);
  assert.ok(holds(), `never came true: ${holds}`);
}
