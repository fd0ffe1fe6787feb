/**
 * What only the operator can judge, on a real control plane: redirects to Services, which come and go, and patterns. Each test goes
 * on from where the one before it has left the cluster.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { profileLabel } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import { answerOf, clusterListener, type LocalDnsProfile, promptlyMs, type Scene, startWithPolicies } from './scene.ts';

const cloud = { namespace: 'emulator', name: 'cloud' };
const redirected = 'api.cloud.example';
const redirects = [
  { name: 'service', match: { suffixes: ['cloud.example'] }, target: { serviceRef: cloud } },
  { name: 'pattern', match: { patterns: ['(?=x)', 'good[.]example'] }, target: { addresses: ['192.0.2.50'] } },
];
const patternError =
  'spec.redirects[1].match.patterns[0]: not a pattern of the RE2 syntax: invalid or unsupported Perl syntax at character 1: (?=';
const serviceError = 'spec.redirects[0].target.serviceRef: Service emulator/cloud does not exist';

let scene: Scene;

before(async () => {
  scene = await startWithPolicies();
  await scene.cluster.applyOk([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: cloud.namespace } }]);
});

after(() => scene?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(scene?.lastWords);
});

async function acceptance(): Promise<string> {
  const profile = await scene.cluster.get<LocalDnsProfile>('ldp/default');
  const accepted = profile?.status?.conditions?.find(({ type }) => type === 'Accepted');
  const isCurrent = profile?.status?.observedGeneration === profile?.metadata.generation;
  return isCurrent ? `${accepted?.status} ${accepted?.reason}: ${accepted?.message}` : 'not seen yet';
}

const accepted = (wanted: string) =>
  eventually(`Accepted is ${wanted}`, 20_000, async () => (await acceptance()).startsWith(wanted));
const answers = (name: string, address: string) =>
  eventually(`${name} leads to ${address}`, promptlyMs + 1_000, async () => {
    return (await scene.addressOf(clusterListener, name)) === address;
  });

async function applyService(clusterIP: string, type = 'ClusterIP'): Promise<void> {
  await scene.cluster.kubectlOk('delete', '--ignore-not-found', '-n', cloud.namespace, `service/${cloud.name}`);
  const spec = { type, clusterIP, ports: [{ port: 4566 }] };
  await scene.cluster.applyOk([{ apiVersion: 'v1', kind: 'Service', metadata: cloud, spec }]);
}

test('network policies are followed, whatever the API server lets people write', async () => {
  await scene.applyProfile({});
  await scene.label('n1', profileLabel, 'default');
  const dnsPods = { podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } };
  const peers = { cluster: { namespaceSelector: { matchLabels: { team: 'platform' } }, ...dnsPods } };
  const policy = (name: string, ...to: object[]) => ({
    ...{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace: cloud.namespace } },
    spec: { podSelector: {}, policyTypes: ['Egress'], egress: [{ to, ports: [{ protocol: 'UDP', port: 53 }] }] },
  });
  const hindrance = async (): Promise<string> => {
    const { status } = (await scene.cluster.get<LocalDnsProfile>('ldp/default')) ?? {};
    const found = status?.conditions?.find(({ type }) => type === 'NetworkPolicyConflict');
    return `${found?.status} ${found?.message}`;
  };
  const becomes = (wanted: RegExp) => eventually(`${wanted}`, 10_000, async () => wanted.test(await hindrance()));
  await becomes(/^False /);
  const sloppy = { ipBlock: { cidr: '169.254.010.0/24', except: ['169.254.010.128/25'] } };
  await scene.cluster.applyOk([policy('dns', peers.cluster, sloppy)]);
  await scene.cluster.kubectlOk('label', 'namespace/kube-system', 'team=platform');
  await becomes(/^True .* emulator\/dns: (?!.*169\.254)/);
  await scene.applyProfile({ blockedDomains: [{ domain: 'blocked.example' }] });
  await eventually('an edit goes out', 10_000, async () =>
    JSON.stringify((await scene.localDnsNode('n1'))?.spec.config).includes('blocked.example'),
  );
  await scene.cluster.kubectlOk('delete', 'networkpolicy/dns', '-n', cloud.namespace);
  await becomes(/^False /);
});

test('Preferred serves what is good, names each field that is not, and says so in an Event', async () => {
  await scene.applyProfile({ redirects });
  await scene.label('n1', profileLabel, 'default');
  await accepted('True PartiallyInvalid');
  assert.equal(
    await acceptance(),
    `True PartiallyInvalid: ${serviceError}; ${patternError}. This is left out, and the rest is served.`,
  );
  await eventually('the agent serves', 10_000, () => scene.applied());
  await answers('good.example', '192.0.2.50');
  assert.equal(await scene.addressOf(clusterListener, redirected), answerOf.clusterDns);
  await eventually('the Event is there', 20_000, async () => {
    const list = await scene.cluster.get<{ items: { reason: string; regarding?: { name: string } }[] }>(
      'events.events.k8s.io',
    );
    return list?.items.some(({ reason, regarding }) => reason === 'PartiallyInvalid' && regarding?.name === 'default');
  });
});

test('when the Service comes the names lead to its address at once, and to the new one when it changes', async () => {
  await applyService('10.96.0.50');
  await answers(redirected, '10.96.0.50');
  await accepted(`True PartiallyInvalid: ${patternError}.`);
  await applyService('10.96.0.51');
  await answers(redirected, '10.96.0.51');
});

test('of a headless Service the names lead to the ready endpoints, and nowhere else where there are none', async () => {
  await applyService('None');
  const slice = (ready: boolean, address = '10.240.0.77') => ({
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
    metadata: { ...cloud, labels: { 'kubernetes.io/service-name': cloud.name } },
    endpoints: [{ addresses: [address], conditions: { ready } }],
    ports: [{ port: 4566 }],
  });
  await scene.cluster.applyOk([slice(true)]);
  await answers(redirected, '10.240.0.77');
  // As no agent takes it, and the API server does.
  await scene.cluster.applyOk([slice(true, '010.240.0.078')]);
  await answers(redirected, '10.240.0.78');
  await scene.cluster.applyOk([slice(false)]);
  await eventually('the names have no address', promptlyMs + 1_000, async () => {
    return (await scene.addressOf(clusterListener, redirected)) === undefined;
  });
});

test('by choice the names lead to the load balancer, and what it lacks is said of the field', async () => {
  const serviceRef = { ...cloud, addressesFrom: 'LoadBalancer' };
  const toBalancer = [{ name: 'service', match: { suffixes: ['cloud.example'] }, target: { serviceRef } }];
  const complaint = (message: string) => `True PartiallyInvalid: spec.redirects[0].target.serviceRef: ${message}. This`;
  const ingress = (...list: object[]) =>
    scene.cluster.kubectlOk(
      ...['patch', '-n', cloud.namespace, `service/${cloud.name}`, '--subresource=status', '--type=merge'],
      ...['-p', JSON.stringify({ status: { loadBalancer: { ingress: list } } })],
    );

  await applyService('10.96.0.50');
  await scene.applyProfile({ redirects: toBalancer });
  await accepted(complaint('Service emulator/cloud is of type ClusterIP, which has no load balancer'));
  await applyService('10.96.0.50', 'LoadBalancer');
  await accepted(complaint('the load balancer of Service emulator/cloud has no address yet'));
  assert.equal(await scene.addressOf(clusterListener, redirected), answerOf.clusterDns);
  await ingress({ ip: '198.51.100.80' });
  await answers(redirected, '198.51.100.80');
  await accepted('True Valid');
  await ingress({ hostname: 'x.example' }, { ip: '198.051.100.081' });
  await answers(redirected, '198.51.100.81');
  await ingress({ hostname: 'x.example' });
  await accepted(complaint('the load balancer of Service emulator/cloud has a name (x.example) and no address'));
  await answers(redirected, answerOf.clusterDns);
});

test('Required refuses the whole, and the node keeps its last good configuration', async () => {
  await scene.applyProfile({ redirects });
  await applyService('10.96.0.50');
  await answers(redirected, '10.96.0.50');
  const before = await scene.localDnsNode('n1');
  await scene.applyProfile({ mode: 'Required', redirects, blockedDomains: [{ domain: 'good.example' }] });
  // The canary of the edit before it soaks still.
  await accepted(`False Invalid: ${patternError}. Meanwhile default-v1-`);
  assert.match(await acceptance(), /, which was accepted last, is rolled out\.$/);
  assert.equal((await scene.localDnsNode('n1'))?.spec.revision, before?.spec.revision);
  assert.equal(await scene.addressOf(clusterListener, 'good.example'), '192.0.2.50');

  const [service] = redirects;
  await scene.applyProfile({ mode: 'Required', redirects: [service] });
  await accepted('True Valid');
  await scene.cluster.kubectlOk('delete', '-n', cloud.namespace, `service/${cloud.name}`);
  await accepted(`False Invalid: ${serviceError}. Meanwhile default-v1-`);
  assert.equal(await scene.addressOf(clusterListener, redirected), '10.96.0.50');
});

test('what nodes keep under Required follows the rest of the cluster meanwhile', async () => {
  await applyService('10.96.0.50');
  const other = { namespace: cloud.namespace, name: 'other' };
  const slice = (address: string) => ({
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4', ports: [] },
    metadata: { ...other, labels: { 'kubernetes.io/service-name': other.name } },
    endpoints: [{ addresses: [address] }],
  });
  const spec = { clusterIP: 'None', ports: [{ port: 4566 }] };
  await scene.cluster.applyOk([{ apiVersion: 'v1', kind: 'Service', metadata: other, spec }, slice('10.1.2.3')]);
  const toOther = { name: 'other', match: { suffixes: ['other.example'] }, target: { serviceRef: other } };
  await scene.applyProfile({ mode: 'Required', redirects: [redirects[0], toOther] });
  await accepted('True Valid');
  await answers('api.other.example', '10.1.2.3');
  await scene.cluster.kubectlOk('delete', '-n', cloud.namespace, `service/${cloud.name}`);
  await accepted(`False Invalid: ${serviceError}. Meanwhile default-v1-`);
  await scene.cluster.applyOk([slice('10.1.2.4')]);
  await answers('api.other.example', '10.1.2.4');
  assert.equal(await scene.addressOf(clusterListener, redirected), '10.96.0.50');
});

test('names of pods and Services are excepted from privateReverse, by what the API server says of them', async () => {
  const podCidrs = ['10.244.3.0/24', '010.5.0.0/24', '0.0.0.0/0'];
  await scene.cluster.applyOk(
    podCidrs.map((podCIDR, at) => ({
      ...{ apiVersion: 'v1', kind: 'Node', metadata: { name: `p${at}` } },
      spec: { podCIDRs: [podCIDR], podCIDR },
    })),
  );
  await scene.applyProfile({ protection: { privateReverse: { mode: 'NxDomain' } } });
  const config = await eventually('the ranges are rendered', 20_000, async () => {
    const node = await scene.localDnsNode('n1');
    return (node?.spec.config as { privateReverse?: { exceptRanges: string[] } } | undefined)?.privateReverse;
  });
  const { stdout } = await scene.cluster.kubectl('get', 'servicecidrs', '-o', 'jsonpath={.items[*].spec.cidrs[*]}');
  const services = stdout.trim() === '' ? ['10.96.0.0/12'] : stdout.trim().split(' ');
  assert.deepEqual(config.exceptRanges, ['10.244.0.0/16', '10.5.0.0/16', ...services].sort());
});
