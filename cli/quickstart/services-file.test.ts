import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultServices, parseServices } from './services-file.ts';

test('every error comes with its path', () => {
  const parsed = parseServices({
    services: [
      { namespace: 'default', name: 'web', clusterIP: '10.96.0' },
      { namespace: 'default', name: 'both', clusterIP: '10.96.0.2', endpoints: [] },
      { namespace: 'default', name: 'db', endpoints: [{ adress: '10.244.0.1' }], ports: [{ name: 'sql', port: 0 }] },
    ],
    records: [
      { name: 'www.corp.example', type: 'A', values: ['192.0.2.10', '2001:db8::1'] },
      { name: 'Mail.corp.example', type: 'MX', values: ['x'] },
    ],
  });
  assert.ok('errors' in parsed);
  const paths = parsed.errors.map((error) => error.split(': ')[0]);
  assert.deepEqual(paths, [
    'services[0].clusterIP',
    'services[1]',
    'services[2].endpoints[0].address',
    'services[2].endpoints[0]',
    'services[2].ports[0].port',
    'records[0].values[1]',
    'records[1].name',
    'records[1].type',
  ]);
});

test('two Services of one name, and an alias beside something else, are refused', () => {
  const web = { namespace: 'default', name: 'web', clusterIP: '10.96.0.2' };
  const parsed = parseServices({
    services: [web, { ...web, namespace: 'demo' }, web],
    records: [
      { name: 'www.corp.example', type: 'A', values: ['192.0.2.10'] },
      { name: 'www.corp.example', type: 'AAAA', values: ['2001:db8::1'] },
      { name: 'www.corp.example', type: 'CNAME', values: ['web.corp.example'] },
    ],
  });
  assert.ok('errors' in parsed);
  assert.deepEqual(
    parsed.errors.map((error) => error.split(': ')[0]),
    ['records[2]', 'services[2]'],
  );
});

test('an empty file is an empty list', () => {
  assert.deepEqual(parseServices(null), { list: { services: [], records: [] } });
});

test('without a file there is what every cluster has', () => {
  const names = defaultServices().services.map(({ namespace, name }) => `${namespace}/${name}`);
  assert.deepEqual(names, ['default/kubernetes', 'kube-system/kube-dns', 'demo/web']);
});
