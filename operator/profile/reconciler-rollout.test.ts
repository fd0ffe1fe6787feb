/** A rollout through the reconciler, against an API server in memory: what is written, and in which order. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Condition } from '../../api/v1alpha1/conditions.ts';
import { operatorManager, profileLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import { FakeApiServer, operatorKinds, type Stored } from '../../kube/api-server.fake.ts';
import { KubeClient } from '../../kube/client.ts';
import { systemClock as clock } from '../../kube/clock.ts';
import { eventually } from '../../test/tools/eventually.ts';
import type { Place } from '../runtime/lines.ts';
import { WorkQueue } from '../runtime/work-queue.ts';
import { Reconciler } from './reconciler.ts';
import { World } from './world.ts';

const server = new FakeApiServer(operatorKinds);
const names = ['n1', 'n2', 'n3'];
const events: string[] = [];
const phases: string[] = [];
const queue = new WorkQueue(clock, undefined, { held: true });
let client: KubeClient;
let world: World;
let reconciler: Reconciler;

before(async () => {
  const url = await server.start();
  for (const name of names) server.put('nodes', { metadata: { name, labels: { [profileLabel]: 'default' } } });
  client = new KubeClient({
    access: () => ({ server: url, origin: '', tls: {} }),
    fieldManager: operatorManager,
    userAgent: 'test',
  });
  begin();
  await world.synced;
});

after(async () => {
  queue.close();
  await world.stop();
  client.close();
  await server.stop();
});

/** An operator that knows nothing but what stands in the API. */
function begin(): void {
  world = new World({ client, clock, namespace: 'localdns-system', onTrouble: () => {} });
  const recorder = {
    warn: (_subject: object, reason: string): Promise<void> => {
      events.push(reason);
      return Promise.resolve();
    },
  };
  reconciler = new Reconciler({
    ...{ world, client, namespace: 'localdns-system', events: recorder, queue, clock },
    onRollout: (profile, { phase }) => phases.push(`${profile} ${phase}`),
  });
  for (const store of world.stores) store.start();
}

/** Where nodes stood that were given something back without a trial. */
const returns: Place[] = [];

/** One duty after the other, until nobody has anything to write. */
async function settle(): Promise<void> {
  for (let writes = -1; writes !== server.seen.length; ) {
    writes = server.seen.length;
    for (const key of ['plan', 'profile/default', 'plan', ...names.map((name) => `node/${name}`)]) {
      const carried = world.written.get(key.replace('node/', ''))?.trial;
      const place = reconciler.placeOf(key);
      const from = server.seen.length;
      await reconciler.reconcile(key);
      const given = server.seen.slice(from).find(({ verb, plural }) => verb === 'apply' && plural === 'localdnsnodes');
      const isReturn = given !== undefined && (given.body as Partial<LocalDnsNode>).spec?.trial === undefined;
      if (carried !== undefined && isReturn) returns.push(place);
    }
    await eventually('the stores have heard of it', 5_000, () => {
      return [...world.written.list()].length === server.all('localdnsnodes').length && isHeard();
    });
  }
}

function isHeard(): boolean {
  return server.all('localdnsnodes').every(({ metadata: { name, resourceVersion } }) => {
    return world.written.get(name)?.resourceVersion === resourceVersion;
  });
}

const measuredAt = '2026-01-01T00:00:00Z';

function serving(status: 'True' | 'False'): Condition {
  return { type: 'Serving', status, reason: 'x', message: '', lastTransitionTime: measuredAt };
}

/** Each agent has applied what it was given; health as a trial of no queries finds it. */
function report(ok: boolean): void {
  for (const stored of server.all('localdnsnodes')) {
    const { revision, trial } = stored.spec as LocalDnsNode['spec'];
    const figures = { queries: 0, servFailPermille: 0, p99Micros: 0 };
    const health = { revision, soakSeconds: 0, ...figures, probes: [{ name: 'a.example', ok }], measuredAt };
    const status = {
      appliedRevision: revision,
      configVersions: [1],
      conditions: [serving('True')],
      ...(trial && { health }),
    };
    server.put('localdnsnodes', { ...stored, status });
  }
}

async function reported(ok: boolean): Promise<void> {
  report(ok);
  await eventually('the reports are heard', 5_000, isHeard);
  await settle();
}

function edit(spec: object): Promise<unknown> {
  const old = server.get('localdnsprofiles', 'default');
  const stored = server.put('localdnsprofiles', { ...old, metadata: { name: 'default' }, spec } as Stored);
  return eventually('the edit is heard', 5_000, () => {
    return world.profiles.get('default')?.metadata.generation === stored.metadata.generation;
  });
}

const rollout = (): ProfileStatus['rollout'] => {
  return (server.get('localdnsprofiles', 'default')?.status as ProfileStatus | undefined)?.rollout;
};
const carriers = (): (string | undefined)[] =>
  names.map((name) => (server.get('localdnsnodes', name)?.spec as LocalDnsNode['spec'] | undefined)?.profileRevision);

test('the revision is kept and the phase written down before a node is given anything', async () => {
  await edit({});
  await settle();
  // The finalizer is another story (patch).
  const writes = server.seen.filter(({ verb }) => verb === 'create' || verb === 'apply');
  assert.deepEqual(
    writes.slice(0, 3).map(({ verb, plural, subresource }) => [verb, plural, subresource ?? ''].join(' ').trim()),
    ['create controllerrevisions', 'apply localdnsprofiles status', 'apply localdnsnodes'],
  );
  const { target } = rollout() ?? {};
  assert.deepEqual(carriers(), [target, undefined, undefined]);
  for (let step = 0; step < 4; step += 1) await reported(true);
  assert.deepEqual(carriers(), [target, target, target]);
  assert.deepEqual([rollout()?.phase, rollout()?.good], ['Done', target]);
  assert.deepEqual(phases, ['default Canary', 'default Batch', 'default Done']);
});

test('our own writes that come back are no reason to look again at once; what another makes of them is', async () => {
  const asked: number[] = [];
  const { addAfter } = queue;
  queue.addAfter = (key, delayMs) => void (key === 'plan' && asked.push(delayMs));
  try {
    await edit({ searchPath: 'Spec' });
    for (const key of ['plan', 'profile/default']) await reconciler.reconcile(key);
    await eventually('the revision is heard of', 5_000, () => [...world.revisions.list()].length === 2);
    asked.length = 0;
    await reconciler.reconcile('plan');
    for (const name of names) await reconciler.reconcile(`node/${name}`);
    await eventually('the stores have heard of it', 5_000, isHeard);
    assert.ok(Math.min(...asked) >= 250, `${asked}`);
    const tampered = server.get('localdnsnodes', 'n1') ?? assert.fail();
    server.put('localdnsnodes', { ...tampered, spec: { ...(tampered.spec as object), revision: 'v1-0000' } });
    await eventually('the stores have heard of it', 5_000, isHeard);
    assert.ok(Math.min(...asked) < 250, `${asked}`);
    // That its agent is to leave, or has left, by whatever hand.
    for (const [withdrawnAt, conditions] of [
      ['2026-01-01T00:00:00Z', [serving('True')]],
      ['2026-01-01T00:00:00Z', [serving('False')]],
    ] as const) {
      asked.length = 0;
      const spec = { ...(tampered.spec as object), revision: 'v1-0000', withdrawnAt };
      server.put('localdnsnodes', { ...tampered, spec, status: { observedGeneration: 99, conditions } });
      await eventually('the stores have heard of it', 5_000, isHeard);
      assert.ok(Math.min(...asked) < 250, `${asked}`);
    }
  } finally {
    queue.addAfter = addAfter;
  }
  await edit({});
  await settle();
  for (let step = 0; step < 4; step += 1) await reported(true);
});

test('decisions and what is written down of them come before nodes, and each node is in the line of its profile', async () => {
  const placeOf = (key: string): string => Object.values(reconciler.placeOf(key)).join(' ');
  assert.deepEqual(['plan', 'patterns', 'profile/default'].map(placeOf), ['0 ', '0 ', '0 ']);
  assert.deepEqual(['node/n1', 'node/unknown'].map(placeOf), ['2 default', '2 ']);
  // Whose nodes leave stands in the line of those who had them.
  server.put('nodes', { metadata: { name: 'n1', labels: { [profileLabel]: 'none' } } });
  await eventually('it is heard of', 5_000, () => world.nodes.get('n1')?.labels[profileLabel] === 'none');
  await reconciler.reconcile('plan');
  assert.equal(placeOf('node/n1'), '2 default');
  server.put('nodes', { metadata: { name: 'n1', labels: { [profileLabel]: 'default' } } });
  await eventually('it is heard of', 5_000, () => world.nodes.get('n1')?.labels[profileLabel] === 'default');
  await settle();
});

test('that a revision failed is written down before anybody returns, or another operator would try it again', async () => {
  const good = rollout()?.target;
  await edit({ searchPath: 'Spec' });
  await settle();
  assert.deepEqual(carriers().slice(1), [good, good]);
  // What the cluster is like changes meanwhile: the node is on trial still.
  const labels = { 'k8s-app': 'kube-dns' };
  const dns = {
    metadata: { name: 'kube-dns', namespace: 'kube-system', labels },
    spec: { clusterIPs: ['10.96.0.10'] },
  };
  server.put('services', dns);
  await eventually('the Service is heard of', 5_000, () => world.clusterDns().isFound);
  await settle();
  const spec = server.get('localdnsnodes', 'n1')?.spec as LocalDnsNode['spec'] | undefined;
  assert.equal(spec?.trial?.soakSeconds, 60);
  assert.match(JSON.stringify(spec.config), /10\.96\.0\.10/);
  const from = server.seen.length;
  returns.length = 0;
  await reported(false);
  assert.deepEqual(
    returns.map(({ rank, line }) => `${rank} ${line}`),
    ['1 default'],
  );
  const writes = server.seen.slice(from).filter(({ verb, plural }) => verb === 'apply' && plural !== 'nodes');
  assert.deepEqual(
    writes.slice(0, 2).map(({ plural }) => plural),
    ['localdnsprofiles', 'localdnsnodes'],
  );
  assert.deepEqual(carriers(), [good, good, good]);
  await reported(true);
  assert.equal(rollout()?.phase, 'RolledBack');
  assert.equal(events.filter((reason) => reason === 'RolloutFailed').length, 1);
});

test('an operator that begins anew leaves it at that', async () => {
  const good = rollout()?.good;
  await world.stop();
  begin();
  await world.synced;
  await settle();
  assert.deepEqual([rollout()?.phase, ...carriers()], ['RolledBack', good, good, good]);
});

for (const title of ['while an operator runs', 'while none does'] as const) {
  test(`a good revision that is deleted ${title} is written again, and a node without any gets it`, async () => {
    const good = rollout()?.good ?? assert.fail();
    const key = `localdns-system/${good}`;
    const config = configOf('n2');
    const stored = dataOf(key);
    if (title === 'while none does') await world.stop();
    server.remove('controllerrevisions', key);
    server.remove('localdnsnodes', 'n1');
    if (title === 'while none does') {
      begin();
      await world.synced;
    }
    await eventually(
      'both are heard of',
      5_000,
      () => [...world.revisions.list(), ...world.written.list()].length === 3,
    );
    await settle();
    await eventually('it is written again', 5_000, () => world.revisions.get(key) !== undefined);
    assert.deepEqual([rollout()?.phase, ...carriers()], ['RolledBack', good, good, good]);
    assert.deepEqual(configOf('n1'), config);
    // Whoever knew it writes what it was; off a node can be read what it means.
    if (title === 'while an operator runs') assert.deepEqual(dataOf(key), stored);
    const creations = server.requests('create', 'controllerrevisions').length;
    await settle();
    assert.equal(server.requests('create', 'controllerrevisions').length, creations);
  });
}

test('while a newer spec is refused, what was accepted last is written again too', async () => {
  const good = rollout()?.good ?? assert.fail();
  await edit({ searchPath: 'Report' });
  await settle();
  for (let step = 0; step < 4; step += 1) await reported(true);
  const target = rollout()?.target ?? assert.fail();
  assert.deepEqual([rollout()?.phase, target === good], ['Done', false]);
  await edit({ kubeDNSOverrides: { '.': { forwardDestination: 'nowhere' } } });
  await settle();
  server.remove('controllerrevisions', `localdns-system/${target}`);
  server.remove('localdnsnodes', 'n1');
  await eventually('both are heard of', 5_000, () => [...world.written.list()].length === 2);
  await settle();
  await eventually('it is there', 5_000, () => world.revision(target)?.uid !== undefined);
  assert.deepEqual(carriers(), [target, target, target]);
  assert.ok(server.get('controllerrevisions', `localdns-system/${target}`));
});

test('one that nobody needs stays deleted, and is forgotten', async () => {
  const [unneeded] = [...world.revisions.list()].filter(({ name }) => name !== rollout()?.target);
  const { name } = unneeded ?? assert.fail();
  server.remove('controllerrevisions', `localdns-system/${name}`);
  await eventually('it is heard of', 5_000, () => world.lost.of(unneeded?.profileUid).length === 1);
  await settle();
  assert.equal(server.get('controllerrevisions', `localdns-system/${name}`), undefined);
  assert.equal(world.revision(name), undefined);
});

test('what the profile says itself is written again once, as its newest', async () => {
  await edit({ searchPath: 'Report' });
  await settle();
  const { target } = rollout() ?? {};
  const key = `localdns-system/${target}`;
  const creations = server.requests('create', 'controllerrevisions').length;
  server.remove('controllerrevisions', key);
  await eventually('it is heard of', 5_000, () => world.revisions.get(key) === undefined);
  await reconciler.reconcile('plan');
  await reconciler.reconcile('profile/default');
  assert.equal(server.requests('create', 'controllerrevisions').length, creations + 1);
  await eventually('it is there', 5_000, () => world.revisions.get(key) !== undefined);
  const numbers = [...world.revisions.list()].map(({ number }) => number);
  assert.equal(world.revisions.get(key)?.number, Math.max(...numbers));
});

test('a redirect whose Service comes later is tried as an edit is, whichever operator sees it come, and follows it from then on', async () => {
  const cloud = { namespace: 'emulator', name: 'cloud' };
  const redirects = [{ name: 'r', match: { suffixes: ['cloud.example'] }, target: { serviceRef: cloud } }];
  const isThere = (status: string) =>
    eventually(`Accepted is ${status}`, 5_000, async () => {
      await settle();
      const told = server.get('localdnsprofiles', 'default')?.status as ProfileStatus | undefined;
      return told?.conditions?.some(({ type, reason }) => type === 'Accepted' && reason === status);
    });
  const before = rollout()?.target ?? assert.fail();
  await edit({ searchPath: 'Report', redirects });
  await isThere('PartiallyInvalid');
  assert.deepEqual([rollout()?.phase, rollout()?.target, ...carriers()], ['Done', before, before, before, before]);
  await world.stop();
  begin();
  await world.synced;
  const metadata = cloud;
  server.put('services', { metadata, spec: { type: 'ClusterIP', clusterIPs: ['10.96.0.50'] } });
  await isThere('Valid');
  const { target = assert.fail() } = rollout() ?? {};
  assert.deepEqual([rollout()?.phase, rollout()?.good, target === before], ['Canary', before, false]);
  assert.equal(carriers().filter((carried) => carried === target).length, 1);
  assert.deepEqual(dataOf(`localdns-system/${target}`), { spec: { searchPath: 'Report', redirects } });
  for (let step = 0; step < 4; step += 1) await reported(true);
  assert.deepEqual([rollout()?.phase, rollout()?.good], ['Done', target]);
  const withRedirect = () => names.filter((name) => JSON.stringify(configOf(name)).includes('cloud.example')).length;
  assert.equal(withRedirect(), 3);
  server.remove('services', 'emulator/cloud');
  await isThere('PartiallyInvalid');
  assert.deepEqual([rollout()?.phase, rollout()?.target, withRedirect()], ['Done', target, 0]);
  server.put('services', { metadata, spec: { type: 'ClusterIP', clusterIPs: ['10.96.0.51'] } });
  await isThere('Valid');
  assert.deepEqual([rollout()?.phase, rollout()?.target, withRedirect()], ['Done', target, 3]);
  server.remove('services', 'emulator/cloud');
  await isThere('PartiallyInvalid');
  await reported(true);
});

test('a change of facts is no new start; who is silent as it goes is not forgotten, by whatever operator', async () => {
  const good = rollout()?.good;
  await edit({ searchPath: 'Spec' });
  await settle();
  const [given] = carriers().flatMap((carried, at) => (carried === good ? [] : (names[at] ?? [])));
  assert.ok(given !== undefined);
  const stored = server.get('localdnsnodes', given) ?? assert.fail();
  const writtenAt = '2026-01-01T00:00:00Z';
  server.put('localdnsnodes', { ...stored, spec: { ...(stored.spec as object), writtenAt } });
  await eventually('the store has heard of it', 5_000, isHeard);
  server.remove('services', 'kube-system/kube-dns');
  await eventually('so has that of Services', 5_000, () => !world.clusterDns().isFound);
  await settle();
  const spec = server.get('localdnsnodes', given)?.spec as LocalDnsNode['spec'] | undefined;
  assert.doesNotMatch(JSON.stringify(spec?.config), /10\.96\.0\.10/);
  assert.equal(spec?.writtenAt, writtenAt);

  const away = { type: 'Ready', status: 'Unknown', lastTransitionTime: new Date().toISOString() };
  const labels = { [profileLabel]: 'default' };
  server.put('nodes', { metadata: { name: given, labels }, status: { conditions: [away] } });
  await eventually('it is away', 5_000, () => world.nodes.get(given)?.isReachable === false);
  await settle();
  assert.deepEqual(rollout()?.silent, [given]);
  await world.stop();
  server.remove('nodes', given);
  server.remove('localdnsnodes', given);
  names.splice(names.indexOf(given), 1);
  begin();
  await world.synced;
  await settle();
  await reported(true);
  assert.deepEqual([rollout()?.phase, rollout()?.reason, ...carriers()], ['RolledBack', 'NodesSilent', good, good]);
});

test('of a profile that is gone nothing is written again', async () => {
  const { uid } = server.get('localdnsprofiles', 'default')?.metadata ?? {};
  server.remove('controllerrevisions', `localdns-system/${rollout()?.target}`);
  await eventually('it is heard of', 5_000, () => world.lost.of(uid).length === 1);
  const profile = server.get('localdnsprofiles', 'default') ?? assert.fail();
  server.put('localdnsprofiles', { ...profile, metadata: { name: 'default', uid: 'another' } });
  await eventually('that is forgotten', 5_000, () => world.lost.of(uid).length === 0);
});

test('of a profile that is gone no rollout is remembered', async () => {
  const profile = server.get('localdnsprofiles', 'default') ?? assert.fail();
  const attempts: (number | undefined)[] = [];
  for (const uid of ['first', 'second', 'first']) {
    server.put('localdnsprofiles', { ...profile, metadata: { name: 'default', uid }, spec: {}, status: {} });
    await eventually('it is heard of', 5_000, () => world.profiles.get('default')?.metadata.uid === uid);
    await settle();
    attempts.push(rollout()?.attempt);
    await edit({ searchPath: 'Report' });
    await settle();
    attempts.push(rollout()?.attempt);
  }
  assert.deepEqual(attempts, [1, 2, 1, 2, 1, 2]);
});

function configOf(name: string): unknown {
  return (server.get('localdnsnodes', name)?.spec as LocalDnsNode['spec'] | undefined)?.config;
}

function dataOf(key: string): unknown {
  return (server.get('controllerrevisions', key) as { data?: unknown } | undefined)?.data;
}
