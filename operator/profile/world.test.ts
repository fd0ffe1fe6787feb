import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeApiServer } from '../../kube/api-server.fake.ts';
import { KubeClient } from '../../kube/client.ts';
import { systemClock as clock } from '../../kube/clock.ts';
import { World } from './world.ts';

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
