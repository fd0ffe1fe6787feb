import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResourceRecord } from '../message.ts';
import { parseServices } from './services-file.ts';
import { Zones } from './zone.ts';

function zonesOf(contents: object): Zones {
  const parsed = parseServices(contents);
  assert.ok('list' in parsed, JSON.stringify(parsed));
  return new Zones(parsed.list, 'cluster.local', 7);
}

const zones = zonesOf({
  services: [
    {
      namespace: 'default',
      name: 'kubernetes',
      clusterIPs: ['10.96.0.1', 'fd00:10:96::1'],
      ports: [{ name: 'https', port: 443 }, { port: 8080 }],
    },
    { namespace: 'kube-system', name: 'kube-dns', clusterIP: '10.96.0.10' },
    {
      namespace: 'demo',
      name: 'db',
      endpoints: [{ hostname: 'db-0', address: '10.244.0.10' }, { address: '10.244.0.11' }, { address: 'fd00::' }],
      ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }],
    },
    { namespace: 'demo', name: 'gone', endpoints: [] },
  ],
  records: [
    { name: 'www.corp.example', type: 'CNAME', values: ['web.corp.example'] },
    { name: 'web.corp.example', type: 'A', ttlSeconds: 300, values: ['192.0.2.10', '192.0.2.11'] },
    { name: 'broken.corp.example', type: 'CNAME', values: ['lost.corp.example'] },
    { name: 'away.corp.example', type: 'CNAME', values: ['www.example.org'] },
    { name: 'loop.corp.example', type: 'CNAME', values: ['loop.corp.example'] },
  ],
});

const brief = (record: ResourceRecord) => {
  const data = record.type === 'SRV' ? `${record.data.port} ${record.data.target}` : String(record.data);
  return `${record.name} ${record.ttl} ${record.type} ${data}`;
};

/** Name, type, and what comes back: the code and the answer section; SOA says which zone denies. */
const lookups: [title: string, name: string, type: string, rcode: string, answers: string[], soa?: string][] = [
  [
    'a Service has its address (§2.3.1)',
    'kubernetes.default.svc.cluster.local',
    'A',
    'NOERROR',
    ['kubernetes.default.svc.cluster.local 5 A 10.96.0.1'],
  ],
  [
    'a dual-stack Service has its other address',
    'kubernetes.default.svc.cluster.local',
    'AAAA',
    'NOERROR',
    ['kubernetes.default.svc.cluster.local 5 AAAA fd00:10:96::1'],
  ],
  [
    'a named port has a SRV record (§2.3.2)',
    '_https._tcp.kubernetes.default.svc.cluster.local',
    'SRV',
    'NOERROR',
    ['_https._tcp.kubernetes.default.svc.cluster.local 5 SRV 443 kubernetes.default.svc.cluster.local'],
  ],
  [
    'a port without a name has no SRV record',
    '_undefined._tcp.kubernetes.default.svc.cluster.local',
    'SRV',
    'NXDOMAIN',
    [],
    'cluster.local',
  ],
  [
    'a cluster IP leads back to its Service (§2.3.3)',
    '1.0.96.10.in-addr.arpa',
    'PTR',
    'NOERROR',
    ['1.0.96.10.in-addr.arpa 5 PTR kubernetes.default.svc.cluster.local'],
  ],
  [
    'so does one of IPv6',
    '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa',
    'PTR',
    'NOERROR',
    [
      '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa 5 PTR kubernetes.default.svc.cluster.local',
    ],
  ],
  [
    'a headless Service has all its endpoints (§2.4.1)',
    'db.demo.svc.cluster.local',
    'A',
    'NOERROR',
    ['db.demo.svc.cluster.local 5 A 10.244.0.10', 'db.demo.svc.cluster.local 5 A 10.244.0.11'],
  ],
  [
    'an endpoint has its hostname',
    'db-0.db.demo.svc.cluster.local',
    'A',
    'NOERROR',
    ['db-0.db.demo.svc.cluster.local 5 A 10.244.0.10'],
  ],
  [
    'an endpoint without a hostname is named by its address',
    'fd00--0.db.demo.svc.cluster.local',
    'AAAA',
    'NOERROR',
    ['fd00--0.db.demo.svc.cluster.local 5 AAAA fd00::'],
  ],
  [
    'a named port of a headless Service leads to each endpoint (§2.4.2)',
    '_sql._tcp.db.demo.svc.cluster.local',
    'SRV',
    'NOERROR',
    [
      '_sql._tcp.db.demo.svc.cluster.local 5 SRV 5432 db-0.db.demo.svc.cluster.local',
      '_sql._tcp.db.demo.svc.cluster.local 5 SRV 5432 10-244-0-11.db.demo.svc.cluster.local',
      '_sql._tcp.db.demo.svc.cluster.local 5 SRV 5432 fd00--0.db.demo.svc.cluster.local',
    ],
  ],
  [
    'the specification has its version (§2.2)',
    'dns-version.cluster.local',
    'TXT',
    'NOERROR',
    ['dns-version.cluster.local 5 TXT 1.1.0'],
  ],
  [
    'the name server of the domain is the cluster DNS Service',
    'cluster.local',
    'NS',
    'NOERROR',
    ['cluster.local 5 NS kube-dns.kube-system.svc.cluster.local'],
  ],
  ['a Service that does not exist is denied', 'nope.default.svc.cluster.local', 'A', 'NXDOMAIN', [], 'cluster.local'],
  ['a type that a Service lacks is denied alone', 'db.demo.svc.cluster.local', 'TXT', 'NOERROR', [], 'cluster.local'],
  ['a headless Service without endpoints exists', 'gone.demo.svc.cluster.local', 'A', 'NOERROR', [], 'cluster.local'],
  ['a name with something below it exists', '_tcp.db.demo.svc.cluster.local', 'A', 'NOERROR', [], 'cluster.local'],
  ['so does svc itself', 'svc.cluster.local', 'A', 'NOERROR', [], 'cluster.local'],
  ['an address that is no Service is denied', '9.0.96.10.in-addr.arpa', 'PTR', 'NXDOMAIN', [], '96.10.in-addr.arpa'],
  ['a domain that only ends alike is refused', 'notcluster.local', 'A', 'REFUSED', []],
  ['what is above the domain is refused', 'local', 'A', 'REFUSED', []],
  ['the rest of the world is refused', 'www.example.org', 'A', 'REFUSED', []],
  [
    'an alias is followed',
    'www.corp.example',
    'A',
    'NOERROR',
    [
      'www.corp.example 30 CNAME web.corp.example',
      'web.corp.example 300 A 192.0.2.10',
      'web.corp.example 300 A 192.0.2.11',
    ],
  ],
  [
    'an alias can be asked for itself',
    'www.corp.example',
    'CNAME',
    'NOERROR',
    ['www.corp.example 30 CNAME web.corp.example'],
  ],
  [
    'an alias of a missing name ends in its denial (RFC 6604 §3)',
    'broken.corp.example',
    'A',
    'NXDOMAIN',
    ['broken.corp.example 30 CNAME lost.corp.example'],
    'corp.example',
  ],
  ['an alias may lead elsewhere', 'away.corp.example', 'A', 'NOERROR', ['away.corp.example 30 CNAME www.example.org']],
  ['an alias of itself fails', 'loop.corp.example', 'A', 'SERVFAIL', []],
  [
    'ANY gets one type (RFC 8482 §4.1)',
    'kubernetes.default.svc.cluster.local',
    'ANY',
    'NOERROR',
    ['kubernetes.default.svc.cluster.local 5 A 10.96.0.1'],
  ],
];

for (const [title, name, type, rcode, answers, soa] of lookups) {
  test(title, () => {
    const found = zones.lookup(name, type);
    assert.equal(found.rcode, rcode);
    assert.deepEqual(found.answers.map(brief), answers);
    assert.deepEqual(
      found.authorities.map((record) => record.name),
      soa === undefined ? [] : [soa],
    );
  });
}

test('a SRV answer brings the addresses of its targets', () => {
  const { additionals } = zones.lookup('_sql._tcp.db.demo.svc.cluster.local', 'SRV');
  assert.deepEqual(additionals.map(brief), [
    'db-0.db.demo.svc.cluster.local 5 A 10.244.0.10',
    '10-244-0-11.db.demo.svc.cluster.local 5 A 10.244.0.11',
    'fd00--0.db.demo.svc.cluster.local 5 AAAA fd00::',
  ]);
});

test('a denial may be kept no longer than a record', () => {
  const [soa] = zones.lookup('nope.cluster.local', 'A').authorities;
  assert.ok(soa?.type === 'SOA');
  assert.deepEqual([soa.ttl, soa.data.minimum, soa.data.serial], [5, 5, 7]);
});
