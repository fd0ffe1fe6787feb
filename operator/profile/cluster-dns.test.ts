import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseClusterDns, podPorts, type ServiceFacts, serviceFacts } from './cluster-dns.ts';

const service = (name: string, createdAt: string): ServiceFacts => ({
  namespace: 'kube-system',
  name,
  createdAt,
  clusterIPs: ['10.0.0.1'],
  selector: {},
  dnsPorts: [],
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

test('its pods listen where its ports lead to: by the endpoints, by the Service, or as everywhere', () => {
  const ports = (targets: { UDP?: number | string; TCP?: number | string }, ...endpoints: object[]) => {
    const given = [
      { name: 'dns', protocol: 'UDP', port: 53, ...(targets.UDP !== undefined && { targetPort: targets.UDP }) },
      { name: 'dns-tcp', port: 53, ...(targets.TCP !== undefined && { targetPort: targets.TCP }) },
      { name: 'metrics', port: 9154, targetPort: 'metrics' },
    ];
    return podPorts(serviceFacts({ metadata: { name: 's' }, spec: { ports: given } }), endpoints);
  };
  const everywhere = { UDP: { numbers: [53], names: ['dns'] }, TCP: { numbers: [53], names: ['dns-tcp'] } };
  assert.deepEqual(podPorts(serviceFacts({ metadata: { name: 's' } }), []), everywhere);
  assert.deepEqual(ports({}), everywhere);
  assert.deepEqual(ports({ UDP: 5353, TCP: 5354 }), {
    UDP: { numbers: [5353], names: ['dns'] },
    TCP: { numbers: [5354], names: ['dns-tcp'] },
  });
  const named = { UDP: 'domain', TCP: 'domain-tcp' };
  assert.deepEqual(ports(named), {
    UDP: { numbers: [53], names: ['domain'] },
    TCP: { numbers: [53], names: ['domain-tcp'] },
  });
  const endpoints = [
    { name: 'dns', port: 5353, protocol: 'UDP' },
    { name: 'dns-tcp', port: 5354 },
    { name: 'metrics', port: 9154 },
    { name: 'dns', port: 1053, protocol: 'UDP' },
    { name: 'dns', port: 1054 },
    { name: 'dns', port: 5353, protocol: 'UDP' },
  ];
  assert.deepEqual(ports(named, ...endpoints), {
    UDP: { numbers: [1053, 5353], names: ['domain'] },
    TCP: { numbers: [5354], names: ['domain-tcp'] },
  });
});

test('a Service with one port need not name it', () => {
  const ports = [{ protocol: 'UDP', port: 53, targetPort: 'x' }];
  const facts = serviceFacts({ metadata: { name: 's' }, spec: { ports } });
  assert.deepEqual(podPorts(facts, [{ port: 5353, protocol: 'UDP' }]).UDP, { numbers: [5353], names: ['x'] });
  assert.deepEqual(podPorts(facts, [{ name: '', port: 5353, protocol: 'UDP' }]).UDP.numbers, [5353]);
});
