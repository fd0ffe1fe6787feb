import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type ClusterDns, everyName } from './cluster-dns.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

let cluster: ControlPlane;
let dns: ClusterDns;
const kubernetes = 'kubernetes.default.svc.cluster.local';

before(async () => {
  const startedAt = performance.now();
  cluster = await startControlPlane();
  const apiMs = performance.now() - startedAt;
  dns = await cluster.startClusterDns({
    extraZones: { 'example.test': everyName('192.0.2.7') },
  });
  console.log(
    `API server ready after ${Math.round(apiMs)} ms, DNS after ${Math.round(performance.now() - startedAt)} ms`,
  );
});

after(() => cluster?.stop());

test('CoreDNS answers from the real API server over both transports, and counts each', async () => {
  const before = await dns.requests('cluster.local.');
  for (const transport of ['udp', 'tcp', 'tcp'] as const) {
    const { rcode, answers } = await cluster.namespace.ask({ server: dns.address, name: kubernetes, transport });
    assert.equal(rcode, 'NOERROR');
    assert.deepEqual(answers, [{ name: kubernetes, type: 'A', ttl: 30, data: '10.96.0.1' }]);
  }
  const now = await dns.requests('cluster.local.');
  assert.deepEqual({ udp: now.udp - before.udp, tcp: now.tcp - before.tcp }, { udp: 1, tcp: 2 });
});

test('dig is answered', async () => {
  const { stdout } = await cluster.run('dig', [`@${dns.address}`, '+short', '+tries=1', 'www.example.test']);
  assert.equal(stdout.trim(), '192.0.2.7');
});

test('the cluster DNS is published as the Service kube-dns with its EndpointSlice', async () => {
  const { answers } = await cluster.namespace.ask({
    server: dns.address,
    name: 'kube-dns.kube-system.svc.cluster.local',
  });
  assert.deepEqual(
    answers.map(({ data }) => data),
    ['10.96.0.10'],
  );
});

test('a ServiceAccount may do what it was granted, and nothing else', async () => {
  const kubeconfig = await cluster.kubeconfigFor({ serviceAccount: 'coredns', namespace: 'kube-system' });
  const services = await cluster.kubectl('--kubeconfig', kubeconfig, 'get', 'services', '-A');
  assert.equal(services.code, 0, services.stderr);
  const secrets = await cluster.kubectl('--kubeconfig', kubeconfig, 'get', 'secrets', '-A');
  assert.match(secrets.stderr, /Forbidden/);
  const refused = cluster.audit().filter(({ responseStatus }) => responseStatus?.code === 403);
  assert.deepEqual(
    refused.map(({ user, verb }) => [user.username, verb]),
    [['system:serviceaccount:kube-system:coredns', 'list']],
  );
});

test('an open-loop load counts what it loses while nobody listens, and goes on with who comes after', async () => {
  const load = await cluster.namespace.startLoad({
    server: dns.address,
    names: [kubernetes],
    perSecond: 200,
    timeoutMs: 500,
  });
  await dns.stop();
  dns = await cluster.startClusterDns({ name: 'coredns-again' });
  const result = await load.stop();
  assert.ok(result.lost > 0, 'queries sent to a dead server are lost');
  assert.equal(result.sent, result.answered + result.lost);
  assert.deepEqual(
    result.seen.map(({ answer }) => answer),
    [`${kubernetes} NOERROR 10.96.0.1`],
  );
});

test('a restarted API server has what the old one had', async () => {
  await cluster.kubectlOk('create', 'namespace', 'kept');
  const startedAt = performance.now();
  await cluster.restartApiServer();
  console.log(`API server ready again after ${Math.round(performance.now() - startedAt)} ms`);
  await cluster.kubectlOk('get', 'namespace', 'kept');
});

test('stopping leaves no process, no namespace and no file', async () => {
  const { path } = cluster.folder;
  const { name } = cluster.namespace;
  await cluster.stop();
  assert.equal(existsSync(path), false);
  assert.doesNotMatch(spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout, new RegExp(name));
  const { stdout } = spawnSync('ps', ['-e', '-o', 'args'], { encoding: 'utf8' });
  assert.ok(!stdout.includes(path), 'no process still works in the run folder');
});
