/**
 * Profiles that nobody would write: full to every limit, a megabyte large, in letters that are none of the DNS, with patterns that explode.
 * Each is refused by the API server or reported by the operator, and meanwhile a good one goes on to reach its nodes in seconds.
 */
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import type { Condition } from '../../api/v1alpha1/conditions.ts';
import { apiVersion, drainFinalizer, profileLabel } from '../../api/v1alpha1/labels.ts';
import type { KubeObject } from '../../kube/resource.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { Installation } from './installation.ts';
import type { Outcome } from './namespace.ts';
import { isTrue, type LocalDnsProfile } from './scene.ts';

const root = resolve(import.meta.dirname, '../..');
/** From an edit of the good profile to its nodes, with everything else going on. */
const promptlyMs = 5_000;
/** Until the operator says what it makes of a profile. */
const judgedMs = 20_000;

let cluster: ControlPlane;
let operator: Daemon;
let edits = 0;

before(async () => {
  cluster = await startControlPlane();
  const localdns = await Installation.create(cluster, { nodes: [] });
  await cluster.applyOk([
    ...['n1', 'n2'].map((name) => node(name, 'good')),
    // Selected by whatever is hostile.
    ...['h1', 'h2'].map((name) => node(name)),
  ]);
  cluster.startDaemon({
    name: 'agents',
    command: join(root, 'bin/node'),
    args: [join(import.meta.dirname, 'simulated-agents.ts'), await cluster.kubeconfigFor('admin')],
  });
  operator = localdns.startOperator();
  await goodReaches(30_000);
});

after(() => cluster?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(operator?.lastWords);
});

const some = <T>(length: number, make: (at: number) => T): T[] => Array.from({ length }, (_, at) => make(at));
/** A name of 253 characters. */
const longName = (at: number): string =>
  `${`${at}`.padEnd(61, 'a')}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(63)}`;
const certificate = (length: number): string =>
  `-----BEGIN CERTIFICATE-----\n${'A'.repeat(length)}\n-----END CERTIFICATE-----`;
const redirect = (at: number, match: object): object => ({
  name: `r${at}`,
  match,
  target: { addresses: ['192.0.2.1'] },
});

/** What the API server takes, and the operator has to deal with. */
const judged: readonly (readonly [string, object, (conditions: readonly Condition[]) => boolean])[] = [
  [
    'as many costly patterns as there is room for',
    {
      redirects: some(64, (at) => redirect(at, { patterns: some(64, (number) => `.*[ab].{200}|(x${at}y${number})`) })),
    },
    (conditions) => is(conditions, 'Accepted', 'True', 'PartiallyInvalid'),
  ],
  [
    'the same, and all or nothing',
    {
      mode: 'Required',
      redirects: some(64, (at) =>
        redirect(at, { patterns: some(64, (number) => `(.{1,20}){1,20}.*(x${at}y${number})`) }),
      ),
    },
    (conditions) => is(conditions, 'Accepted', 'False', 'Invalid'),
  ],
  [
    'as many long names as there is room for',
    {
      blockedDomains: some(1_024, (at) => ({ domain: longName(at) })),
      hosts: some(256, (at) => ({ hostnames: [longName(at)], addresses: ['192.0.2.1'] })),
    },
    (conditions) => is(conditions, 'Accepted', 'False', 'TooLarge'),
  ],
  [
    'a megabyte, most of it certificates',
    {
      upstreams: some(17, (at) => ({
        ...{ name: `u${at}`, servers: ['192.0.2.1'] },
        tls: { serverName: 'dns.example', caBundle: certificate(61_000) },
      })),
    },
    (conditions) => is(conditions, 'Accepted', 'False', 'Invalid'),
  ],
  [
    'a selector full of requirements',
    {
      nodeSelector: {
        matchLabels: Object.fromEntries(some(32, (at) => [`label-${at}`, 'x'.repeat(63)])),
        matchExpressions: some(32, (at) => ({
          ...{ key: `key-${at}`, operator: 'NotIn' },
          values: some(64, (value) => `v${value}`),
        })),
      },
    },
    (conditions) => is(conditions, 'Accepted', 'True'),
  ],
];

for (const [what, spec, isJudged] of judged) {
  test(`a profile with ${what} is judged, and holds nobody up`, async () => {
    const selected = { nodeSelector: { matchLabels: { pool: 'hostile' } } };
    const applied = cluster.create(profile('hostile', { ...selected, ...spec }));
    await goodReaches(promptlyMs);
    taken(await applied);
    await goodReaches(promptlyMs);
    await eventually(`${what}: it is judged`, judgedMs, async () => {
      const { conditions = [] } = (await cluster.get<LocalDnsProfile>('ldp/hostile'))?.status ?? {};
      if (isJudged(conditions)) return true;
      throw new Error(JSON.stringify(conditions.find(({ type }) => type === 'Accepted')));
    });
    await goodReaches(promptlyMs);
    await cluster.kubectlOk('delete', 'ldp/hostile', '--wait=false');
    await eventually('it is gone', 30_000, async () => (await cluster.get('ldp/hostile')) === undefined);
  });
}

test('many profiles full of patterns, and a Service that moves on and on, hold nobody up and cost no Lease', async () => {
  const cloud = { namespace: 'default', name: 'cloud' };
  const slice = (at: number): object => ({
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4', ports: [] },
    metadata: { ...cloud, labels: { 'kubernetes.io/service-name': cloud.name } },
    endpoints: [{ addresses: [`10.1.2.${at}`] }],
  });
  const ports = [{ port: 80 }];
  await cluster.applyOk([
    { apiVersion: 'v1', kind: 'Service', metadata: cloud, spec: { clusterIP: 'None', ports } },
    slice(1),
    ...some(24, (of) =>
      profile(`many-${of}`, {
        redirects: [
          {
            ...{ name: 'r', target: { serviceRef: cloud } },
            match: { patterns: some(64, (at) => `[a-z0-9-]{3,63}${of}x${at}\\.[a-z]{1,40}`) },
          },
        ],
      }),
    ),
  ]);
  await goodReaches(promptlyMs);
  const isJudged = async (of: number) => {
    const { conditions = [] } = (await cluster.get<LocalDnsProfile>(`ldp/many-${of}`))?.status ?? {};
    return is(conditions, 'Accepted', 'True');
  };
  for (let of = 0; of < 24; of++) await eventually(`many-${of} is judged`, judgedMs, () => isJudged(of));
  for (let at = 2; at < 6; at++) {
    await cluster.applyOk([slice(at)]);
    const sinceMs = performance.now();
    await goodReaches(promptlyMs);
    console.log(`after the Service moved an edit took ${Math.round(performance.now() - sinceMs)} ms`);
  }
  assert.doesNotMatch(operator.log, /not leading any more|KUBE_FENCED/);
  await cluster.kubectlOk('delete', 'ldp', ...some(24, (of) => `many-${of}`), '--wait=false');
});

test('a profile that leaves no room for a status is served and deleted like any other', async () => {
  // A spec of that size is refused, and labels are bounded by what etcd takes alone.
  const large = (name: string, count: number): object => {
    const labels = Object.fromEntries(some(count, (at) => [`k${10_000 + at}`, 'x'.repeat(63)]));
    return { apiVersion, kind: 'LocalDnsProfile', metadata: { name, labels }, spec: {} };
  };
  const profiles = `/apis/${apiVersion}/localdnsprofiles`;
  let [most, tooMany] = [15_000, 20_000];
  while (tooMany - most > 1) {
    const count = (most + tooMany) >> 1;
    const { status } = await cluster.post(profiles, large(`large-${count}`, count));
    if (status === 201) most = count;
    else tooMany = count;
    if (status === 201) await cluster.kubectlOk('delete', `ldp/large-${count}`, '--wait=false');
  }
  // Room for a finalizer, and for the time of the deletion.
  assert.equal((await cluster.post(profiles, large('large', most - 8))).status, 201);
  await eventually('its status is refused', judgedMs, () => /request is too large/.test(operator.log));
  const { metadata, status } = (await cluster.get<LocalDnsProfile & KubeObject>('ldp/large')) ?? {};
  assert.deepEqual([metadata?.finalizers, status], [[drainFinalizer], undefined]);
  await goodReaches(promptlyMs);
  await cluster.kubectlOk('delete', 'ldp/large', '--wait=false');
  await eventually('it is gone', 10_000, async () => (await cluster.get('ldp/large')) === undefined);
});

/** What does not get so far. */
const refused: Readonly<Record<string, object>> = {
  'a zone in Cyrillic': { kubeDNSOverrides: { 'пример.example': {} } },
  'a blocked emoji': { blockedDomains: [{ domain: '💥.example' }] },
  'a host with a zero-width space': { hosts: [{ hostnames: ['a\u200bb.example'], addresses: ['192.0.2.1'] }] },
  'one more blocked domain than there may be': { blockedDomains: some(1_025, (at) => ({ domain: `d${at}.example` })) },
  'one more redirect': { redirects: some(65, (at) => redirect(at, { suffixes: ['a.example'] })) },
  'a pattern that is too long': { redirects: [redirect(0, { patterns: ['a'.repeat(513)] })] },
  'one more upstream': { upstreams: some(33, (at) => ({ name: `u${at}`, servers: ['192.0.2.1'] })) },
  'more than etcd takes': {
    upstreams: some(32, (at) => ({
      ...{ name: `u${at}`, servers: ['192.0.2.1'] },
      tls: { serverName: 'dns.example', caBundle: certificate(65_000) },
    })),
  },
};

for (const [what, spec] of Object.entries(refused)) {
  test(`${what} is refused by the API server`, async () => {
    const { code, stderr } = await cluster.create(profile('hostile', spec));
    assert.notEqual(code, 0, 'it was taken');
    assert.notEqual(stderr.trim(), '');
    assert.equal(await cluster.get('ldp/hostile'), undefined);
  });
}

test('a name in other letters, or a long one, is refused, and a label that names nothing holds nobody up', async () => {
  for (const name of ['профиль', '-', 'a'.repeat(64), 'None']) {
    assert.notEqual((await cluster.create(profile(name, {}))).code, 0, name);
  }
  await cluster.kubectlOk('label', 'node/h1', `${profileLabel}=no-such-profile`);
  await goodReaches(promptlyMs);
  operator.assertRunning();
});

test('hundreds of profiles with selectors full to their limits, and a thousand nodes, hold nobody up and cost no Lease', async () => {
  const hostname = 'kubernetes.io/hostname';
  await inParts(1_000, (at) => {
    const metadata = { name: `many-${at}`, labels: { [hostname]: `a-node-of-many-${at}` } };
    return cluster.post('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata });
  });
  const full = (of: number, last: object) => [
    ...some(31, (at) => ({
      ...{ key: hostname, operator: 'NotIn' },
      values: some(64, (value) => `a-node-of-many-${value}x${at}x${of}`),
    })),
    last,
  ];
  await inParts(200, (of) => {
    // Some of them lay claim to whatever there is, with the same priority; what the others ask for is found out last.
    const last =
      of < 20 ? { key: `no-such-${of}`, operator: 'DoesNotExist' } : { key: hostname, operator: 'DoesNotExist' };
    const spec = { mode: 'Disabled', nodeSelector: { matchExpressions: full(of, last) } };
    return cluster.post(`/apis/${apiVersion}/localdnsprofiles`, profile(`full-${of}`, spec));
  });
  await goodReaches(judgedMs);
  for (let edit = 0; edit < 3; edit++) {
    const sinceMs = performance.now();
    await goodReaches(promptlyMs);
    console.log(`among them an edit took ${Math.round(performance.now() - sinceMs)} ms`);
  }
  const { conditions = [] } = (await cluster.get<LocalDnsProfile>('ldp/full-0'))?.status ?? {};
  assert.ok(is(conditions, 'Conflicted', 'True'));
  assert.doesNotMatch(operator.log, /not leading any more|KUBE_FENCED/);
});

async function inParts(count: number, make: (at: number) => Promise<{ readonly status: number }>): Promise<void> {
  for (let done = 0; done < count; done += 20) {
    const made = await Promise.all(some(Math.min(20, count - done), (at) => make(done + at)));
    assert.deepEqual(new Set(made.map(({ status }) => status)), new Set([201]));
  }
}

function node(name: string, served?: string): object {
  const labels = { pool: served ?? 'hostile', ...(served !== undefined && { [profileLabel]: served }) };
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } };
}

function profile(name: string, spec: object): object {
  return { apiVersion, kind: 'LocalDnsProfile', metadata: { name }, spec };
}

function taken({ code, stderr }: Outcome): void {
  assert.equal(code, 0, stderr);
}

function is(conditions: readonly Condition[], type: string, status: string, reason?: string): boolean {
  const found = conditions.find((condition) => condition.type === type);
  return found?.status === status && (reason === undefined || found.reason === reason);
}

/** An edit of the good profile is on its nodes. */
async function goodReaches(withinMs: number): Promise<void> {
  edits += 1;
  const rollout = { maxUnavailable: '100%', canary: { nodes: 0, soakSeconds: 0 } };
  await cluster.applyOk([profile('good', { blockedDomains: [{ domain: `edit-${edits}.example` }], rollout })]);
  await eventually(`edit ${edits} is in force`, withinMs, async () => {
    operator.assertRunning();
    const good = await cluster.get<LocalDnsProfile>('ldp/good');
    const { observedGeneration, conditions, nodes } = good?.status ?? {};
    if (observedGeneration !== good?.metadata.generation) return false;
    return isTrue(conditions, 'Programmed') && nodes?.ready === 2;
  });
}
