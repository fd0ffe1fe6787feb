import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultProfileSpec } from './profile-defaults.ts';

const common = {
  queryLogging: 'Error',
  forwardPolicy: 'Sequential',
  maxConcurrent: 1000,
  cacheDurationInSeconds: 3600,
  serveStaleDurationInSeconds: 3600,
  serveStale: 'Immediate',
};

test('an empty spec gets both listeners, and the root zone and cluster domain in both maps', () => {
  const clusterDomain = {
    ...common,
    protocol: 'ForceTCP',
    forwardDestination: 'ClusterCoreDNS',
    negativeCacheDurationInSeconds: 5,
  };
  const root = { ...common, protocol: 'PreferUDP', negativeCacheDurationInSeconds: 30 };
  assert.deepEqual(defaultProfileSpec({}), {
    mode: 'Preferred',
    priority: 0,
    clusterDomain: 'cluster.local',
    listeners: {
      cluster: { addresses: ['169.254.10.11', 'fdcd:6c64:6e73::11'], intercept: true, tracked: false },
      node: { addresses: ['169.254.10.10', 'fdcd:6c64:6e73::10'], intercept: true, tracked: false },
    },
    kubeDNSOverrides: { '.': { ...root, forwardDestination: 'ClusterCoreDNS' }, 'cluster.local': clusterDomain },
    vnetDNSOverrides: { '.': { ...root, forwardDestination: 'VnetDNS' }, 'cluster.local': clusterDomain },
    upstreams: [],
    redirects: [],
    hosts: [],
    blockedDomains: [],
    searchPath: 'Disabled',
    cache: { maxBytes: '32Mi', prefetch: true, warmRestart: true },
    rollout: {
      maxUnavailable: '10%',
      canary: { nodes: 1, soakSeconds: 60 },
      autoRollback: true,
      paused: false,
      probes: [],
      healthFactor: 200,
    },
    protection: {
      rebind: { mode: 'Disabled', allowedDomains: [], allowLoopback: true, extraPrefixes: [] },
      privateReverse: { mode: 'Disabled' },
      singleLabelNames: { mode: 'Disabled' },
    },
  });
});

test('absent fields of a zone take the defaults, not those of the root zone; the destination alone is inherited', () => {
  const { kubeDNSOverrides } = defaultProfileSpec({
    kubeDNSOverrides: {
      '.': { forwardDestination: 'onprem', maxConcurrent: 5, serveStale: 'Disable' },
      'corp.example': {},
    },
    upstreams: [{ name: 'onprem', servers: ['192.0.2.1'] }],
  });
  assert.equal(kubeDNSOverrides['corp.example']?.forwardDestination, 'onprem');
  assert.equal(kubeDNSOverrides['cluster.local']?.forwardDestination, 'ClusterCoreDNS');
  assert.equal(kubeDNSOverrides['corp.example']?.maxConcurrent, 1000);
  assert.equal(kubeDNSOverrides['corp.example']?.serveStale, 'Immediate');
});

test('a listener that is not named is not opened; one without addresses gets its own default', () => {
  assert.deepEqual(defaultProfileSpec({ listeners: { node: {} } }).listeners, {
    node: { addresses: ['169.254.10.10', 'fdcd:6c64:6e73::10'], intercept: true, tracked: false },
  });
});

test('defaulting is idempotent, and servers get their port and canonical form', () => {
  const once = defaultProfileSpec({
    upstreams: [{ name: 'a', servers: ['192.0.2.1', '2001:DB8:0::1', '[2001:db8::2]:5353'] }],
  });
  assert.deepEqual(once.upstreams[0]?.servers, ['192.0.2.1:53', '[2001:db8::1]:53', '[2001:db8::2]:5353']);
  assert.deepEqual(defaultProfileSpec(once), once);
});

test("the resolvers of clouds are asked less often than the clouds' own pages allow", () => {
  const documented = { AwsVpc: 1_024, Azure: 1_000, Gcp: Number.POSITIVE_INFINITY };
  for (const [preset, limit] of Object.entries(documented) as [keyof typeof documented, number][]) {
    const [upstream] = defaultProfileSpec({ upstreams: [{ name: 'cloud', preset }] }).upstreams;
    const { perSecond, burst } = upstream?.queryBudget ?? { perSecond: 0, burst: 0 };
    assert.ok(perSecond + burst <= limit, preset);
    assert.equal(upstream?.queryBudget === undefined, limit === Number.POSITIVE_INFINITY, preset);
  }
});
