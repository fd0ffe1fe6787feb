/** Cases of what the node answers itself, and of the servers that a profile names; see ./profile-cases.ts. */
import type { ProfileCase } from './profile-cases.ts';

const notBoth = 'a target is either addresses or a serviceRef';
const cloud = { namespace: 'emulator', name: 'cloud' };
const notAnAddress = 'addresses are IP addresses without a port';

/** Of an authority that signs nothing. */
const certificate = [
  '-----BEGIN CERTIFICATE-----',
  'MIIBnDCCAUGgAwIBAgIUFa5r0p8QTvwDUK6iu9iHDYdnWGUwCgYIKoZIzj0EAwIw',
  'IjEgMB4GA1UEAwwXbG9jYWxkbnMgdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIxMTU1',
  'OTQ0WhgPMjEyNjEwMjgxNTU5NDRaMCIxIDAeBgNVBAMMF2xvY2FsZG5zIHRlc3Qg',
  'YXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkWuHPyObxxZy/1E0',
  'hVkbbSmv8XlaREp26iRbfViP6j3wXdYaIWrjjX5hxMouMSiufdKqEAR7FUL/Pmy5',
  'MnL5PaNTMFEwHQYDVR0OBBYEFNn/LVUVAvHoNVYdqT1uDrBK57wQMB8GA1UdIwQY',
  'MBaAFNn/LVUVAvHoNVYdqT1uDrBK57wQMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZI',
  'zj0EAwIDSQAwRgIhALyVvPDBJIZQybcU1hECMYHLcZxdBch5vNAy0Zs40/TDAiEA',
  'pbKsa+xQtLRvLcE2PVeWD1Y6Hp135czXfrAn88WOgsg=',
  '-----END CERTIFICATE-----',
].join('\n');

export const answerCases: readonly ProfileCase[] = [
  { title: 'a cache of its own size', spec: { cache: { maxBytes: '64Mi', prefetch: false, warmRestart: false } } },
  { title: 'names of search paths', spec: { searchPath: 'Spec' } },
  {
    title: 'search paths in a way that there is not',
    spec: { searchPath: 'Enabled' },
    refused: { field: 'spec.searchPath', message: 'nsupported value' },
  },
  { title: 'a cache in octets', spec: { cache: { maxBytes: '1048576' } } },
  ...(
    [
      ['100Ki', 'at least 1Mi'],
      ['5Gi', 'at most 4Gi'],
      ['64MB', 'should match'],
    ] as const
  ).map(
    ([maxBytes, message]): ProfileCase => ({
      title: `a cache of ${maxBytes}`,
      spec: { cache: { maxBytes } },
      refused: { field: 'spec.cache.maxBytes', message },
    }),
  ),
  {
    title: 'all that is answered on the node',
    spec: {
      redirects: [
        {
          name: 'localstack',
          match: {
            exact: ['a.example'],
            suffixes: ['localhost.localstack.cloud'],
            patterns: ['.*(ecr|lambda).*\\.example'],
          },
          except: { exact: ['b.example'], suffixes: ['sts.example'], patterns: ['x+'] },
          target: { addresses: ['10.0.0.1', '2001:db8::1'] },
          ttlSeconds: 0,
          otherTypes: 'Forward',
        },
      ],
      hosts: [{ hostnames: ['db.example', 'db'], addresses: ['10.0.0.2'], ttlSeconds: 5 }],
      blockedDomains: [{ domain: 'ads.example', response: 'NullAddress' }, { domain: 'example' }],
      protection: {
        rebind: {
          mode: 'Enforce',
          allowedDomains: ['amazonaws.com'],
          allowLoopback: false,
          extraPrefixes: ['203.0.113.0/24', '2001:db8::/32'],
        },
        privateReverse: { mode: 'NxDomain' },
        singleLabelNames: { mode: 'NxDomain' },
      },
    },
  },
  ...(
    [
      ['a mode that there is not', { mode: 'NxDomain' }, 'mode', 'nsupported value'],
      [
        'a domain with a star',
        { mode: 'Report', allowedDomains: ['*.example'] },
        'allowedDomains[0]',
        'malformed: write',
      ],
      ...['192.0.2.0', '192.0.2.0/33', '192.0.2.0/024', 'corp/8', '2001:db8::/129'].map(
        (prefix) =>
          [
            `${prefix} as a network`,
            { mode: 'Report', extraPrefixes: ['10.0.0.0/8', prefix] },
            'extraPrefixes[1]',
            'prefixes are networks, such as 203.0.113.0/24 or 2001:db8::/32',
          ] as const,
      ),
    ] as const
  ).map(
    ([title, rebind, field, message]): ProfileCase => ({
      title: `protection from rebinding with ${title}`,
      spec: { protection: { rebind } },
      refused: { field: `spec.protection.rebind.${field}`, message },
    }),
  ),
  ...(
    [
      ['no names to match', { match: {} }, 'match', 'a redirect needs names to match'],
      ['no target', { target: {} }, 'target', notBoth],
      ['two targets', { target: { addresses: ['192.0.2.1'], serviceRef: cloud } }, 'target', notBoth],
      [
        'a Service in capitals',
        { target: { serviceRef: { ...cloud, name: 'Cloud' } } },
        'target.serviceRef.name',
        'malformed: write',
      ],
      [
        'a Service of no namespace',
        { target: { serviceRef: { name: 'cloud' } } },
        'target.serviceRef.namespace',
        'equired',
      ],
      [
        'addresses of nodes',
        { target: { serviceRef: { ...cloud, addressesFrom: 'NodePort' } } },
        'target.serviceRef.addressesFrom',
        'nsupported value',
      ],
      ['a target that is no address', { target: { addresses: ['localstack'] } }, 'target.addresses[0]', notAnAddress],
      ['a name in capitals', { match: { exact: ['A.example'] } }, 'match.exact[0]', 'malformed: write'],
      ['other types of its own', { otherTypes: 'Drop' }, 'otherTypes', 'nsupported value'],
    ] as const
  ).map(
    ([title, change, field, message]): ProfileCase => ({
      title: `a redirect with ${title}`,
      spec: {
        redirects: [{ name: 'a', match: { suffixes: ['example'] }, target: { addresses: ['192.0.2.1'] }, ...change }],
      },
      refused: { field: `spec.redirects[0].${field}`, message },
    }),
  ),
  {
    title: 'a redirect to the load balancer of a Service',
    spec: {
      redirects: [
        {
          name: 'a',
          match: { exact: ['a.example'] },
          target: { serviceRef: { ...cloud, addressesFrom: 'LoadBalancer' } },
        },
      ],
    },
  },
  // What is no pattern is for the operator to judge, for which no schema can.
  {
    title: 'a redirect to a Service, by what is no pattern',
    spec: { redirects: [{ name: 'a', match: { patterns: ['(?=x)'] }, target: { serviceRef: cloud } }] },
  },
  {
    title: 'two redirects of one name',
    spec: {
      redirects: ['a.example', 'b.example'].map((name) => ({
        name: 'twice',
        match: { exact: [name] },
        target: { addresses: ['192.0.2.1'] },
      })),
    },
    refused: { field: 'spec.redirects[1]', message: 'Duplicate value' },
  },
  {
    title: 'a host without a real address',
    spec: { hosts: [{ hostnames: ['db.example'], addresses: ['192.0.2.1:53'] }] },
    refused: { field: 'spec.hosts[0].addresses[0]', message: notAnAddress },
  },
  {
    title: 'a blocked domain that is no domain',
    spec: { blockedDomains: [{ domain: '*.ads.example' }] },
    refused: { field: 'spec.blockedDomains[0].domain', message: 'malformed: write' },
  },
  {
    title: 'upstreams with a preset, with TLS and with a budget',
    spec: {
      upstreams: [
        { name: 'vpc', preset: 'AwsVpc' },
        { name: 'azure', preset: 'Azure', queryBudget: { perSecond: 100 } },
        { name: 'onprem', servers: ['192.0.2.1', '[2001:db8::1]:8853'], tls: { serverName: 'dns.corp.example' } },
        { name: 'by-address', servers: ['192.0.2.2'], tls: { serverName: '192.0.2.2', caBundle: certificate } },
        {
          name: 'slow',
          servers: ['192.0.2.3'],
          queryBudget: { perSecond: 5, burst: 1, onExceeded: 'ServeStaleOrServFail' },
        },
      ],
    },
  },
  ...(
    [
      ['servers and a preset', { servers: ['192.0.2.1'], preset: 'Gcp' }, '', 'either servers or a preset'],
      ['neither servers nor a preset', {}, '', 'either servers or a preset'],
      ['a preset and tls', { preset: 'AwsVpc', tls: { serverName: 'a' } }, '.tls', 'do not speak TLS'],
      ['an unknown preset', { preset: 'Aws' }, '.preset', 'nsupported value'],
      ['a budget of nothing', { preset: 'Gcp', queryBudget: { perSecond: 0 } }, '.queryBudget.perSecond', 'at least 1'],
      [
        'no certificate for a caBundle',
        { servers: ['192.0.2.1'], tls: { serverName: 'a', caBundle: 'PEM' } },
        '.tls.caBundle',
        'holds certificates in PEM',
      ],
      [
        'a name with a port',
        { servers: ['192.0.2.1'], tls: { serverName: 'dns.example:853' } },
        '.tls.serverName',
        'malformed: write',
      ],
    ] as const
  ).map(
    ([title, upstream, field, message]): ProfileCase => ({
      title: `an upstream with ${title}`,
      spec: { upstreams: [{ name: 'a', ...upstream }] },
      refused: {
        field: `spec.upstreams[0]${field}`,
        message,
        ...(message === 'at least 1' && { apiMessage: 'should be greater than or equal to 1' }),
      },
    }),
  ),
  {
    title: 'a rollout of its own pace',
    spec: {
      rollout: {
        maxUnavailable: 3,
        canary: { nodes: 0, soakSeconds: 0 },
        autoRollback: false,
        paused: true,
        probes: ['kubernetes.default.svc.cluster.local', 'a.example'],
        healthFactor: 150,
      },
    },
  },
  { title: 'a rollout by shares', spec: { rollout: { maxUnavailable: '25%' } } },
  ...(
    [
      ['no node at once', { maxUnavailable: 0 }, '.maxUnavailable', 'at least 1', 'greater than or equal to 1'],
      ['a share of nothing', { maxUnavailable: '0%' }, '.maxUnavailable', 'should match'],
      ['more than all', { maxUnavailable: '101%' }, '.maxUnavailable', 'should match'],
      ['a number in quotes', { maxUnavailable: '3' }, '.maxUnavailable', 'should match'],
      [
        'a share that is neither',
        { maxUnavailable: true },
        '.maxUnavailable',
        'must be a number or a percentage',
        'must be',
      ],
      ['less than no canary', { canary: { nodes: -1 } }, '.canary.nodes', 'at least 0', 'greater than or equal to 0'],
      [
        'a soak of a week',
        { canary: { soakSeconds: 604_800 } },
        '.canary.soakSeconds',
        'at most 86400',
        'less than or equal to 86400',
      ],
      ['a probe that is no name', { probes: ['https://a.example'] }, '.probes[0]', 'malformed: write'],
      ['a probe named twice', { probes: ['a.example', 'a.example'] }, '.probes[1]', 'Duplicate value'],
      [
        'a factor that forbids what was',
        { healthFactor: 99 },
        '.healthFactor',
        'at least 100',
        'greater than or equal to 100',
      ],
    ] as const
  ).map(
    ([title, rollout, field, message, apiMessage]): ProfileCase => ({
      title: `a rollout with ${title}`,
      spec: { rollout },
      refused: { field: `spec.rollout${field}`, message, ...(apiMessage !== undefined && { apiMessage }) },
    }),
  ),
];
