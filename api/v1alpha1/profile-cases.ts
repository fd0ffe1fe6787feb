/**
 * Specs that the schema and its rules accept and refuse: one table for our own validation and for a real API server, which
 * must agree. Read by tests alone.
 */

import { answerCases } from './answer-cases.ts';

export interface ProfileCase {
  title: string;
  /** Metadata beside the name that the test gives. */
  name?: string;
  spec: Record<string, unknown>;
  /** Absent: accepted. */
  refused?: {
    /** The field that our validation names. */
    field: string;
    /** Part of the message, ours and the API server's. */
    message: string;
    /** Where the API server words it differently (schema errors are its own); of what we put in words, it shows the pattern. */
    apiMessage?: string;
  };
}

const zoneNames = 'zones are lower-case domain names without a trailing dot';
const toVnet = 'cannot be forwarded to VnetDNS';
const loop = 'cannot be forwarded to ClusterCoreDNS here';
const undeclared = 'names an upstream that is not declared';
const servers = 'servers are IP addresses with an optional port';
const ownAddress = 'an upstream cannot be an address that LocalDNS itself listens on';
const listenerAddress = 'listener addresses are unicast IP addresses without a port';
const selectorValues = 'In and NotIn need at least one value';

const onprem = { upstreams: [{ name: 'onprem', servers: ['192.168.1.100'] }] };
const refusedServer = (server: string, title: string): ProfileCase => ({
  title,
  spec: { upstreams: [{ name: 'a', servers: [server] }] },
  refused: { field: 'spec.upstreams[0].servers[0]', message: servers },
});
const refusedZone = (zone: string, title: string): ProfileCase => ({
  title,
  spec: { kubeDNSOverrides: { [zone]: {} } },
  refused: { field: `spec.kubeDNSOverrides[${JSON.stringify(zone)}]`, message: zoneNames },
});

export const profileCases: readonly ProfileCase[] = [
  { title: 'an empty spec', spec: {} },
  { title: 'every mode', spec: { mode: 'Required', priority: -5 } },
  {
    title: 'every protocol and every way to serve stale',
    spec: {
      kubeDNSOverrides: {
        '.': { protocol: 'PreferUDP', serveStale: 'Verify' },
        'cluster.local': { protocol: 'ForceTCP', serveStale: 'Verify' },
        'corp.example': { protocol: 'PreferTCP', serveStale: 'Disable' },
      },
    },
  },
  {
    title: 'all fields of a server block',
    spec: {
      ...onprem,
      nodeSelector: {
        matchLabels: { agentpool: 'np1' },
        matchExpressions: [
          { key: 'zone', operator: 'In', values: ['a', 'b'] },
          { key: 'gpu', operator: 'DoesNotExist' },
        ],
      },
      listeners: { cluster: { addresses: ['169.254.10.11', 'fdcd:6c64:6e73::11'] }, node: {} },
      kubeDNSOverrides: {
        '.': {
          queryLogging: 'Log',
          protocol: 'PreferUDP',
          forwardDestination: 'ClusterCoreDNS',
          forwardPolicy: 'RoundRobin',
          maxConcurrent: 0,
          cacheDurationInSeconds: 0,
          negativeCacheDurationInSeconds: 0,
          serveStaleDurationInSeconds: 0,
          serveStale: 'Disable',
        },
        'corp.example': { forwardDestination: 'onprem' },
        '_msdcs.corp.example': { forwardDestination: 'onprem' },
      },
    },
  },
  {
    title: 'servers in every notation',
    spec: {
      upstreams: [
        { name: 'a', servers: ['192.0.2.1', '192.0.2.1:5353', '2001:db8::1', '[2001:db8::3]:53', '[2001:db8::2]'] },
      ],
    },
  },
  {
    title: 'a zone that only looks like the cluster domain, to VnetDNS',
    spec: { kubeDNSOverrides: { 'notcluster.local': { forwardDestination: 'VnetDNS' } } },
  },
  {
    title: 'the cluster domain of the node listener, to cluster DNS',
    spec: { vnetDNSOverrides: { 'cluster.local': {}, 'svc.cluster.local': { forwardDestination: 'ClusterCoreDNS' } } },
  },
  {
    title: 'the root zone of the cluster listener, to VnetDNS',
    spec: { kubeDNSOverrides: { '.': { forwardDestination: 'VnetDNS' } } },
  },
  { title: 'one listener alone', spec: { listeners: { cluster: { addresses: ['10.0.0.10'] } } } },
  {
    title: 'another cluster domain',
    spec: {
      clusterDomain: 'k8s.corp.example',
      kubeDNSOverrides: { 'cluster.local': { forwardDestination: 'VnetDNS' } },
    },
  },

  ...answerCases,
  {
    title: 'an unknown mode',
    spec: { mode: 'Maybe' },
    refused: { field: 'spec.mode', message: 'supported values' },
  },
  ...(
    [
      ['queryLogging', 'Debug'],
      ['protocol', 'TCP'],
      ['protocol', 'PreferTcp'],
      ['forwardPolicy', 'sequential'],
      ['serveStale', 'Disabled'],
    ] as const
  ).map(
    ([field, value]): ProfileCase => ({
      title: `${field} with an unknown value`,
      spec: { vnetDNSOverrides: { '.': { [field]: value } } },
      refused: { field: `spec.vnetDNSOverrides["."].${field}`, message: 'supported values' },
    }),
  ),
  ...(
    [
      'maxConcurrent',
      'cacheDurationInSeconds',
      'negativeCacheDurationInSeconds',
      'serveStaleDurationInSeconds',
    ] as const
  ).map(
    (field): ProfileCase => ({
      title: `a negative ${field}`,
      spec: { kubeDNSOverrides: { '.': { [field]: -1 } } },
      refused: {
        field: `spec.kubeDNSOverrides["."].${field}`,
        message: 'should be at least 0',
        apiMessage: 'should be greater than or equal to 0',
      },
    }),
  ),
  {
    title: 'a word where a number is due',
    spec: { kubeDNSOverrides: { '.': { maxConcurrent: 'many' } } },
    refused: { field: 'spec.kubeDNSOverrides["."].maxConcurrent', message: 'must be of type' },
  },
  {
    title: 'a field that does not exist',
    spec: { kubeDNSOverrides: { '.': { protocl: 'ForceTCP' } } },
    refused: { field: 'spec.kubeDNSOverrides["."].protocl', message: 'unknown field' },
  },
  refusedZone('Corp.example', 'a zone in capitals'),
  refusedZone('corp.example.', 'a zone with a trailing dot'),
  refusedZone('corp..example', 'a zone with an empty label'),
  refusedZone('*.corp.example', 'a zone with a wildcard'),
  refusedZone(`${'a'.repeat(64)}.example`, 'a zone with a label over 63 octets'),
  {
    title: 'a malformed zone of the node listener',
    spec: { vnetDNSOverrides: { 'corp example': {} } },
    refused: { field: 'spec.vnetDNSOverrides["corp example"]', message: zoneNames },
  },
  {
    title: 'the cluster domain of the cluster listener, to VnetDNS',
    spec: { kubeDNSOverrides: { 'cluster.local': { forwardDestination: 'VnetDNS' } } },
    refused: { field: 'spec.kubeDNSOverrides["cluster.local"]', message: toVnet },
  },
  {
    title: 'a zone below the cluster domain, to VnetDNS',
    spec: { kubeDNSOverrides: { 'svc.cluster.local': { forwardDestination: 'VnetDNS' } } },
    refused: { field: 'spec.kubeDNSOverrides["svc.cluster.local"]', message: toVnet },
  },
  {
    title: 'a zone below the cluster domain that takes VnetDNS from the root zone',
    spec: { kubeDNSOverrides: { '.': { forwardDestination: 'VnetDNS' }, 'svc.cluster.local': {} } },
    refused: { field: 'spec.kubeDNSOverrides["svc.cluster.local"]', message: toVnet },
  },
  {
    title: 'the cluster domain of the node listener, to VnetDNS',
    spec: { vnetDNSOverrides: { 'cluster.local': { forwardDestination: 'VnetDNS' } } },
    refused: { field: 'spec.vnetDNSOverrides["cluster.local"]', message: toVnet },
  },
  {
    title: 'a zone below the cluster domain of the node listener without a destination',
    spec: { vnetDNSOverrides: { 'svc.cluster.local': {} } },
    refused: { field: 'spec.vnetDNSOverrides["svc.cluster.local"]', message: toVnet },
  },
  {
    title: 'the root zone of the node listener, to cluster DNS',
    spec: { vnetDNSOverrides: { '.': { forwardDestination: 'ClusterCoreDNS' } } },
    refused: { field: 'spec.vnetDNSOverrides["."]', message: loop },
  },
  {
    title: 'a zone of the node listener that only looks like the cluster domain, to cluster DNS',
    spec: { vnetDNSOverrides: { 'notcluster.local': { forwardDestination: 'ClusterCoreDNS' } } },
    refused: { field: 'spec.vnetDNSOverrides["notcluster.local"]', message: loop },
  },
  {
    title: 'an undeclared upstream',
    spec: { kubeDNSOverrides: { 'corp.example': { forwardDestination: 'onprem' } } },
    refused: { field: 'spec.kubeDNSOverrides["corp.example"]', message: undeclared },
  },
  {
    title: 'an undeclared upstream beside a declared one',
    spec: { ...onprem, vnetDNSOverrides: { 'corp.example': { forwardDestination: 'onprem2' } } },
    refused: { field: 'spec.vnetDNSOverrides["corp.example"]', message: undeclared },
  },
  refusedServer('dns.corp.example', 'a server by name'),
  refusedServer('192.0.2.256', 'a server that is no IPv4 address'),
  refusedServer('192.0.2.1:0', 'port 0'),
  refusedServer('192.0.2.1:65536', 'a port over 65535'),
  refusedServer('192.0.2.1:', 'an empty port'),
  refusedServer('[192.0.2.1]:53', 'an IPv4 address in brackets'),
  refusedServer('[2001:db8::1]53', 'a port without its colon'),
  refusedServer('::ffff:169.254.10.10', 'an own address as an IPv6 one'),
  refusedServer('[::ffff:a9fe:a0a]:53', 'an own address as an IPv6 one, in hexadecimal'),
  refusedServer('fe80::1%eth0', 'a server with a zone'),
  ...[
    '0.0.0.0',
    '0.0.0.1:53',
    '::',
    '[::]:53',
    '224.0.0.1',
    '239.1.2.3:5353',
    '255.255.255.255',
    'ff02::fb',
    '[FF05::1]:53',
  ].map(
    (server): ProfileCase => ({
      title: `the server ${server}`,
      spec: { upstreams: [{ name: 'a', servers: ['192.0.2.1', server] }] },
      refused: { field: 'spec.upstreams[0].servers[1]', message: 'a server is at a unicast address' },
    }),
  ),
  ...(
    [
      ['192.0.2.1', '192.0.2.1:53'],
      ['2001:db8::1', '[2001:db8::1]:53'],
      ['[2001:db8::1]', '2001:db8::1'],
    ] as const
  ).map(
    (twice): ProfileCase => ({
      title: `${twice.join(' and ')} as two servers`,
      spec: { upstreams: [{ name: 'a', servers: ['192.0.2.9', ...twice] }] },
      refused: { field: 'spec.upstreams[0].servers[2]', message: 'a server stands twice' },
    }),
  ),
  {
    title: 'a server asked over TLS at its usual port and by number',
    spec: { upstreams: [{ name: 'a', servers: ['192.0.2.1:853', '192.0.2.1'], tls: { serverName: 'a' } }] },
    refused: { field: 'spec.upstreams[0].servers[1]', message: 'a server stands twice' },
  },
  {
    title: 'one server at two ports',
    spec: {
      upstreams: [
        { name: 'a', servers: ['192.0.2.1:53', '192.0.2.1'], tls: { serverName: 'a' } },
        { name: 'b', servers: ['192.0.2.1:5353', '192.0.2.1'] },
      ],
    },
  },
  {
    title: 'a listener address among the upstreams',
    spec: { upstreams: [{ name: 'self', servers: ['192.0.2.1', '169.254.10.11:53'] }] },
    refused: { field: 'spec.upstreams[0].servers[1]', message: ownAddress },
  },
  {
    title: 'a listener address among the upstreams in another spelling',
    spec: {
      listeners: { node: { addresses: ['fd00::10'] } },
      upstreams: [{ name: 'self', servers: ['[FD00:0:0::10]:53'] }],
    },
    refused: { field: 'spec.upstreams[0].servers[0]', message: ownAddress },
  },
  ...(
    [
      [
        'hosts',
        { hosts: [{ hostnames: ['a.example'], addresses: ['::ffff:192.0.2.1'] }] },
        'spec.hosts[0].addresses[0]',
      ],
      [
        'redirects',
        { redirects: [{ name: 'a', match: { exact: ['a.example'] }, target: { addresses: ['fe80::1%eth0'] } }] },
        'spec.redirects[0].target.addresses[0]',
      ],
    ] as const
  ).map(
    ([of, spec, field]): ProfileCase => ({
      title: `addresses of ${of} that no record holds`,
      spec,
      refused: { field, message: 'addresses are IP addresses without a port' },
    }),
  ),
  {
    title: 'two upstreams of one name',
    spec: {
      upstreams: [
        { name: 'a', servers: ['192.0.2.1'] },
        { name: 'a', servers: ['192.0.2.2'] },
      ],
    },
    refused: { field: 'spec.upstreams[1]', message: 'Duplicate value' },
  },
  {
    title: 'a server named twice',
    spec: { upstreams: [{ name: 'a', servers: ['192.0.2.1', '192.0.2.1'] }] },
    refused: { field: 'spec.upstreams[0].servers[1]', message: 'Duplicate value' },
  },
  {
    title: 'an upstream without servers',
    spec: { upstreams: [{ name: 'a', servers: [] }] },
    refused: {
      field: 'spec.upstreams[0].servers',
      message: 'should be at least 1 items',
      apiMessage: 'should have at least 1 items',
    },
  },
  {
    title: 'an upstream named as a built-in destination',
    spec: { upstreams: [{ name: 'VnetDNS', servers: ['192.0.2.1'] }] },
    refused: { field: 'spec.upstreams[0].name', message: 'malformed: write' },
  },
  ...[
    '169.254.10.11:53',
    '::ffff:169.254.10.10',
    'fe80::1%eth0',
    '240.0.0.1',
    '0.0.0.0',
    '::',
    '224.0.0.1',
    'ff02::1',
    'node',
  ].map(
    (address): ProfileCase => ({
      title: `listener address ${address}`,
      spec: { listeners: { node: { addresses: [address] } } },
      refused: { field: 'spec.listeners.node.addresses[0]', message: listenerAddress },
    }),
  ),
  {
    title: 'no listener at all',
    spec: { listeners: {} },
    refused: { field: 'spec.listeners', message: 'name at least one of' },
  },
  {
    title: 'one address for both listeners',
    spec: { listeners: { cluster: { addresses: ['10.0.0.1'] }, node: { addresses: ['10.0.0.1'] } } },
    refused: { field: 'spec.listeners.node.addresses[0]', message: 'an address can belong to one listener only' },
  },
  {
    title: 'one address for both listeners, in two spellings',
    spec: { listeners: { cluster: { addresses: ['10.0.0.1', 'FD00::0:1'] }, node: { addresses: ['fd00::1'] } } },
    refused: { field: 'spec.listeners.node.addresses[0]', message: 'an address can belong to one listener only' },
  },
  {
    title: 'addresses of listeners that differ in their family alone',
    spec: { listeners: { cluster: { addresses: ['10.0.0.1'] }, node: { addresses: ['::a00:1', 'a00:1::'] } } },
  },
  {
    title: 'a malformed cluster domain',
    spec: { clusterDomain: '.' },
    refused: { field: 'spec.clusterDomain', message: 'malformed: write' },
  },
  {
    title: 'In without values',
    spec: { nodeSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } },
    refused: { field: 'spec.nodeSelector.matchExpressions[0].values', message: selectorValues },
  },
  {
    title: 'Exists with values',
    spec: { nodeSelector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] } },
    refused: { field: 'spec.nodeSelector.matchExpressions[0].values', message: selectorValues },
  },
  {
    title: 'the name that opts nodes out',
    name: 'none',
    spec: {},
    refused: { field: 'metadata.name', message: "a profile's name stands as a label value" },
  },
  {
    title: 'a name too long for a label value',
    name: 'a'.repeat(64),
    spec: {},
    refused: { field: 'metadata.name', message: "a profile's name stands as a label value" },
  },
];
