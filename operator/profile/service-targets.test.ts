import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { ServiceTarget } from '../../api/v1alpha1/profile-parts.ts';
import { FakeApiServer, fail, type Stored } from '../../kube/api-server.fake.ts';
import { KubeClient } from '../../kube/client.ts';
import { systemClock } from '../../kube/clock.ts';
import { eventually } from '../../test/tools/eventually.ts';
import { ServiceTargets, type ServiceTargetsOptions } from './service-targets.ts';

const cloud = { namespace: 'emulator', name: 'cloud' };
let server: FakeApiServer;
let client: KubeClient;
let targets: ServiceTargets;
let changes: number;
let told: string[];

beforeEach(async () => {
  server = new FakeApiServer(['services', 'endpointslices']);
  const url = await server.start();
  const access = () => ({ server: url, origin: '', tls: {} });
  client = new KubeClient({ access, fieldManager: 'test', userAgent: 'test' });
  changes = 0;
  const onChange = () => {
    changes += 1;
  };
  told = [];
  const onTrouble: ServiceTargetsOptions['onTrouble'] = (name, trouble) => told.push(`${name} ${trouble?.code}`);
  targets = new ServiceTargets({ client, clock: systemClock, timing: {}, onTrouble, onChange });
});

afterEach(async () => {
  await targets.stop();
  client.close();
  await server.stop();
});

function service(type: string, ingress?: object[]): void {
  const status = ingress === undefined ? {} : { loadBalancer: { ingress } };
  server.put('services', { metadata: cloud, spec: { type, clusterIPs: ['10.96.0.50'] }, status } as Stored);
}

function becomes(wanted: ServiceTarget): Promise<unknown> {
  return eventually(JSON.stringify(wanted), 5_000, () => {
    assert.deepEqual(targets.get({ ...cloud, addressesFrom: 'LoadBalancer' }), wanted);
    return true;
  });
}

test('the addresses of a load balancer are followed, and every way to have none is said in words of its own', async () => {
  const unusable = (reason: string): ServiceTarget => ({ kind: 'unusable', reason });
  await becomes(unusable('Service emulator/cloud does not exist'));
  service('ClusterIP', [{ ip: '198.51.100.1' }]);
  await becomes(unusable('Service emulator/cloud is of type ClusterIP, which has no load balancer'));
  service('LoadBalancer');
  await becomes(unusable('the load balancer of Service emulator/cloud has no address yet'));
  service('LoadBalancer', [{ ip: '198.51.100.9' }, { hostname: 'x.example' }, { ip: '2001:DB8::1' }]);
  await becomes({ kind: 'addresses', addresses: ['198.51.100.9', '2001:db8::1'] });
  service('LoadBalancer', [{ ip: '198.51.100.10', ports: [{ port: 80 }] }]);
  await becomes({ kind: 'addresses', addresses: ['198.51.100.10'] });
  service('LoadBalancer', [{ ip: '198.051.100.012' }, { ip: 'fe80::1%eth0' }, { ip: '::ffff:198.51.100.13' }]);
  await becomes({ kind: 'addresses', addresses: ['198.51.100.12', '198.51.100.13'] });
  service('LoadBalancer', [{ ip: 'fe80::1%eth0' }]);
  await becomes(unusable('the load balancer of Service emulator/cloud has no address that can be read: fe80::1%eth0'));
  service('LoadBalancer', [{ hostname: 'x.example' }]);
  await becomes(unusable('the load balancer of Service emulator/cloud has a name (x.example) and no address'));
  server.remove('services', 'emulator/cloud');
  await becomes(unusable('Service emulator/cloud does not exist'));
});

test('one Service may be a target by either of its addresses, and is followed once', async () => {
  service('LoadBalancer', [{ ip: '198.51.100.9' }]);
  await becomes({ kind: 'addresses', addresses: ['198.51.100.9'] });
  for (const ref of [cloud, { ...cloud, addressesFrom: 'ClusterIP' as const }]) {
    assert.deepEqual(targets.get(ref), { kind: 'addresses', addresses: ['10.96.0.50'] });
  }
  assert.equal(server.requests('list', 'services').length, 1);
});

test('addresses are read as Kubernetes means them, wherever they come from', async () => {
  const spec = { type: 'ClusterIP', clusterIPs: ['010.096.000.050'] };
  server.put('services', { metadata: cloud, spec } as Stored);
  const is = (addresses: string[]) =>
    eventually(addresses.join(), 5_000, () => {
      assert.deepEqual(targets.get(cloud), { kind: 'addresses', addresses });
      return true;
    });
  await is(['10.96.0.50']);
  server.put('services', { metadata: cloud, spec: { type: 'ClusterIP', clusterIPs: ['None'] } } as Stored);
  const labels = { 'kubernetes.io/service-name': cloud.name };
  const endpoints = [{ addresses: ['010.1.2.4'] }, { addresses: ['::ffff:10.1.2.5', 'no address'] }];
  server.put('endpointslices', { metadata: { ...cloud, labels }, addressType: 'IPv4', endpoints } as Stored);
  await is(['10.1.2.4', '10.1.2.5']);
});

test('a Service with more addresses than an answer holds is no target, and may be what a network policy is about', async () => {
  server.put('services', { metadata: cloud, spec: { type: 'ClusterIP', clusterIPs: ['None'] } } as Stored);
  const slice = (name: string, of: number, count: number) => {
    const labels = { 'kubernetes.io/service-name': cloud.name };
    const endpoints = Array.from({ length: count }, (_, at) => ({ addresses: [`10.${of}.${at >> 8}.${at & 255}`] }));
    server.put('endpointslices', { metadata: { ...cloud, name, labels }, addressType: 'IPv4', endpoints } as Stored);
  };
  slice('one', 1, 2_000);
  const counted = (target: ServiceTarget) => (target.kind === 'addresses' ? target.addresses.length : target);
  const has = (count: number, wanted: unknown) =>
    eventually(`${count} addresses`, 5_000, () => {
      assert.equal(counted(targets.endpoints(cloud)), count);
      assert.deepEqual(counted(targets.get(cloud)), wanted);
      return true;
    });
  await has(2_000, 2_000);
  slice('two', 2, 1);
  const reason = 'Service emulator/cloud has more than 2000 addresses, which no answer holds';
  await has(2_001, { kind: 'unusable', reason });
});

test('what does not change a target wakes nobody', async () => {
  service('LoadBalancer', [{ ip: '198.51.100.9', ipMode: 'VIP' }]);
  await becomes({ kind: 'addresses', addresses: ['198.51.100.9'] });
  const before = changes;
  service('LoadBalancer', [{ ip: '198.51.100.9', ipMode: 'Proxy' }]);
  service('LoadBalancer', [{ ip: '198.51.100.10' }]);
  await becomes({ kind: 'addresses', addresses: ['198.51.100.10'] });
  assert.equal(changes, before + 1);
});

test('a Service that is forgotten is unknown until it is read anew, and what was wrong with it is over', async () => {
  service('LoadBalancer', [{ ip: '198.51.100.9' }]);
  await becomes({ kind: 'addresses', addresses: ['198.51.100.9'] });
  server.script = ({ verb }, response) => {
    if (verb !== 'watch') return false;
    fail(response, 403, 'Forbidden', 'no', { name: 'cloud' });
    return true;
  };
  server.endWatches('end');
  await eventually('it cannot be followed', 5_000, () => told.length > 0);
  targets.forget();
  assert.deepEqual(told, ['services of emulator/cloud KUBE_API_403', 'services of emulator/cloud undefined']);
  server.script = () => false;
  service('LoadBalancer', [{ ip: '198.51.100.10' }]);
  assert.deepEqual(targets.get({ ...cloud, addressesFrom: 'LoadBalancer' }), { kind: 'unknown' });
  await becomes({ kind: 'addresses', addresses: ['198.51.100.10'] });
  await eventually('one follows it', 5_000, () => server.watchCount === 1);
  targets.forget();
  await eventually('nobody follows it', 5_000, () => server.watchCount === 0);
});
