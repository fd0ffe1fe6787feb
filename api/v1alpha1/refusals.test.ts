/** What a person reads for each kind of bad input that documentation names, word for word: the field, what is wrong, and the remedy. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sampleBlock, sampleConfig } from '../../test/fake/node-config.ts';
import { apiVersion } from './labels.ts';
import { parseNodeConfig } from './node-config.ts';
import { formatFieldError, parseProfile, validateProfileSpec } from './profile-validation.ts';

const to = (forwardDestination: string) => ({ forwardDestination });
const server = (...servers: string[]) => ({ upstreams: [{ name: 'a', servers }] });
const longZone = `${`${'a'.repeat(49)}.`.repeat(5)}abcd`;
const zone =
  'zones are lower-case domain names without a trailing dot, such as corp.example, or "." for everything else';
const domainName = 'write a domain name in lower case without a trailing dot, such as corp.example';
const toVnet =
  "the cluster domain and what is below it cannot be forwarded to VnetDNS, because the node's resolvers do not know it: set forwardDestination to ClusterCoreDNS or to an upstream";
const loop =
  "a zone outside the cluster domain cannot be forwarded to ClusterCoreDNS here, because cluster DNS asks the node's resolvers in turn, which is a loop: set forwardDestination to VnetDNS or to an upstream";
const undeclared =
  'forwardDestination names an upstream that is not declared: declare it in upstreams, or use ClusterCoreDNS or VnetDNS';
const ownAddress =
  'an upstream cannot be an address that LocalDNS itself listens on, which is a loop: name the real resolver';
const notAServer =
  'servers are IP addresses with an optional port: 192.0.2.1, 192.0.2.1:53, 2001:db8::1 or [2001:db8::1]:53';
const notAListener = 'listener addresses are unicast IP addresses without a port, such as 169.254.10.11';
const notAnAddress = 'addresses are IP addresses without a port, such as 192.0.2.1 or 2001:db8::1';

const nobody =
  'a server is at a unicast address: unspecified, multicast and broadcast addresses such as 0.0.0.0, :: and 224.0.0.1 are nobody in particular';
const twice = 'a server stands twice: one without a port is asked at port 53, or with tls at 853';
const notABundle =
  'caBundle holds certificates in PEM, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, at least one';
const certificate = readFileSync(join(import.meta.dirname, '../../test/fake/tls/ca.crt'), 'utf8');
const pem = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
const bundle = (caBundle: string) => ({
  upstreams: [{ name: 'a', servers: ['192.0.2.1'], tls: { serverName: 'a', caBundle } }],
});

for (const [title, spec, ...lines] of [
  [
    'an unknown word',
    { mode: 'Maybe' },
    'spec.mode: unsupported value "Maybe": supported values are "Required", "Preferred", "Disabled"',
  ],
  [
    'an unknown word of a server block',
    { kubeDNSOverrides: { '.': { serveStale: 'Disabled' } } },
    'spec.kubeDNSOverrides["."].serveStale: unsupported value "Disabled": supported values are "Verify", "Immediate", "Disable"',
  ],
  [
    'a negative number',
    { vnetDNSOverrides: { 'a.example': { ...to('VnetDNS'), maxConcurrent: -1 } } },
    'spec.vnetDNSOverrides["a.example"].maxConcurrent: -1 is too small: should be at least 0',
  ],
  ['a field that there is not', { upstrems: [] }, 'spec.upstrems: unknown field: is it misspelt?'],
  [
    'a malformed zone',
    { kubeDNSOverrides: { 'Corp.example.': {} } },
    `spec.kubeDNSOverrides["Corp.example."]: ${zone}`,
  ],
  [
    'names that are not in lower case, or none',
    {
      blockedDomains: [{ domain: '.' }],
      hosts: [{ hostnames: ['Db.example'], addresses: ['192.0.2.1'] }],
      redirects: [{ name: 'R', match: { suffixes: ['a.example.'] }, target: { addresses: ['192.0.2.1'] } }],
      upstreams: [{ name: 'a', servers: ['192.0.2.1'], tls: { serverName: 'DNS.example' } }],
    },
    `spec.upstreams[0].tls.serverName: "DNS.example" is malformed: write a domain name in lower case without a trailing dot, such as dns.corp.example, or an IP address`,
    `spec.redirects[0].name: "R" is malformed: write lower-case letters and digits, with hyphens between them`,
    `spec.redirects[0].match.suffixes[0]: "a.example." is malformed: ${domainName}`,
    `spec.hosts[0].hostnames[0]: "Db.example" is malformed: ${domainName}`,
    `spec.blockedDomains[0].domain: "." is malformed: ${domainName}`,
  ],
  ['a malformed server', server('192.0.2.1', 'dns.example'), `spec.upstreams[0].servers[1]: ${notAServer}`],
  [
    'a malformed listener',
    { listeners: { node: { addresses: ['169.254.10.10:53'] } } },
    `spec.listeners.node.addresses[0]: ${notAListener}`,
  ],
  [
    'malformed addresses of hosts and redirects',
    {
      hosts: [{ hostnames: ['a.example'], addresses: ['192.0.2.1', 'b.example'] }],
      redirects: [{ name: 'a', match: { exact: ['a.example'] }, target: { addresses: ['192.0.2.1:80'] } }],
    },
    `spec.redirects[0].target.addresses[0]: ${notAnAddress}`,
    `spec.hosts[0].addresses[1]: ${notAnAddress}`,
  ],
  [
    'the cluster domain, to the node’s resolvers',
    { kubeDNSOverrides: { 'cluster.local': to('VnetDNS') } },
    `spec.kubeDNSOverrides["cluster.local"]: ${toVnet}`,
  ],
  ['another zone, by whole labels', { kubeDNSOverrides: { 'notcluster.local': to('VnetDNS') } }],
  [
    'a zone of the node listener, to cluster DNS',
    { vnetDNSOverrides: { 'corp.example': to('ClusterCoreDNS') } },
    `spec.vnetDNSOverrides["corp.example"]: ${loop}`,
  ],
  ['a listener among its own upstreams', server('169.254.10.10'), `spec.upstreams[0].servers[0]: ${ownAddress}`],
  [
    'a listener among its own upstreams, as an IPv6 address',
    server('::ffff:169.254.10.10', '[::ffff:a9fe:a0b]:53'),
    `spec.upstreams[0].servers[0]: ${notAServer}`,
    `spec.upstreams[0].servers[1]: ${notAServer}`,
  ],
  [
    'servers that nobody is',
    server('0.0.0.0', '::', '224.0.0.1', '255.255.255.255:53', '[ff02::fb]:53'),
    ...[0, 1, 2, 3, 4].map((at) => `spec.upstreams[0].servers[${at}]: ${nobody}`),
  ],
  [
    'a server with its port and without',
    server('1.2.3.4', '1.2.3.4:53', '2001:db8::1', '[2001:DB8:0::1]'),
    `spec.upstreams[0].servers[1]: ${twice}`,
    `spec.upstreams[0].servers[3]: ${twice}`,
  ],
  ['certificates', bundle(`The company's\n${certificate}And again\n${certificate}`)],
  ...['', 'junk', pem('junk'), `${certificate}${pem('AAAA')}`, `${certificate}-----BEGIN CERTIFICATE-----\nMIIB`].map(
    (text) =>
      [
        `no certificates: ${JSON.stringify(text.slice(-60))}`,
        bundle(text),
        `spec.upstreams[0].tls.caBundle: ${notABundle}`,
      ] as const,
  ),
  [
    'an upstream that is not declared',
    { vnetDNSOverrides: { '.': to('onprem') } },
    `spec.vnetDNSOverrides["."]: ${undeclared}`,
  ],
  [
    'two upstreams of one name, one server twice',
    {
      upstreams: [
        { name: 'a', servers: ['192.0.2.1', '192.0.2.1'] },
        { name: 'a', servers: ['192.0.2.2'] },
      ],
    },
    'spec.upstreams[1]: Duplicate value: "a"',
    'spec.upstreams[0].servers[1]: Duplicate value: "192.0.2.1"',
  ],
  [
    'two redirects of one name, one domain blocked twice',
    {
      redirects: ['a.example', 'b.example'].map((name) => ({
        name: 'twice',
        match: { exact: [name] },
        target: { addresses: ['192.0.2.1'] },
      })),
      blockedDomains: [{ domain: 'ads.example' }, { domain: 'ads.example', response: 'NullAddress' }],
    },
    'spec.redirects[1]: Duplicate value: "twice"',
    'spec.blockedDomains[1]: Duplicate value: "ads.example"',
  ],
  [
    'an address of both listeners',
    { listeners: { cluster: { addresses: ['10.0.0.1'] }, node: { addresses: ['10.0.0.1'] } } },
    'spec.listeners.node.addresses[0]: an address can belong to one listener only: give listeners.cluster and listeners.node different addresses',
  ],
  [
    'no listener',
    { listeners: {} },
    'spec.listeners: name at least one of listeners.cluster and listeners.node, or use mode Disabled to serve nothing',
  ],
  [
    'an upstream of nothing',
    { upstreams: [{ name: 'a' }] },
    'spec.upstreams[0]: an upstream has either servers or a preset',
  ],
  [
    'a preset together with tls',
    { upstreams: [{ name: 'a', preset: 'AwsVpc', tls: { serverName: 'a' } }] },
    'spec.upstreams[0].tls: the resolvers of a preset do not speak TLS: leave out tls, or name servers that do in place of the preset',
  ],
  [
    'a redirect of nothing to nowhere',
    { redirects: [{ name: 'a', match: {}, target: {} }] },
    'spec.redirects[0].match: a redirect needs names to match: exact, suffixes or patterns',
    'spec.redirects[0].target: a target is either addresses or a serviceRef',
  ],
  [
    'how many nodes change at once, of no number',
    { rollout: { maxUnavailable: [] } },
    'spec.rollout.maxUnavailable: must be a number or a percentage such as 10%, not []',
  ],
  [
    'a network that is none',
    { protection: { rebind: { mode: 'Enforce', extraPrefixes: ['203.0.113.0'] } } },
    'spec.protection.rebind.extraPrefixes[0]: prefixes are networks, such as 203.0.113.0/24 or 2001:db8::/32',
  ],
  [
    'a zone whose name is too long',
    { kubeDNSOverrides: { [longZone]: {} } },
    `spec.kubeDNSOverrides["${longZone}"]: its name is too large: should be at most 253 characters`,
    `spec.kubeDNSOverrides["${longZone}"]: ${zone}`,
  ],
  [
    'a cache that is too small',
    { cache: { maxBytes: '100Ki' } },
    'spec.cache.maxBytes: cache.maxBytes is at least 1Mi and at most 4Gi',
  ],
  [
    'a cache that is too large',
    { cache: { maxBytes: '5Gi' } },
    'spec.cache.maxBytes: cache.maxBytes is at least 1Mi and at most 4Gi',
  ],
  [
    'a cache of no quantity',
    { cache: { maxBytes: '64MB' } },
    'spec.cache.maxBytes: "64MB" is malformed: it should match /^[1-9][0-9]{0,11}(Ki|Mi|Gi)?$/',
  ],
  [
    'requirements of a selector with values too few and too many',
    {
      nodeSelector: {
        matchExpressions: [
          { key: 'a', operator: 'In' },
          { key: 'b', operator: 'Exists', values: ['c'] },
        ],
      },
    },
    ...[0, 1].map(
      (at) =>
        `spec.nodeSelector.matchExpressions[${at}].values: In and NotIn need at least one value; Exists and DoesNotExist take none`,
    ),
  ],
  [
    'a word where a number is due',
    { kubeDNSOverrides: { '.': { maxConcurrent: 'many' } } },
    'spec.kubeDNSOverrides["."].maxConcurrent: must be of type number, not "many"',
  ],
  [
    'a boolean where a word is due, as YAML reads an unquoted one',
    { searchPath: true },
    'spec.searchPath: unsupported value true: supported values are "Disabled", "Report", "Spec"',
  ],
  [
    'a budget of nothing',
    { upstreams: [{ name: 'a', preset: 'Gcp', queryBudget: { perSecond: 0 } }] },
    'spec.upstreams[0].queryBudget.perSecond: 0 is too small: should be at least 1',
  ],
  [
    'what is not there and must be',
    { upstreams: [{ name: 'a', servers: ['192.0.2.1'], tls: {} }] },
    'spec.upstreams[0].tls.serverName: is required',
  ],
  [
    'names and addresses that stand twice',
    {
      listeners: { cluster: { addresses: ['10.0.0.1', '10.0.0.1'] } },
      protection: { rebind: { allowedDomains: ['a', 'a'], extraPrefixes: ['192.0.2.0/24', '192.0.2.0/24'] } },
      redirects: [{ name: 'a', match: { exact: ['a', 'a'] }, target: { addresses: ['192.0.2.1', '192.0.2.1'] } }],
      hosts: [{ hostnames: ['a.example', 'a.example'], addresses: ['192.0.2.1'] }],
    },
    'spec.listeners.cluster.addresses[1]: Duplicate value: "10.0.0.1"',
    'spec.protection.rebind.allowedDomains[1]: Duplicate value: "a"',
    'spec.protection.rebind.extraPrefixes[1]: Duplicate value: "192.0.2.0/24"',
    'spec.redirects[0].match.exact[1]: Duplicate value: "a"',
    'spec.redirects[0].target.addresses[1]: Duplicate value: "192.0.2.1"',
    'spec.hosts[0].hostnames[1]: Duplicate value: "a.example"',
  ],
] as const) {
  test(`a person is told of ${title}`, () => {
    assert.deepEqual(validateProfileSpec(spec).map(formatFieldError), lines);
  });
}

for (const name of ['none', 'a'.repeat(64)]) {
  test(`a person is told that no profile is called ${name.slice(0, 8)}`, () => {
    const parsed = parseProfile({ apiVersion, kind: 'LocalDnsProfile', metadata: { name }, spec: {} });
    assert.ok('errors' in parsed);
    assert.deepEqual(parsed.errors.map(formatFieldError), [
      `metadata.name: a profile's name stands as a label value on nodes: at most 63 characters, and not "none", which opts a node out`,
    ]);
  });
}

const config = sampleConfig();
const [listener] = config.listeners;
for (const [title, change, error] of [
  ['a format of tomorrow', { formatVersion: 2 }, 'configuration format 2 is not known here, only 1: upgrade the agent'],
  ['a field of tomorrow', { unheardOf: [] }, ': Unrecognized key: "unheardOf"'],
  [
    'no root zone',
    { listeners: [{ ...listener, serverBlocks: [sampleBlock({ zone: 'a' })] }] },
    `listener ${listener?.name} has no root zone`,
  ],
  [
    'a destination that there is not',
    { listeners: [{ ...listener, serverBlocks: [sampleBlock(to('lost'))] }] },
    `zone . of listener ${listener?.name} is forwarded to lost, which is not defined`,
  ],
  [
    'a server that nobody is',
    { upstreams: [{ name: 'a', servers: ['224.0.0.1:53'] }] },
    'upstreams.0.servers.0: must be a unicast IP address with a port',
  ],
  [
    'certificates that it cannot read',
    { upstreams: [{ name: 'a', servers: ['192.0.2.1:53'], tls: { serverName: 'a', caBundle: pem('junk') } }] },
    `upstreams.0.tls.caBundle: ${notABundle}`,
  ],
  [
    'a pattern that it cannot build',
    {
      redirects: [
        {
          ...{ name: 'a', addresses: ['192.0.2.1'], ttlSeconds: 1, otherTypes: 'NoData' },
          match: { exact: [], suffixes: [], patterns: ['(?=x)'] },
          except: { exact: [], suffixes: [], patterns: [] },
        },
      ],
    },
    'redirects.0.match.patterns.0: not a pattern of the RE2 syntax: invalid or unsupported Perl syntax at character 1: (?=',
  ],
  [
    'a pattern that costs too much',
    {
      redirects: [
        {
          ...{ name: 'a', addresses: ['192.0.2.1'], ttlSeconds: 1, otherTypes: 'NoData' },
          match: { exact: ['a'], suffixes: [], patterns: [] },
          except: { exact: [], suffixes: [], patterns: ['a', '.*[a-m].{12}x'] },
        },
      ],
    },
    'redirects.0.except.patterns.1: too costly: its machine would have more than 4096 states, or take too long to make, for which the count at character 9 is to blame: {12}',
  ],
  [
    'a network that is none',
    { privateReverse: { exceptRanges: ['10.0.0.0/33'] } },
    'privateReverse.exceptRanges.0: must be a network: an IP address, a slash and a number of bits',
  ],
] as const) {
  test(`an agent refuses ${title}, and says so`, () => {
    assert.deepEqual(parseNodeConfig({ ...config, ...change }), { error });
  });
}
