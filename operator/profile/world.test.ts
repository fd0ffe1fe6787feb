import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { FakeApiServer, fail, operatorKinds } from '../../kube/api-server.fake.ts';
import { KubeClient } from '../../kube/client.ts';
import { systemClock as clock } from '../../kube/clock.ts';
import { eventually } from '../../test/tools/eventually.ts';
import { World, type WorldOptions } from './world.ts';

const cloud = { namespace: 'emulator', name: 'cloud' };

const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function serving(plurals: readonly string[], options: Partial<WorldOptions> = {}) {
  const server = new FakeApiServer(plurals);
  const url = await server.start();
  const access = () => ({ server: url, origin: '', tls: {} });
  const client = new KubeClient({ access, fieldManager: 'test', userAgent: 'test' });
  const world = new World({ client, clock, namespace: 'localdns-system', onTrouble: () => {}, ...options });
  ends.push(async () => {
    await world.stop();
    client.close();
    await server.stop();
  });
  const put = (clusterIP: string, cidr: string) => {
    server.put('services', { metadata: cloud, spec: { type: 'ClusterIP', clusterIPs: [clusterIP] } });
    server.put('servicecidrs', { metadata: { name: 'kubernetes' }, spec: { cidrs: [cidr] } });
  };
  /** They are open from now on, and nothing comes. */
  const silenceWatches = () => {
    server.script = ({ verb }, response) => {
      if (verb !== 'watch') return false;
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
      return true;
    };
  };
  const known = (addresses: readonly string[]) =>
    eventually('the Service is known', 5_000, () => {
      assert.deepEqual(world.serviceTargets.get(cloud), { kind: 'addresses', addresses });
      return true;
    });
  const start = async () => {
    for (const store of world.stores) store.start();
    await world.synced;
  };
  return { server, world, put, silenceWatches, known, start };
}

test('of kinds that are gone nothing is read anew by who takes everything out of service', async () => {
  const server = new FakeApiServer(['nodes']);
  const url = await server.start();
  const access = () => ({ server: url, origin: '', tls: {} });
  const client = new KubeClient({ access, fieldManager: 'test', userAgent: 'test' });
  const told: (string | undefined)[] = [];
  const world = new World({
    ...{ client, clock, namespace: 'localdns-system', withdraws: true },
    onTrouble: (plural, trouble) => told.push(`${plural} ${trouble?.code}`),
  });
  for (const store of world.stores) store.start();
  await world.synced;
  server.put('nodes', { metadata: { name: 'n1' } });
  await world.refresh();
  assert.ok(world.nodes.get('n1'));
  assert.deepEqual(told.sort(), ['localdnsnodes KUBE_RESOURCE_MISSING', 'localdnsprofiles KUBE_RESOURCE_MISSING']);
  await world.stop();
  client.close();
  await server.stop();
});

test('who leads again knows the networks of Services as they are now, and no Service of before until it is read anew', async () => {
  const { world, put, silenceWatches, known, start } = await serving([...operatorKinds, 'servicecidrs']);
  put('10.96.7.1', '10.96.0.0/16');
  silenceWatches();
  await start();
  await known(['10.96.7.1']);
  assert.deepEqual(world.clusterFacts().ranges, ['10.96.0.0/16']);
  put('10.97.7.2', '10.97.0.0/16');
  await world.refresh();
  assert.deepEqual(world.clusterFacts().ranges, ['10.97.0.0/16']);
  assert.deepEqual(world.serviceTargets.get(cloud), { kind: 'unknown' });
  await known(['10.97.7.2']);
});

test('networks of Services that may not be read any more hold up nobody who leads again, whether he was told before or is now', async () => {
  const waits: number[] = [];
  const after = (delayMs: number, run: () => void) => {
    waits.push(delayMs);
    return clock.after(delayMs, run);
  };
  const timing = { backoff: { minMs: 20_000, maxMs: 40_000 }, awaitedMaxMs: 5 };
  const kinds = [...operatorKinds, 'servicecidrs'];
  const { server, world, put, start } = await serving(kinds, { timing, clock: { ...clock, after } });
  put('10.96.7.1', '10.96.0.0/16');
  await start();
  server.script = ({ plural }, response) => {
    if (plural !== 'servicecidrs') return false;
    fail(response, 403, 'Forbidden', 'no', { name: 'kubernetes' });
    return true;
  };
  await world.refresh();
  assert.ok(world.followable.length < world.stores.length);
  await eventually('they are looked for seldom', 5_000, () => waits.some((waitMs) => waitMs >= 20_000));
  const asked = server.requests('list', 'servicecidrs').length;
  await world.refresh();
  assert.equal(server.requests('list', 'servicecidrs').length, asked);
  assert.deepEqual(world.clusterFacts().ranges, ['10.96.0.0/16']);
});

test('nor do they where the API server has none, which is not worth a word', async () => {
  const told: string[] = [];
  const { world, start } = await serving(operatorKinds, { onTrouble: (plural) => told.push(plural) });
  await start();
  await world.refresh();
  assert.deepEqual(told, []);
});

test('networks of Services that cannot be read for a moment are waited for', async () => {
  const { server, world, put, start } = await serving([...operatorKinds, 'servicecidrs']);
  put('10.96.7.1', '10.96.0.0/16');
  await start();
  let refusals = 0;
  server.script = ({ verb, plural }, response) => {
    if (plural !== 'servicecidrs' || verb !== 'list' || refusals++ > 0) return false;
    put('10.97.7.2', '10.97.0.0/16');
    fail(response, 500, 'InternalError', 'not now', {});
    return true;
  };
  await world.refresh();
  const lists = server.requests('list', 'servicecidrs').filter(({ query }) => !query.has('fieldSelector'));
  assert.equal(lists.length, 3);
  assert.deepEqual(world.clusterFacts().ranges, ['10.97.0.0/16']);
});
