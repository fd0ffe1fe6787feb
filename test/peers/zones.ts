/** What the upstream server of the differential test knows: a little of everything that names can have. */

const strings = (count: number, length: number) =>
  Array.from({ length: count }, (_, at) => `"${String(at).padStart(4, '0')}${'x'.repeat(length - 4)}"`).join(' ');
const big = (name: string, records: number) =>
  Array.from({ length: records }, (_, at) => `${name} 300 IN TXT "record ${at}" ${strings(4, 250)}`);

const soa = (zone: string) => `${zone} 3600 IN SOA ns.${zone} admin.${zone} 7 3600 600 86400 120`.replaceAll('..', '.');

/** Zones by name. Of `sub.example` its parent knows a delegation alone. */
export const zones: Readonly<Record<string, string>> = {
  'example.': [
    soa('example.'),
    'example. 3600 IN NS ns.example.',
    'example. 300 IN MX 10 mail.example.',
    'example. 300 IN MX 20 mail2.example.',
    'example. 300 IN TXT "v=spf1 -all"',
    'example. 300 IN CAA 0 issue "ca.example"',
    'ns.example. 3600 IN A 127.0.0.1',
    'mail.example. 300 IN A 192.0.2.25',
    'mail.example. 300 IN AAAA 2001:db8::25',
    'mail2.example. 300 IN A 192.0.2.26',
    'www.example. 300 IN A 192.0.2.1',
    'www.example. 300 IN A 192.0.2.2',
    'www.example. 300 IN A 192.0.2.3',
    'www.example. 300 IN AAAA 2001:db8::1',
    'www.example. 300 IN HTTPS 1 . alpn=h2',
    'alias.example. 300 IN CNAME www.example.',
    ...Array.from({ length: 8 }, (_, at) => `chain${at}.example. ${60 + at} IN CNAME chain${at + 1}.example.`),
    'chain8.example. 300 IN A 192.0.2.8',
    'to-sub.example. 300 IN CNAME www.sub.example.',
    'to-other.example. 300 IN CNAME host.other.',
    'dangling.example. 300 IN CNAME nowhere.example.',
    'dangling-away.example. 300 IN CNAME nowhere.other.',
    'to-nodata.example. 300 IN CNAME text.example.',
    'loop1.example. 300 IN CNAME loop2.example.',
    'loop2.example. 300 IN CNAME loop1.example.',
    'self.example. 300 IN CNAME self.example.',
    'tree.example. 300 IN DNAME other.',
    'text.example. 300 IN TXT "one" "two"',
    'empty-text.example. 300 IN TXT ""',
    '*.wild.example. 300 IN A 192.0.2.9',
    '*.wild.example. 300 IN TXT "from a wildcard"',
    '*.wild-alias.example. 300 IN CNAME www.example.',
    'a.below.nothing.example. 300 IN A 192.0.2.10',
    'zero.example. 0 IN A 192.0.2.11',
    'short.example. 5 IN A 192.0.2.12',
    'long.example. 604800 IN A 192.0.2.13',
    'uneven.example. 300 IN A 192.0.2.14',
    '_http._tcp.example. 300 IN SRV 0 5 80 www.example.',
    '_http._tcp.example. 300 IN SRV 1 5 80 mail.example.',
    'naptr.example. 300 IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example!" .',
    'tlsa.example. 300 IN TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
    'sshfp.example. 300 IN SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
    'loc.example. 300 IN LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m',
    'svcb.example. 300 IN SVCB 1 www.example. port=8443',
    'unknown.example. 300 IN TYPE65534 \\# 4 deadbeef',
    'unknown.example. 300 IN TYPE12345 \\# 0',
    'unknown.example. 300 IN TYPE1234 \\# 12 c00cc00c0000ffffc00cffff',
    'a\\.dot.example. 300 IN A 192.0.2.15',
    'a\\032space.example. 300 IN A 192.0.2.16',
    '\\200\\255\\000octets.example. 300 IN A 192.0.2.17',
    `${'l'.repeat(63)}.example. 300 IN A 192.0.2.18`,
    `${Array.from({ length: 118 }, () => 'a').join('.')}.example. 300 IN A 192.0.2.19`,
    ...Array.from({ length: 40 }, (_, at) => `many.example. 300 IN A 198.51.100.${at}`),
    ...Array.from({ length: 9 }, (_, at) => `extras.example. 300 IN SRV 0 ${at} 80 target${at}.example.`),
    ...Array.from({ length: 9 }, (_, at) => `target${at}.example. 300 IN A 192.0.2.${50 + at}`),
    ...Array.from({ length: 24 }, (_, at) => `edge.example. 300 IN AAAA 2001:db8::e:${at}`),
    ...big('text1k.example.', 1),
    ...big('text4k.example.', 4),
    ...big('text20k.example.', 20),
    ...big('text60k.example.', 60),
    'sub.example. 3600 IN NS ns.sub.example.',
    'ns.sub.example. 3600 IN A 127.0.0.1',
    '',
  ].join('\n'),
  'sub.example.': [
    soa('sub.example.'),
    'sub.example. 3600 IN NS ns.sub.example.',
    'ns.sub.example. 3600 IN A 127.0.0.1',
    'www.sub.example. 300 IN A 192.0.2.30',
    'back.sub.example. 300 IN CNAME alias.example.',
    '',
  ].join('\n'),
  'other.': [
    soa('other.'),
    'other. 3600 IN NS ns.other.',
    'ns.other. 3600 IN A 127.0.0.1',
    'host.other. 300 IN A 192.0.2.40',
    'www.other. 300 IN A 192.0.2.41',
    '',
  ].join('\n'),
  'cluster.local.': [
    soa('cluster.local.'),
    'cluster.local. 3600 IN NS ns.cluster.local.',
    'ns.cluster.local. 3600 IN A 127.0.0.1',
    'kubernetes.default.svc.cluster.local. 30 IN A 10.96.0.1',
    'web.shop.svc.cluster.local. 30 IN A 10.244.0.7',
    'web.shop.svc.cluster.local. 30 IN A 10.244.0.8',
    '_http._tcp.web.shop.svc.cluster.local. 30 IN SRV 0 50 80 10-244-0-7.web.shop.svc.cluster.local.',
    '10-244-0-7.web.shop.svc.cluster.local. 30 IN A 10.244.0.7',
    'external.shop.svc.cluster.local. 30 IN CNAME www.example.',
    '',
  ].join('\n'),
  '10.in-addr.arpa.': [
    soa('10.in-addr.arpa.'),
    '10.in-addr.arpa. 3600 IN NS ns.other.',
    '1.0.96.10.in-addr.arpa. 30 IN PTR kubernetes.default.svc.cluster.local.',
    '',
  ].join('\n'),
  // Without a root of its own it would ask those of the Internet.
  '.': [
    soa('.'),
    '. 3600 IN NS ns.other.',
    ...['example.', 'other.', 'cluster.local.', '10.in-addr.arpa.'].map((zone) => `${zone} 3600 IN NS ns.other.`),
    'ns.other. 3600 IN A 127.0.0.1',
    '',
  ].join('\n'),
};

/** Its owners, as they are asked for, and names beside them. */
export const names: readonly string[] = [
  ...new Set(
    Object.values(zones)
      .flatMap((text) => text.split('\n'))
      .map((line) => line.split(' ')[0] ?? '')
      .filter((name) => name !== '' && !/[*\\]/.test(name)),
  ),
  ...['x.wild.example.', 'a.b.wild.example.', 'wild.example.', 'x.wild-alias.example.', 'below.nothing.example.'],
  ...['nowhere.example.', 'x.nowhere.example.', 'no.such.name.other.', 'nowhere.cluster.local.', 'nowhere.'],
  ...['www.tree.example.', 'host.tree.example.', 'nowhere.tree.example.', 'nowhere.sub.example.', 'other.invalid.'],
  ...[
    'localhost.',
    'a.localhost.',
    'invalid.',
    'x.onion.',
    'api.example.shop.svc.cluster.local.',
    'xn--nxasmq6b.example.',
  ],
  ...[
    '2.0.96.10.in-addr.arpa.',
    '1.168.192.in-addr.arpa.',
    'home.arpa.',
    'id.server.',
    'version.bind.',
    'hostname.bind.',
  ],
];
