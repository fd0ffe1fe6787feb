import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice } from '../../kube/endpoint-slice.ts';
import { readyEndpoints } from './cluster-dns.ts';

const ports = [
  { name: 'metrics', port: 9153, protocol: 'TCP' },
  { name: 'dns', port: 53, protocol: 'UDP' },
  { name: 'dns-tcp', port: 53, protocol: 'TCP' },
];
const slice = (parts: Partial<EndpointSlice>): EndpointSlice => ({
  metadata: { name: 'kube-dns-abcde' },
  addressType: 'IPv4',
  ports: [{ name: 'dns-tcp', port: 53, protocol: 'TCP' }],
  ...parts,
});

test('the ready endpoints of all slices are the servers, sorted, each once', () => {
  const slices = [
    slice({
      endpoints: [
        { addresses: ['10.0.0.9'], conditions: { ready: true } },
        { addresses: ['10.0.0.3'], conditions: { ready: false } },
        { addresses: ['10.0.0.4'] },
        { addresses: ['10.0.0.5'], conditions: {} },
      ],
    }),
    slice({ endpoints: [{ addresses: ['10.0.0.9'], conditions: { ready: true } }] }),
    slice({ addressType: 'IPv6', endpoints: [{ addresses: ['2001:db8::3'] }] }),
  ];
  deepEqual(readyEndpoints(slices), ['10.0.0.4:53', '10.0.0.5:53', '10.0.0.9:53', '[2001:db8::3]:53']);
});

test('names are no servers, and slices may hold nothing', () => {
  deepEqual(readyEndpoints([slice({ addressType: 'FQDN', endpoints: [{ addresses: ['dns.example'] }] })]), []);
  deepEqual(readyEndpoints([slice({}), slice({ endpoints: [] })]), []);
  deepEqual(readyEndpoints([]), []);
});

test('the port is the one for DNS, whatever stands beside it', () => {
  const endpoints = [{ addresses: ['10.0.0.4'] }];
  deepEqual(readyEndpoints([slice({ endpoints, ports: [{ name: 'dns-tcp', port: 5353, protocol: 'TCP' }] })]), [
    '10.0.0.4:5353',
  ]);
  deepEqual(readyEndpoints([slice({ endpoints, ports: [{ name: 'dns', port: 5353, protocol: 'UDP' }] })]), [
    '10.0.0.4:5353',
  ]);
  deepEqual(readyEndpoints([slice({ endpoints, ports })]), ['10.0.0.4:53']);
  const udpAlone = [
    { name: 'metrics', port: 9153, protocol: 'TCP' },
    { name: 'dns', port: 5353, protocol: 'UDP' },
  ];
  deepEqual(readyEndpoints([slice({ endpoints, ports: udpAlone })]), ['10.0.0.4:5353']);
  deepEqual(readyEndpoints([slice({ endpoints, ports: [] })]), ['10.0.0.4:53']);
});
