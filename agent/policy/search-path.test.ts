import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameFromText, nameToText } from '../wire/name.ts';
import { ruledOutBy } from './search-path.ts';

const domain = nameFromText('cluster.local');
const by = (name: string) => {
  const found = ruledOutBy(nameFromText(name), domain);
  return found === undefined ? undefined : nameToText(found).slice(0, -1);
};

for (const name of [
  'cluster.local',
  'svc.cluster.local',
  'pod.cluster.local',
  'dns-version.cluster.local',
  'ns.dns.cluster.local',
  'ns1.svc.cluster.local',
  'kubernetes.default.svc.cluster.local',
  'web-0.web.shop.svc.cluster.local',
  '10-244-1-5.web.shop.svc.cluster.local',
  '_tcp.web.shop.svc.cluster.local',
  '_http._tcp.web.shop.svc.cluster.local',
  '10-244-1-5.shop.pod.cluster.local',
  // CoreDNS has these as well.
  'http.tcp.web.shop.svc.cluster.local',
  '_peer.udp.web.shop.svc.cluster.local',
  'a.b.10-244-1-5.shop.pod.cluster.local',
  // A search path makes these of names with one or two dots; by the grammar they may be a Service's.
  'example.com.shop.svc.cluster.local',
  'api.example.com.svc.cluster.local',
]) {
  test(`${name} can exist`, () => assert.equal(by(name), undefined));
}

for (const [name, ruling] of [
  ['api.example.com.shop.svc.cluster.local', 'shop.svc.cluster.local'],
  ['a.b.c.example.com.shop.svc.cluster.local', 'shop.svc.cluster.local'],
  ['http.tcp4.web.shop.svc.cluster.local', 'shop.svc.cluster.local'],
  ['_a._http._tcp.web.shop.svc.cluster.local', 'shop.svc.cluster.local'],
  ['a.tcp.b.web.shop.svc.cluster.local', 'shop.svc.cluster.local'],
  ['_x._http.web.shop.svc.cluster.local', 'shop.svc.cluster.local'],
  ['a.b.c.10-244-1-5.shop.pod.cluster.local', 'shop.pod.cluster.local'],
  ['example.com.cluster.local', 'com.cluster.local'],
  ['com.cluster.local', 'com.cluster.local'],
  ['x.dns-version.cluster.local', 'dns-version.cluster.local'],
  ['a.ns.dns.cluster.local', 'dns.cluster.local'],
] as const) {
  test(`${name} cannot, because of ${ruling}`, () => assert.equal(by(name), ruling));
}

test('names that are not below the cluster domain are nobody’s business here', () => {
  for (const name of ['example.com', 'local', 'mycluster.local', 'a.mycluster.local'])
    assert.equal(by(name), undefined);
  // A label that holds the octets of the domain.
  assert.equal(ruledOutBy(`\x0fx${domain.slice(0, -1)}\0`, domain), undefined);
});
