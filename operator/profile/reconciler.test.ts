import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { operatorManager } from '../../api/v1alpha1/labels.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import { FakeApiServer, fail, operatorKinds, type Seen, type Stored } from '../../kube/api-server.fake.ts';
import { KubeClient } from '../../kube/client.ts';
import { type Clock, systemClock } from '../../kube/clock.ts';
import { Controller } from '../runtime/controller.ts';
import { WorkQueue } from '../runtime/work-queue.ts';
import { EventRecorder } from './events.ts';
import { Reconciler } from './reconciler.ts';
import { World } from './world.ts';

/** Waits are a hundred times shorter here; order and number of things stay as they are. */
const clock: Clock = { ...systemClock, after: (delayMs, run) => systemClock.after(delayMs / 100, run) };

let server: FakeApiServer;
let client: KubeClient;
let world: World;
let controller: Controller;
/** Reconciles under way. */
let busy = 0;

beforeEach(async () => {
  server = new FakeApiServer([...operatorKinds, 'endpointslices']);
  const url = await server.start();
  client = new KubeClient({
    access: () => ({ server: url, origin: '', tls: {} }),
    fieldManager: operatorManager,
    userAgent: 'test',
  });
  service('kube-dns', '10.96.0.10');
  await startOperator();
});

afterEach(async () => {
  await stopOperator();
  client.close();
  await server.stop();
});

test('a labelled node gets its configuration, owned by the node, and then the label that brings the agent', async () => {
  profile('default', {});
  await known('default');
  const { metadata } = node('n1', { 'localdns.dev/profile': 'default' });
  node('n2');
  await until(() => isMarked('n1'));
  const written = configured('n1');
  assert.deepEqual(written?.metadata.ownerReferences, [
    { apiVersion: 'v1', kind: 'Node', name: 'n1', uid: metadata.uid },
  ]);
  const spec = specOf('n1');
  assert.equal(spec?.profile, 'default');
  assert.deepEqual(spec?.config.clusterDNS, {
    namespace: 'kube-system',
    service: 'kube-dns',
    addresses: ['10.96.0.10'],
  });
  assert.equal(statusOf('default')?.revision, spec?.revision);
  const order = writes().flatMap(({ verb, plural }) => (plural === 'localdnsprofiles' ? [] : `${verb} ${plural}`));
  assert.deepEqual([...new Set(order)], ['create controllerrevisions', 'apply localdnsnodes', 'apply nodes']);
  assert.equal(configured('n2'), undefined);
});

test('when all is as it should be, nothing is written: not on other changes of a node, not after a restart', async () => {
  await serve('n1');
  await quiet();
  const before = writes().length;
  const known = server.get('nodes', 'n1') ?? assert.fail();
  server.put('nodes', { ...known, status: { beat: 1 } });
  await stopOperator();
  await startOperator();
  node('n3');
  await quiet();
  assert.equal(writes().length, before);
});

test('a change of one node writes nothing for the others', async () => {
  profile('all', { nodeSelector: {}, ...atOnce });
  for (let count = 0; count < 20; count++) node(`n${count}`);
  await until(() => server.all('localdnsnodes').length === 20 && isMarked('n19'));
  allReport();
  await until(() => statusOf('all')?.rollout?.phase === 'Done');
  await quiet();
  const before = writes().length;
  node('new');
  await until(() => isMarked('new'));
  await quiet();
  const after = writes()
    .slice(before)
    .filter(({ plural }) => plural !== 'localdnsprofiles');
  assert.deepEqual([...new Set(after.map(({ name }) => name))], ['new']);
});

for (const [title, undo] of [
  ['its label is removed', () => node('n1')],
  ['its label says none', () => node('n1', { 'localdns.dev/profile': 'none' })],
  ['its profile is disabled', () => profile('default', { mode: 'Disabled' })],
  [
    'it turns out to run Windows',
    () => node('n1', { 'localdns.dev/profile': 'default', 'kubernetes.io/os': 'windows' }),
  ],
] as const) {
  test(`a served node is served no more when ${title}: first its agent leaves, then the label goes, then what was written`, async () => {
    await serve('n1');
    report('n1', { observedGeneration: generationOf('n1') });
    await quiet();
    const before = writes().length;
    undo();
    await until(() => withdrawnAt('n1') !== undefined);
    await quiet();
    assert.ok(isMarked('n1'));
    left('n1');
    await until(() => configured('n1') === undefined && !isMarked('n1'));
    const told = writes()
      .slice(before)
      .filter(({ plural }) => plural !== 'localdnsprofiles');
    // What the store has not heard of yet may be deleted once more.
    assert.deepEqual(
      [...new Set(told.map(({ verb, plural }) => `${verb} ${plural}`))],
      ['patch localdnsnodes', 'patch nodes', 'delete localdnsnodes'],
    );
  });
}

test('an agent that never says that it has left is waited for as long as is due, and no longer', async () => {
  await serve('n1');
  report('n1', { observedGeneration: generationOf('n1') });
  await quiet();
  node('n1');
  await until(() => withdrawnAt('n1') !== undefined);
  // While nothing comes of it, nobody asks all the time.
  const { requeued } = controller.tally;
  const sinceMs = performance.now();
  await quiet();
  const times = controller.tally.requeued - requeued;
  const forMs = performance.now() - sinceMs;
  assert.ok(times < Math.max(10, forMs / 5), `${times} times in ${forMs} ms`);
  // As if a minute had passed, and by another operator.
  const { spec, ...rest } = configured('n1') as Stored & { spec: object };
  server.put('localdnsnodes', { ...rest, spec: { ...spec, withdrawnAt: '2026-01-01T00:00:00Z' } });
  await until(() => configured('n1') === undefined && !isMarked('n1'));
});

test('a node that is wanted again before its agent has left is served as before', async () => {
  await serve('n1');
  report('n1', { observedGeneration: generationOf('n1') });
  await quiet();
  node('n1');
  await until(() => withdrawnAt('n1') !== undefined);
  node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => configured('n1') !== undefined && withdrawnAt('n1') === undefined);
  await quiet();
  assert.ok(isMarked('n1'));
  assert.equal(server.requests('delete', 'localdnsnodes').length, 0);
});

test('a way out that was begun comes to its end, whatever the label says meanwhile', async () => {
  await serve('n1');
  report('n1', { observedGeneration: generationOf('n1') });
  await quiet();
  node('n1');
  await until(() => withdrawnAt('n1') !== undefined);
  node('n1', { 'localdns.dev/profile': 'lost' });
  await quiet();
  left('n1');
  await until(() => configured('n1') === undefined && !isMarked('n1'));
});

test('a profile that is deleted stays until its nodes have left, their labels gone', async () => {
  await serve('n1');
  report('n1', { observedGeneration: generationOf('n1') });
  await until(() => server.get('localdnsprofiles', 'default')?.metadata.finalizers?.join() === 'localdns.dev/drain');
  await quiet();
  server.remove('localdnsprofiles', 'default');
  await until(() => withdrawnAt('n1') !== undefined && condition('default', 'Progressing') === 'True');
  await quiet();
  const said = statusOf('default')?.conditions?.map(({ type, reason }) => `${type} ${reason}`);
  assert.ok(said?.includes('Programmed Deleting') && said.includes('Progressing Deleting'), `${said}`);
  assert.ok(isMarked('n1'));
  left('n1');
  await until(() => server.get('localdnsprofiles', 'default') === undefined);
  assert.deepEqual([configured('n1'), isMarked('n1')], [undefined, false]);
});

test('a profile that is deleted goes though the label of a node names one that does not exist, and the Event says what becomes of it', async () => {
  profile('default', { nodeSelector: {} });
  node('n1');
  await until(() => isMarked('n1') && configured('n1') !== undefined);
  await quiet();
  node('n1', { 'localdns.dev/profile': 'lost' });
  await quiet();
  server.remove('localdnsprofiles', 'default');
  await until(() => server.get('localdnsprofiles', 'default') === undefined && configured('n1') === undefined);
  assert.equal(isMarked('n1'), false);
  const notes = (server.all('events') as (Stored & { note: string })[]).map(({ note }) => note);
  assert.ok(
    notes.some((note) => note.includes('the node is not served')),
    notes.join(),
  );
});

test('a profile that is deleted waits a minute for one that gives its nodes nothing, and no longer', async () => {
  profile('high', { nodeSelector: {}, priority: 5 });
  node('n1');
  await until(() => isMarked('n1') && configured('n1') !== undefined);
  profile('low', { nodeSelector: {}, rollout: { paused: true } });
  await quiet();
  server.remove('localdnsprofiles', 'high');
  await until(() => condition('high', 'Progressing') === 'True');
  await quiet();
  assert.deepEqual([profileOf('n1'), withdrawnAt('n1')], ['high', undefined]);
  const { metadata } = server.get('localdnsprofiles', 'high') ?? assert.fail();
  // Both a minute ago, or nearly so.
  const low = server.get('localdnsprofiles', 'low') ?? assert.fail();
  await stopOperator();
  const rollout = { ...statusOf('low')?.rollout, stoppedAt: '2026-01-01T00:00:00Z' };
  server.put('localdnsprofiles', { ...low, status: { ...statusOf('low'), rollout } });
  const deletionTimestamp = new Date(Date.now() - 59_000).toISOString();
  server.put('localdnsprofiles', {
    ...(server.get('localdnsprofiles', 'high') ?? assert.fail()),
    metadata: { ...metadata, deletionTimestamp },
  });
  await startOperator();
  await until(() => server.get('localdnsprofiles', 'high') === undefined && configured('n1') === undefined);
});

test('a rollout that is paused long after the deletion does not take what nodes have that wait for it', async () => {
  profile('high', { nodeSelector: {}, priority: 5, ...atOnce });
  for (const name of ['n1', 'n2']) node(name);
  await until(() => isMarked('n1') && isMarked('n2'));
  const slowly = { maxUnavailable: 1, canary: { nodes: 1 } };
  profile('low', { nodeSelector: {}, rollout: slowly });
  await quiet();
  server.remove('localdnsprofiles', 'high');
  await until(() => profileOf('n1') === 'low');
  const high = server.get('localdnsprofiles', 'high') ?? assert.fail();
  const deletionTimestamp = new Date(Date.now() - 600_000).toISOString();
  server.put('localdnsprofiles', { ...high, metadata: { ...high.metadata, deletionTimestamp } });
  await quiet();
  profile('low', { nodeSelector: {}, rollout: { ...slowly, paused: true } });
  await until(() => statusOf('low')?.rollout?.phase === 'Paused');
  await quiet();
  assert.deepEqual([profileOf('n2'), withdrawnAt('n2')], ['high', undefined]);
  const said = statusOf('high')?.conditions?.find(({ type }) => type === 'Progressing')?.message ?? '';
  assert.match(said, /^n2 should be served by low, which gives nothing now: from /);
});

/** As where it is too large for one: that of a profile is not taken any more. */
function refuseStatus(of: string): void {
  server.script = ({ verb, plural, name, subresource }, response) => {
    if (verb !== 'apply' || plural !== 'localdnsprofiles' || name !== of || subresource !== 'status') return false;
    fail(response, 500, 'InternalError', 'etcdserver: request is too large', { name });
    return true;
  };
}

test('a profile whose status the API server does not take is deleted like any other', async () => {
  await serveAtRest('n1');
  refuseStatus('default');
  server.remove('localdnsprofiles', 'default');
  await until(() => withdrawnAt('n1') !== undefined);
  assert.notEqual(server.get('localdnsprofiles', 'default'), undefined);
  left('n1');
  await until(() => server.get('localdnsprofiles', 'default') === undefined);
  assert.deepEqual([configured('n1'), isMarked('n1')], [undefined, false]);
});

test('a profile that is deleted waits a minute for one whose status is not taken, and no longer', async () => {
  await stopOperator();
  let aheadMs = 0;
  await startOperator({}, { ...clock, date: () => new Date(Date.now() + aheadMs) });
  profile('high', { nodeSelector: {}, priority: 5 });
  node('n1');
  await until(() => isMarked('n1') && configured('n1') !== undefined);
  refuseStatus('low');
  profile('low', { nodeSelector: {} });
  server.remove('localdnsprofiles', 'high');
  const said = () => statusOf('high')?.conditions?.find(({ type }) => type === 'Progressing')?.message ?? '';
  await until(() => said().startsWith('n1 should be served by low, which gives nothing now: from '));
  await quiet();
  assert.deepEqual([profileOf('n1'), withdrawnAt('n1')], ['high', undefined]);
  aheadMs = 60_000;
  await until(() => server.get('localdnsprofiles', 'high') === undefined && configured('n1') === undefined);
  // Once it is taken its rollout begins.
  server.script = () => false;
  await until(() => profileOf('n1') === 'low' && isMarked('n1'));
});

test('a profile has its finalizer before any node has its configuration, and leaves those of others alone', async () => {
  server.put('localdnsprofiles', { metadata: { name: 'default', finalizers: ['example.test/keep'] }, spec: {} });
  await known('default');
  node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => isMarked('n1'));
  const [first] = writes();
  assert.deepEqual([first?.verb, first?.plural], ['patch', 'localdnsprofiles']);
  server.remove('localdnsprofiles', 'default');
  await until(() => server.get('localdnsprofiles', 'default')?.metadata.finalizers?.join() === 'example.test/keep');
});

test('a deleted profile is not waited for by nodes that another one claims, which serves them without a gap', async () => {
  profile('high', { nodeSelector: {}, priority: 5 });
  profile('low', { nodeSelector: {} });
  node('n1');
  await until(() => isMarked('n1') && profileOf('n1') === 'high');
  await quiet();
  server.remove('localdnsprofiles', 'high');
  await until(() => profileOf('n1') === 'low' && server.get('localdnsprofiles', 'high') === undefined);
  assert.deepEqual([withdrawnAt('n1'), isMarked('n1')], [undefined, true]);
  assert.equal(server.requests('delete', 'localdnsnodes').length, 0);
});

test('a node that came anew under its name is served anew, and one that did and is not wanted leaves nothing', async () => {
  await serve('n1');
  report('n1', { observedGeneration: generationOf('n1') });
  server.put('nodes', { metadata: { name: 'n1', uid: 'second', labels: { 'localdns.dev/profile': 'default' } } });
  await until(() => configured('n1')?.metadata.ownerReferences?.[0]?.uid === 'second' && isMarked('n1'));
  server.put('nodes', { metadata: { name: 'n1', uid: 'third', labels: {} } });
  await until(() => configured('n1') === undefined);
});

test('a profile that selected its nodes and is deleted takes their configuration along', async () => {
  profile('all', { nodeSelector: {} });
  node('n1');
  await until(() => isMarked('n1'));
  server.remove('localdnsprofiles', 'all');
  await until(() => configured('n1') === undefined && !isMarked('n1'));
});

test('a node that another profile takes over is rendered anew, never deleted in between', async () => {
  profile('low', { nodeSelector: {} });
  node('n1');
  await until(() => isMarked('n1'));
  profile('high', { nodeSelector: {}, priority: 5 });
  await until(() => profileOf('n1') === 'high');
  assert.equal(server.requests('delete', 'localdnsnodes').length, 0);
  assert.ok(isMarked('n1'));
});

test('a label that names no profile keeps what the node had, and says so in one Event', async () => {
  await serve('n1');
  node('n1', { 'localdns.dev/profile': 'lost', 'localdns.dev/state': 'enabled' });
  await until(() => server.all('events').length === 1);
  node('n1', { 'localdns.dev/profile': 'lost', 'localdns.dev/state': 'enabled', other: 'x' });
  await quiet();
  assert.equal(profileOf('n1'), 'default');
  const [event] = server.all('events') as (Stored & { reason: string; note: string; regarding: { kind: string } })[];
  assert.equal(server.all('events').length, 1);
  assert.deepEqual(
    [event?.reason, event?.regarding.kind, event?.metadata.namespace],
    ['ProfileNotFound', 'Node', 'default'],
  );
  assert.match(event?.note ?? '', /localdns.dev\/profile=lost .*: the node keeps what it had\./);
});

test('a profile that became invalid is not Accepted, gets an Event, and its nodes keep the last good configuration', async () => {
  await serve('n1');
  const good = configured('n1')?.spec;
  profile('default', { kubeDNSOverrides: { '.': { forwardDestination: 'nowhere' } } });
  await until(() => condition('default', 'Accepted') === 'False');
  await until(() => server.all('events').length === 1);
  await quiet();
  assert.deepEqual(configured('n1')?.spec, good);
  profile('default', { clusterDomain: 'k8s.example' });
  await until(() => condition('default', 'Accepted') === 'True');
});

test('a configuration that somebody edits or deletes is put right', async () => {
  await serve('n1');
  const stored = configured('n1') ?? assert.fail();
  server.put('localdnsnodes', { ...stored, spec: { ...specOf('n1'), config: { edited: true } } });
  await until(() => JSON.stringify(specOf('n1')) === JSON.stringify(stored.spec));
  server.remove('localdnsnodes', 'n1');
  await until(() => configured('n1') !== undefined);
});

test('a node that is made anew under its old name owns its configuration, or the garbage collector would take it', async () => {
  await serve('n1');
  server.remove('nodes', 'n1');
  const again = node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => configured('n1')?.metadata.ownerReferences?.[0]?.uid === again.metadata.uid);
});

test('what was said by the machine that had the name before is not taken for the word of the new one', async () => {
  await serve('n1');
  await until(() => configured('n1') !== undefined);
  const { metadata: old } = configured('n1') ?? assert.fail();
  report('n1', { appliedRevision: specOf('n1')?.revision, agentVersion: '1.0.0' });
  await quiet();
  await stopOperator();
  server.remove('nodes', 'n1');
  const again = node('n1', { 'localdns.dev/profile': 'default' });
  await startOperator();
  await until(() => configured('n1')?.metadata.ownerReferences?.[0]?.uid === again.metadata.uid);
  const { metadata, status } = server.get('localdnsnodes', 'n1') ?? assert.fail();
  assert.notEqual(metadata.uid, old.uid);
  assert.equal(status, undefined);
  assert.equal(statusOf('default')?.nodes?.ready ?? 0, 0);
});

test('the configuration of a node that is gone is deleted', async () => {
  await serve('n1');
  await quiet();
  server.remove('nodes', 'n1');
  await until(() => configured('n1') === undefined);
});

test('what the agent reports becomes the status of the profile, which is written once', async () => {
  profile('default', atOnce);
  node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => condition('default', 'Programmed') === 'False' && isMarked('n1'));
  await quiet();
  report('n1', { appliedRevision: specOf('n1')?.revision });
  await until(() => condition('default', 'Programmed') === 'True');
  assert.deepEqual(statusOf('default')?.nodes, { selected: 1, updated: 1, ready: 1, failed: 0 });
  await quiet();
  const before = writes().length;
  report('n1', { appliedRevision: specOf('n1')?.revision, agentVersion: 'same, but newer' });
  await quiet();
  assert.equal(writes().length, before);
});

test('a cluster DNS Service that changes its address reaches every configuration', async () => {
  await serveAtRest('n1');
  service('kube-dns', '10.96.0.99');
  await until(() => JSON.stringify(configured('n1')?.spec).includes('10.96.0.99'));
});

test('without a cluster DNS Service nodes are served, and the profile says what is missing', async () => {
  server.remove('services', 'kube-system/kube-dns');
  await serve('n1');
  await until(() => condition('default', 'Degraded') === 'True');
  await until(() => specOf('n1')?.config.clusterDNS.addresses.length === 0);
});

test('a node that cannot be written is tried again, and holds up no other', async () => {
  let refusals = 0;
  server.script = ({ verb, plural, name }, response) => {
    if (verb !== 'apply' || plural !== 'localdnsnodes' || name !== 'n1' || ++refusals > 3) return false;
    fail(response, 500, 'InternalError', 'as scripted', { name: 'n1' });
    return true;
  };
  profile('all', { nodeSelector: {}, ...atOnce });
  node('n1');
  node('n2');
  await until(() => isMarked('n2'));
  await until(() => isMarked('n1'));
  assert.equal(controller.tally.transient, 3);
});

test('two profiles that claim the same node alike both say so, and one of them serves it', async () => {
  server.put('localdnsprofiles', {
    metadata: { name: 'a', creationTimestamp: '2026-01-02T00:00:00Z' },
    spec: { nodeSelector: {} },
  });
  server.put('localdnsprofiles', {
    metadata: { name: 'b', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { nodeSelector: {} },
  });
  node('n1');
  await until(() => condition('a', 'Conflicted') === 'True' && condition('b', 'Conflicted') === 'True');
  await until(() => profileOf('n1') === 'b');
});

const cloud = { namespace: 'emulator', name: 'cloud' };
const toCloud = (mode: 'Preferred' | 'Required', priority = 0) => ({
  ...{ mode, priority },
  redirects: [{ name: 'cloud', match: { suffixes: ['cloud.example'] }, target: { serviceRef: cloud } }],
});
const targetOf = (name: string) => specOf(name)?.config.redirects?.map(({ addresses }) => addresses);

function target(clusterIPs: string[], type = 'ClusterIP'): void {
  server.put('services', { metadata: cloud, spec: { type, clusterIPs } });
}

function endpoints(...ready: [address: string, ready: boolean][]): void {
  server.put('endpointslices', {
    metadata: { ...cloud, labels: { 'kubernetes.io/service-name': cloud.name } },
    ...{
      addressType: 'IPv4',
      endpoints: ready.map(([address, ready]) => ({ addresses: [address], conditions: { ready } })),
    },
  } as Stored);
}

function acceptance(): string {
  const { status, reason } = statusOf('default')?.conditions?.find(({ type }) => type === 'Accepted') ?? {};
  return `${status} ${reason}`;
}

test('a redirect to a Service leads to its addresses, and follows them', async () => {
  target(['10.96.0.50', 'fd00::50']);
  profile('default', toCloud('Required'));
  node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => isMarked('n1'));
  assert.deepEqual(targetOf('n1'), [['10.96.0.50', 'fd00::50']]);
  target(['10.96.0.51']);
  await until(() => targetOf('n1')?.[0]?.[0] === '10.96.0.51');
  assert.equal(acceptance(), 'True Valid');
});

test('of a headless Service it leads to the ready endpoints, and to nobody else where there are none', async () => {
  endpoints(['10.244.0.9', true], ['10.244.0.7', false], ['10.244.0.8', true]);
  target(['None']);
  profile('default', toCloud('Preferred'));
  node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => isMarked('n1'));
  assert.deepEqual(targetOf('n1'), [['10.244.0.8', '10.244.0.9']]);
  endpoints(['10.244.0.9', false]);
  await until(() => targetOf('n1')?.[0]?.length === 0);
  assert.equal(acceptance(), 'True Valid');
});

test('Preferred leaves out a redirect to a Service that there is not, says so, and takes it in when it comes', async () => {
  profile('default', toCloud('Preferred'));
  await known('default');
  node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => isMarked('n1') && server.all('events').length > 0);
  assert.equal(acceptance(), 'True PartiallyInvalid');
  assert.equal(targetOf('n1'), undefined);
  const [event] = server.all('events') as (Stored & { reason: string; note: string })[];
  assert.equal(event?.reason, 'PartiallyInvalid');
  assert.equal(
    event?.note,
    'spec.redirects[0].target.serviceRef: Service emulator/cloud does not exist. This is left out, and the rest is served.',
  );
  target(['10.96.0.50']);
  await until(() => targetOf('n1')?.[0]?.[0] === '10.96.0.50' && acceptance() === 'True Valid');
  target([], 'ExternalName');
  await until(() => targetOf('n1') === undefined && acceptance() === 'True PartiallyInvalid');
});

test('Required refuses the profile when its Service goes, and nodes keep what they have until it is back', async () => {
  target(['10.96.0.50']);
  profile('default', toCloud('Required'));
  node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => isMarked('n1'));
  server.remove('services', 'emulator/cloud');
  await until(() => acceptance() === 'False Invalid');
  profile('default', toCloud('Required', 7));
  await quiet();
  assert.deepEqual(targetOf('n1'), [['10.96.0.50']]);
  target(['10.96.0.51']);
  await until(() => targetOf('n1')?.[0]?.[0] === '10.96.0.51' && acceptance() === 'True Valid');
});

test('after a restart nothing is written before the Service is known, and a Service that nobody names is not watched', async () => {
  target(['10.96.0.50']);
  profile('default', toCloud('Preferred'));
  node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => isMarked('n1') && acceptance() === 'True Valid');
  await quiet();
  const before = writes().length;
  await stopOperator();
  await startOperator();
  node('n2');
  await quiet();
  assert.equal(writes().length, before);
  const watches = () => server.requests('watch', 'services').filter(({ query }) => query.has('fieldSelector')).length;
  await until(() => watches() === 2);
  const open = server.watchCount;
  profile('default', {});
  await until(() => targetOf('n1') === undefined && server.watchCount === open - 1);
});

test('without the right to read Services that is what is said about them', async () => {
  server.script = ({ plural, query }, response) => {
    if (plural !== 'services' || !query.has('fieldSelector')) return false;
    fail(response, 403, 'Forbidden', 'services is forbidden', {});
    return true;
  };
  profile('default', toCloud('Preferred'));
  node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => isMarked('n1') && acceptance() === 'True PartiallyInvalid');
  const message = statusOf('default')?.conditions?.find(({ type }) => type === 'Accepted')?.message;
  assert.match(message ?? '', /serviceRef: Service emulator\/cloud cannot be read: .*forbidden/);
});

test('names of pods and Services are left to cluster DNS, and a new node of the same network changes nothing', async () => {
  server.know('servicecidrs');
  server.put('servicecidrs', { metadata: { name: 'kubernetes' }, spec: { cidrs: ['10.96.0.0/12'] } });
  await stopOperator();
  await startOperator();
  profile('default', { protection: { privateReverse: { mode: 'NxDomain' } }, ...atOnce });
  const podNode = (name: string, cidr: string) => {
    const labels = { 'localdns.dev/profile': 'default', ...server.get('nodes', name)?.metadata.labels };
    server.put('nodes', { metadata: { name, labels }, spec: { podCIDRs: [cidr] } });
  };
  const ranges = () => specOf('n1')?.config.privateReverse?.exceptRanges;
  podNode('n1', '10.244.0.0/24');
  await until(() => isMarked('n1'));
  await until(() => ranges()?.join() === '10.244.0.0/16,10.96.0.0/12');
  const { revision } = specOf('n1') ?? {};
  allReport();
  await until(() => statusOf('default')?.rollout?.phase === 'Done');
  podNode('n2', '10.244.1.0/24');
  await until(() => isMarked('n2'));
  assert.equal(specOf('n1')?.revision, revision);
  podNode('n3', '10.245.0.0/24');
  await until(() => ranges()?.join() === '10.244.0.0/16,10.245.0.0/16,10.96.0.0/12');
  await rest();
  server.put('servicecidrs', { metadata: { name: 'more' }, spec: { cidrs: ['10.112.0.0/16'] } });
  await until(() => ranges()?.includes('10.112.0.0/16') === true);
});

test('a profile whose patterns take long to judge holds up no other, and its status brings no new spec', async () => {
  const patterns = (of: number) => Array.from({ length: 64 }, (_, at) => `[a-z0-9-]{3,63}${of}x${at}\\.[a-z]{1,40}`);
  const slow = Array.from({ length: 8 }, (_, at) => ({
    ...{ name: `r${at}`, match: { patterns: patterns(at) } },
    target: { addresses: ['192.0.2.1'] },
  }));
  profile('slow', { redirects: slow });
  await until(() => world.profiles.get('slow') !== undefined);
  const spec = world.profiles.get('slow')?.spec;
  await serve('n1');
  assert.equal(statusOf('slow'), undefined);
  for (let tries = 0; statusOf('slow') === undefined && tries < 1_000; tries++) await delay(20);
  await until(() => world.profiles.get('slow')?.status !== undefined);
  assert.equal(condition('slow', 'Accepted'), 'True');
  assert.equal(world.profiles.get('slow')?.spec, spec);
});

test('until all selectors are known no node is given to anybody, however long that takes', async () => {
  let nowMs = 0;
  // There is time for two of them at once.
  const slow: Clock = { ...clock, nowMs: () => (nowMs += 20) };
  await stopOperator();
  const lower = Array.from({ length: 6 }, (_, at) => `a-${at}`);
  for (const name of lower) profile(name, { nodeSelector: {}, ...atOnce });
  profile('high', { nodeSelector: {}, priority: 1, ...atOnce });
  node('n1');
  await startOperator({}, slow);
  await until(() => configured('n1') !== undefined);
  const profiles = writes().flatMap(({ plural, body }) =>
    plural === 'localdnsnodes' ? (body as { spec?: { profile?: string } }).spec?.profile : [],
  );
  assert.deepEqual(new Set(profiles), new Set(['high']));
});

test('what may be large is read a few at a time', async () => {
  for (const plural of ['networkpolicies', 'namespaces']) server.know(plural);
  await stopOperator();
  await startOperator({ networkPolicies: true });
  const limits = (plural: string) => server.requests('list', plural).map(({ query }) => query.get('limit'));
  await until(() => limits('networkpolicies').length > 0);
  assert.deepEqual(new Set(limits('networkpolicies')), new Set(['16']));
  for (const plural of ['localdnsprofiles', 'controllerrevisions'])
    assert.deepEqual(new Set(limits(plural)), new Set(['8']));
  assert.deepEqual(new Set(limits('nodes')), new Set(['250']));
});

test('network policies are read where that is asked for, and followed', async () => {
  for (const plural of ['networkpolicies', 'namespaces']) server.know(plural);
  const policy = (...more: object[]): void => {
    const pods = { namespaceSelector: {}, podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } };
    const egress = [{ to: [pods, ...more], ports: [{ protocol: 'UDP', port: 53 }] }];
    server.put('networkpolicies', { metadata: { name: 'dns', namespace: 'shop' }, spec: { podSelector: {}, egress } });
  };
  const said = (): string | undefined =>
    statusOf('default')?.conditions?.find(({ type }) => type === 'NetworkPolicyConflict')?.message;
  policy();
  profile('default', {});
  await until(() => condition('default', 'Accepted') === 'True');
  assert.equal(said(), undefined);
  await stopOperator();
  await startOperator({ networkPolicies: true });
  await until(() => said()?.includes('shop/dns: 10.96.0.10/32, 169.254.10.11/32, fdcd:6c64:6e73::11/128') === true);
  policy({ ipBlock: { cidr: '169.254.10.0/24' } });
  await until(() => said()?.includes('shop/dns: 10.96.0.10/32, fdcd:6c64:6e73::11/128') === true);
  profile('default', { listeners: { cluster: { interceptClusterDNS: false } } });
  await until(() => said()?.includes('shop/dns: fdcd:6c64:6e73::11/128') === true);
  server.remove('networkpolicies', 'shop/dns');
  await until(() => condition('default', 'NetworkPolicyConflict') === 'False');
});

test('network policies are judged by the labels of the namespace of cluster DNS, and by where its pods are', async () => {
  for (const plural of ['networkpolicies', 'namespaces']) server.know(plural);
  const namespace = (labels: object) =>
    server.put('namespaces', { metadata: { name: 'kube-system', labels } } as Stored);
  const pods = (...addresses: string[]): void => {
    const labels = { 'kubernetes.io/service-name': 'kube-dns' };
    const slice = { metadata: { name: 'dns', namespace: 'kube-system', labels }, endpoints: [{ addresses }] };
    server.put('endpointslices', { ...slice, addressType: 'IPv4' } as Stored);
  };
  const policy = (name: string, peer: object): void => {
    const spec = { podSelector: {}, egress: [{ to: [peer], ports: [{ protocol: 'UDP', port: 53 }] }] };
    server.put('networkpolicies', { metadata: { name, namespace: 'shop' }, spec });
  };
  namespace({ team: 'platform' });
  pods('10.244.0.9');
  policy('labelled', { namespaceSelector: { matchLabels: { team: 'platform' } } });
  policy('network', { ipBlock: { cidr: '10.244.0.0/24' } });
  await stopOperator();
  await startOperator({ networkPolicies: true });
  profile('default', atOnce);
  const said = () => statusOf('default')?.conditions?.find(({ type }) => type === 'NetworkPolicyConflict')?.message;
  await until(() => /shop\/labelled: .*; shop\/network: /.test(said() ?? ''));
  pods('10.244.1.9');
  await until(() => said()?.includes('shop/labelled') === true && !said()?.includes('shop/network'));
  namespace({ team: 'other' });
  await until(() => condition('default', 'NetworkPolicyConflict') === 'False');
  // Followed from look to look, whether or not a profile was reported meanwhile.
  for (const _ of ['one look', 'another']) {
    world.clusterFacts();
    world.serviceTargets.forgetUnasked();
  }
  const endpoints = world.serviceTargets.endpoints({ namespace: 'kube-system', name: 'kube-dns' });
  assert.deepEqual(endpoints, { kind: 'addresses', addresses: ['10.244.1.9'] });
});

test('whoever leads next leaves standing what was said of network policies, until it knows better', async () => {
  for (const plural of ['networkpolicies', 'namespaces']) server.know(plural);
  const egress = [{ to: [{ namespaceSelector: {} }], ports: [{ protocol: 'UDP', port: 53 }] }];
  server.put('networkpolicies', { metadata: { name: 'dns', namespace: 'shop' }, spec: { podSelector: {}, egress } });
  await stopOperator();
  await startOperator({ networkPolicies: true });
  profile('default', {});
  const stands = () => statusOf('default')?.conditions?.find(({ type }) => type === 'NetworkPolicyConflict');
  await until(() => stands()?.status === 'True');
  const before = stands();
  await stopOperator();
  server.script = ({ plural }) => plural === 'networkpolicies';
  await startOperator({ networkPolicies: true });
  const edited = profile('default', { blockedDomains: [{ domain: 'x.example' }] });
  await until(() => statusOf('default')?.observedGeneration === edited.metadata.generation);
  assert.deepEqual(stands(), before);
  await stopOperator();
  server.script = () => false;
  await startOperator({ networkPolicies: true });
  await until(() => stands()?.observedGeneration === edited.metadata.generation);
  assert.equal(stands()?.lastTransitionTime, before?.lastTransitionTime);
  // Where they are not looked for any more, nothing is said.
  await stopOperator();
  await startOperator();
  await until(() => stands() === undefined);
});

test('network policies are judged by the ports at which the pods of cluster DNS listen', async () => {
  for (const plural of ['networkpolicies', 'namespaces']) server.know(plural);
  const ports = [{ name: 'dns', protocol: 'UDP', port: 53, targetPort: 'dns-udp' }];
  const labels = { 'k8s-app': 'kube-dns' };
  const metadata = { name: 'kube-dns', namespace: 'kube-system', labels };
  server.put('services', { metadata, spec: { clusterIPs: ['10.96.0.10'], ports } });
  const slice = (port: number): void => {
    const of = { name: 'dns', namespace: 'kube-system', labels: { 'kubernetes.io/service-name': 'kube-dns' } };
    const own = { endpoints: [{ addresses: ['10.244.0.9'] }], ports: [{ name: 'dns', protocol: 'UDP', port }] };
    server.put('endpointslices', { metadata: of, addressType: 'IPv4', ...own } as Stored);
  };
  for (const port of [5353, 'dns-udp', 'dns']) {
    const egress = [{ to: [{ namespaceSelector: {} }], ports: [{ protocol: 'UDP', port }] }];
    server.put('networkpolicies', { metadata: { name: `to-${port}`, namespace: 'shop' }, spec: { egress } });
  }
  slice(5353);
  await stopOperator();
  await startOperator({ networkPolicies: true });
  profile('default', {});
  const said = () => statusOf('default')?.conditions?.find(({ type }) => type === 'NetworkPolicyConflict')?.message;
  await until(() => /shop\/to-5353: .*; shop\/to-dns-udp: /.test(said() ?? ''));
  assert.doesNotMatch(said() ?? '', /to-dns:/);
  slice(1053);
  await until(() => said()?.includes('to-dns-udp') === true && !said()?.includes('to-5353'));
});

test('where network policies may not be read the condition says so', async () => {
  server.know('namespaces');
  await stopOperator();
  server.script = ({ plural }, response) => {
    if (plural !== 'networkpolicies') return false;
    fail(response, 403, 'Forbidden', 'networkpolicies is forbidden', {});
    return true;
  };
  await startOperator({ networkPolicies: true });
  profile('default', {});
  await until(() => condition('default', 'NetworkPolicyConflict') === 'Unknown');
});

test('no network policy keeps a profile from being rolled out and reported', async () => {
  for (const plural of ['networkpolicies', 'namespaces']) server.know(plural);
  await stopOperator();
  await startOperator({ networkPolicies: true });
  await serveAtRest('n1');
  const pods = { podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } };
  const spec = { podSelector: {}, egress: [{ to: [pods], ports: 'all of them' }] };
  server.put('networkpolicies', { metadata: { name: 'dns', namespace: 'kube-system' }, spec } as Stored);
  await until(() => condition('default', 'NetworkPolicyConflict') === 'Unknown');
  profile('default', { ...atOnce, blockedDomains: [{ domain: 'x.example' }] });
  await until(() => specOf('n1')?.config.blockedDomains !== undefined);
  server.remove('networkpolicies', 'kube-system/dns');
  await until(() => condition('default', 'NetworkPolicyConflict') === 'False');
});

test('whoever withdraws takes every node out, whatever holds it, and leaves profiles as people wrote them', async () => {
  const pool = { nodeSelector: { matchLabels: { pool: 'a' } }, ...atOnce };
  profile('default', atOnce);
  profile('pool', pool);
  await known('default');
  node('n1', { 'localdns.dev/profile': 'default' });
  node('n2', { pool: 'a' });
  node('n3', { 'localdns.dev/profile': 'default' });
  await until(() => ['n1', 'n2', 'n3'].every((name) => isMarked(name) && configured(name) !== undefined));
  await rest();
  // What people do, and what an operator before may have left.
  node('n3', { 'localdns.dev/profile': 'a-typo' });
  server.put('nodes', { metadata: { name: 'n4', labels: { 'localdns.dev/state': 'enabled' } } });
  await stopOperator();
  await startOperator({ withdraws: true });
  await until(() => ['n1', 'n2', 'n3'].every((name) => withdrawnAt(name) !== undefined));
  await until(() => !isMarked('n4'));
  assert.ok(['n1', 'n2', 'n3'].every(isMarked), 'each has its agent until that has left');
  assert.deepEqual(server.get('localdnsprofiles', 'pool')?.metadata.finalizers, ['localdns.dev/drain']);
  for (const name of ['n1', 'n2', 'n3']) left(name);
  await until(() => server.all('localdnsnodes').length === 0 && !['n1', 'n2', 'n3'].some(isMarked));
  await until(() => server.all('localdnsprofiles').every(({ metadata }) => !metadata.finalizers?.length));
  for (const [name, spec] of Object.entries({ default: atOnce, pool })) {
    const { metadata, spec: kept } = server.get('localdnsprofiles', name) ?? assert.fail(`${name} is gone`);
    assert.deepEqual([metadata.deletionTimestamp, kept], [undefined, spec]);
    const programmed = statusOf(name)?.conditions?.find(({ type }) => type === 'Programmed');
    assert.deepEqual([programmed?.status, programmed?.reason], ['False', 'Uninstalled']);
    assert.match(programmed?.message ?? '', /^LocalDNS is uninstalled: /);
    // Written when the last of its nodes is out, which its finalizer does not wait for.
    await until(() => statusOf(name)?.nodes?.selected === 0);
    assert.deepEqual(statusOf(name)?.nodes, { selected: 0, updated: 0, ready: 0, failed: 0 });
  }
  assert.equal(server.requests('create', 'events').length, 0, 'nobody is told of a label that names nothing');

  await stopOperator();
  await startOperator();
  node('n1', { 'localdns.dev/profile': 'default' });
  await until(() => isMarked('n1') && profileOf('n1') === 'default' && isMarked('n2') && profileOf('n2') === 'pool');
});

test('whoever withdraws needs to know neither Services nor revisions, and misses no kind that is gone', async () => {
  await stopOperator();
  await server.stop();
  server = new FakeApiServer(['nodes']);
  const url = await server.start();
  client = new KubeClient({
    access: () => ({ server: url, origin: '', tls: {} }),
    ...{ fieldManager: operatorManager, userAgent: 'test' },
  });
  server.put('nodes', { metadata: { name: 'n1', labels: { 'localdns.dev/state': 'enabled' } } });
  await startOperator({ withdraws: true });
  await until(() => !isMarked('n1'));
  assert.deepEqual(
    new Set(server.seen.map(({ plural }) => plural)),
    new Set(['nodes', 'localdnsprofiles', 'localdnsnodes']),
  );
});

async function startOperator(
  options: { networkPolicies?: boolean; withdraws?: boolean } = {},
  reconcilersClock = clock,
): Promise<void> {
  const queue = new WorkQueue(clock);
  world = new World({ client, clock, namespace: 'localdns-system', onTrouble: () => {}, ...options });
  const events = new EventRecorder(client, clock, 'test', () => {});
  const reconciler = new Reconciler({
    ...{ world, client, namespace: 'localdns-system', events, queue, clock: reconcilersClock },
  });
  controller = new Controller({
    queue,
    workers: 4,
    reconcile: async (key) => {
      busy += 1;
      try {
        return await reconciler.reconcile(key);
      } finally {
        busy -= 1;
      }
    },
    onFailure: () => {},
  });
  for (const store of world.stores) store.start();
  await world.synced;
  controller.start();
}

async function stopOperator(): Promise<void> {
  await Promise.all([world.stop(), controller.stop()]);
}

function profile(name: string, spec: object): Stored {
  return server.put('localdnsprofiles', { ...server.get('localdnsprofiles', name), metadata: { name }, spec });
}

/** Writes a node with these labels, keeping the operator's own. */
function node(name: string, labels: Record<string, string> = {}): Stored {
  const state = server.get('nodes', name)?.metadata.labels?.['localdns.dev/state'];
  const kept = state === undefined ? {} : { 'localdns.dev/state': state };
  return server.put('nodes', { metadata: { name, labels: { ...labels, ...kept } } });
}

function service(name: string, clusterIP: string): void {
  const labels = { 'k8s-app': 'kube-dns' };
  server.put('services', { metadata: { name, namespace: 'kube-system', labels }, spec: { clusterIPs: [clusterIP] } });
}

async function serve(name: string): Promise<void> {
  profile('default', {});
  await known('default');
  node(name, { 'localdns.dev/profile': 'default' });
  await until(() => isMarked(name) && configured(name) !== undefined);
  // What is said of a node depends on whether it is known to have something.
  await until(() => world.written.get(name) !== undefined);
}

/** Of two watches either may be ahead: a node that is heard of before its profile is told of in an Event. */
async function known(name: string): Promise<void> {
  await until(() => world.profiles.get(name) !== undefined);
}

/** Served, and nothing is waited for any more, so that no look is due but for a change. */
async function serveAtRest(name: string): Promise<void> {
  profile('default', atOnce);
  await known('default');
  node(name, { 'localdns.dev/profile': 'default' });
  await until(() => isMarked(name) && configured(name) !== undefined);
  await rest();
}

async function rest(): Promise<void> {
  await quiet();
  allReport();
  await until(() =>
    server.all('localdnsprofiles').every(({ metadata }) => condition(metadata.name, 'Programmed') === 'True'),
  );
  await quiet();
}

/** A rollout without a step, for tests of what has nothing to do with them. */
const atOnce = { rollout: { maxUnavailable: '100%', canary: { nodes: 0, soakSeconds: 0 } } };

/** Every agent applies what it has, and serves. */
function allReport(): void {
  for (const { metadata, spec } of server.all('localdnsnodes')) {
    report(metadata.name, { appliedRevision: (spec as { revision: string }).revision });
  }
}

function report(name: string, status: object): void {
  const conditions = [{ type: 'Serving', status: 'True', reason: 'x', message: '', lastTransitionTime: '' }];
  const stored = configured(name) ?? assert.fail(`${name} has no configuration`);
  server.put('localdnsnodes', { ...stored, status: { conditions, ...status } });
}

function left(name: string): void {
  const conditions = [{ type: 'Serving', status: 'False', reason: 'Withdrawn', message: '', lastTransitionTime: '' }];
  report(name, { observedGeneration: generationOf(name), conditions });
}

function generationOf(name: string): number {
  return configured(name)?.metadata.generation ?? 0;
}

function withdrawnAt(name: string): string | undefined {
  return (configured(name)?.spec as { withdrawnAt?: string } | undefined)?.withdrawnAt;
}

function configured(name: string): Stored | undefined {
  return server.get('localdnsnodes', name);
}

function specOf(name: string): { profile: string; revision: string; config: NodeConfig } | undefined {
  return configured(name)?.spec as { profile: string; revision: string; config: NodeConfig } | undefined;
}

function profileOf(name: string): string | undefined {
  return specOf(name)?.profile;
}

function isMarked(name: string): boolean {
  return server.get('nodes', name)?.metadata.labels?.['localdns.dev/state'] === 'enabled';
}

function statusOf(name: string): ProfileStatus | undefined {
  return server.get('localdnsprofiles', name)?.status as ProfileStatus | undefined;
}

function condition(profileName: string, type: string): string | undefined {
  return statusOf(profileName)?.conditions?.find((candidate) => candidate.type === type)?.status;
}

function writes(): Seen[] {
  return server.seen.filter(({ verb }) => !['get', 'list', 'watch'].includes(verb));
}

/** Until nobody has written or worked for a while: so many turns of the loop, which are the longer the slower the machine is. */
async function quiet(): Promise<void> {
  for (let before = -1, turns = 0; turns < 20; turns++) {
    if (before !== writes().length || busy > 0) turns = 0;
    before = writes().length;
    await delay(2);
  }
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 5_000; tries++) {
    if (holds()) return;
    await delay(2);
  }
  assert.fail(`never came true: ${holds}`);
}
