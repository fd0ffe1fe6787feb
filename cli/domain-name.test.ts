import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isWithin } from '../api/v1alpha1/zone.ts';
import { ancestors, parseDomainName, reverseName } from './domain-name.ts';

test('names are taken with or without the trailing dot, and in any script', () => {
  const names = ['www.corp.example.', '_sql._tcp.db', '.', 'münchen.example'].map(parseDomainName);
  assert.deepEqual(names, [
    { name: 'www.corp.example' },
    { name: '_sql._tcp.db' },
    { name: '.' },
    { name: 'xn--mnchen-3ya.example' },
  ]);
});

test('what cannot go on the wire is refused', () => {
  const long = new Array(5).fill('x'.repeat(60)).join('.');
  for (const text of ['', 'a..b', '.a', 'x'.repeat(64), long, 'a b']) {
    const parsed = parseDomainName(text);
    assert.ok('error' in parsed, `${text} → ${JSON.stringify(parsed)}`);
  }
});

test('an address has its reverse name', () => {
  const zeros = '0.'.repeat(20);
  assert.equal(reverseName('192.0.2.10'), '10.2.0.192.in-addr.arpa');
  assert.equal(reverseName('2001:DB8::1234'), `4.3.2.1.${zeros}8.b.d.0.1.0.0.2.ip6.arpa`);
  assert.equal(reverseName('::ffff:192.0.2.1'), `1.0.2.0.0.0.0.c.f.f.f.f.${zeros}ip6.arpa`);
  assert.equal(reverseName('1::')?.length, 32 * 2 + 'ip6.arpa'.length);
  assert.equal(reverseName('192.0.2'), undefined);
});

test('a name is within a domain by whole labels', () => {
  assert.deepEqual(
    ['cluster.local', 'a.cluster.local', 'notcluster.local', 'local'].map((name) => isWithin(name, 'cluster.local')),
    [true, true, false, false],
  );
  assert.deepEqual(ancestors('a.b.c'), ['b.c', 'c']);
});
