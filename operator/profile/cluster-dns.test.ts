import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseClusterDns, type ServiceFacts, serviceFacts } from './cluster-dns.ts';

const service = (name: string, createdAt: string): ServiceFacts => ({
  namespace: 'kube-system',
  name,
  createdAt,
  clusterIPs: ['10.0.0.1'],
  selector: {},
});

test('of several Services the one named kube-dns is the cluster DNS, else the oldest', () => {
  const old = service('rke2-coredns', '2026-01-01T00:00:00Z');
  const older = service('zz-dns', '2025-01-01T00:00:00Z');
  const named = service('kube-dns', '2026-06-01T00:00:00Z');
  assert.equal(chooseClusterDns([old, named, older])?.service, 'kube-dns');
  assert.equal(chooseClusterDns([old, older])?.service, 'zz-dns');
  assert.equal(chooseClusterDns([]), undefined);
});

test('both families of addresses are taken, and the word None of a headless Service is no address', () => {
  const facts = (spec: object): readonly string[] =>
    serviceFacts({ metadata: { name: 's', namespace: 'n' }, spec }).clusterIPs;
  assert.deepEqual(facts({ clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1', 'fd00::1'] }), ['10.0.0.1', 'fd00::1']);
  assert.deepEqual(facts({ clusterIP: '10.0.0.1' }), ['10.0.0.1']);
  assert.deepEqual(facts({ clusterIP: 'None', clusterIPs: ['None'] }), []);
  assert.deepEqual(facts({ clusterIP: '010.096.0.10' }), ['10.96.0.10']);
});

test('its pods are those that it selects, or as they are labelled everywhere', () => {
  const selectorOf = (spec: object) => serviceFacts({ metadata: { name: 's', namespace: 'n' }, spec }).selector;
  assert.deepEqual(selectorOf({ selector: { 'app.kubernetes.io/name': 'coredns' } }), {
    'app.kubernetes.io/name': 'coredns',
  });
  assert.deepEqual(selectorOf({}), { 'k8s-app': 'kube-dns' });
});
