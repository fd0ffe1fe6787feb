/**
 * Two operators on a real API server, of which one acts. Whatever becomes of it, a second one follows, and never do both write: who
 * wrote what is read from the API server's audit log, in which each operator has a name of its own. Each test goes on from where the
 * one before it has left the cluster.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { apiVersion } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import { isNightly } from '../tools/nightly.ts';
import { type AuditedRequest, type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { Installation } from './installation.ts';
import { pause } from './scene.ts';

const system = 'localdns-system';
/** Seconds; the larger form has those of the chart. */
const lease = isNightly ? { duration: 15, renewDeadline: 10, retry: 2 } : { duration: 6, renewDeadline: 4, retry: 0.8 };
/** So many that a change of all of them takes a while: somebody can be stopped in the middle. */
const nodeCount = isNightly ? 400 : 200;
let cluster: ControlPlane;
let localdns: Installation;
/** The leader comes first. */
let operators: [Operator, Operator];

interface Operator {
  name: string;
  program: Daemon;
  metricsPort: number;
}

before(async () => {
  cluster = await startControlPlane();
  localdns = await Installation.create(cluster, { nodes: [] });
  await clusterDnsAt('10.96.0.10');
  const labels = { 'kubernetes.io/os': 'linux', pool: 'served' };
  const nodes = Array.from({ length: nodeCount }, (_, number) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: `n${number}`, labels },
  }));
  await cluster.applyOk(nodes, '--server-side');
  const rollout = { maxUnavailable: '100%', canary: { nodes: 0 } };
  const spec = { nodeSelector: { matchLabels: { pool: 'served' } }, rollout };
  await cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec }]);
  const first = startOperator('a', 9354);
  await eventually('the first leads', 10_000, () => says(first, 'leading'));
  operators = [first, startOperator('b', 9355)];
});

after(() => cluster?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed)
    console.log(operators?.map(({ program }) => program.lastWords).join('\n'));
});

function startOperator(name: string, metricsPort: number, ...more: string[]): Operator {
  const args = [
    ...more,
    ...['--lease-duration', `${lease.duration}`, '--lease-renew-deadline', `${lease.renewDeadline}`],
    ...['--lease-retry', `${lease.retry}`],
  ];
  const env = { POD_NAME: name };
  const program = localdns.startOperator(undefined, { name: `operator-${name}`, metricsPort, args, env });
  return { name, program, metricsPort };
}

function says({ program }: Operator, message: string): boolean {
  return program.log.includes(`"msg":"${message}"`);
}

async function isLeader({ metricsPort }: Operator): Promise<boolean> {
  const { body } = await cluster.namespace.page({ url: `http://127.0.0.1:${metricsPort}/metrics` });
  return /^localdns_operator_leader 1$/m.test(body);
}

/** What one of them has written, but for the Lease, and with success. */
function writesOf(operator: Operator, sinceMs = 0): AuditedRequest[] {
  return attemptsOf(operator, sinceMs).filter(({ responseStatus }) => (responseStatus?.code ?? 0) < 300);
}

/** The same with those that the API server refused: on an older state than stands there, for one. */
function attemptsOf({ name }: Operator, sinceMs = 0): AuditedRequest[] {
  return requestsOf(name, sinceMs).filter(
    ({ verb, objectRef }) => !['get', 'list', 'watch'].includes(verb) && objectRef?.resource !== 'leases',
  );
}

function requestsOf(name: string, sinceMs = 0): AuditedRequest[] {
  return cluster.audit().filter(({ userAgent, requestReceivedTimestamp }) => {
    return userAgent?.startsWith(`localdns-operator/${name}_`) && Date.parse(requestReceivedTimestamp) >= sinceMs;
  });
}

/** A fact of the cluster: every node's configuration has it, and it goes out to all of them at once. */
async function clusterDnsAt(clusterIP: string): Promise<void> {
  const metadata = { name: 'kube-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
  const spec = { clusterIP, ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] };
  await cluster.kubectlOk('delete', '--ignore-not-found', '-n', 'kube-system', 'service/kube-dns');
  await cluster.applyOk([{ apiVersion: 'v1', kind: 'Service', metadata, spec }]);
}

interface Configured {
  metadata: { name: string; resourceVersion: string };
  spec: { config: { clusterDNS: { addresses: string[] } } };
}

async function configured(clusterDns?: string): Promise<Configured[]> {
  const { items } = (await cluster.get<{ items: Configured[] }>('localdnsnodes')) ?? { items: [] };
  return items.filter(({ spec }) => clusterDns === undefined || spec.config.clusterDNS.addresses[0] === clusterDns);
}

async function allHave(clusterDns: string, withinMs: number): Promise<void> {
  await eventually(`every node has ${clusterDns}`, withinMs, async () => {
    return (await configured(clusterDns)).length === nodeCount;
  });
}

async function versions(): Promise<string[]> {
  return (await configured()).map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`);
}

test('one of two acts; the other is ready, knows the cluster, and writes nothing', async () => {
  const [leader, standby] = operators;
  await allHave('10.96.0.10', 30_000);
  await eventually('the second is ready', 10_000, async () => {
    return (await cluster.namespace.page({ url: `http://127.0.0.1:${standby.metricsPort}/readyz` })).status === 200;
  });
  assert.deepEqual([await isLeader(leader), await isLeader(standby)], [true, false]);
  const { body } = await cluster.namespace.page({ url: `http://127.0.0.1:${standby.metricsPort}/metrics` });
  assert.match(body, new RegExp(`^localdns_operator_objects\\{resource="localdnsnodes"\\} ${nodeCount}$`, 'm'));
  assert.ok(writesOf(leader).length >= nodeCount);
  assert.deepEqual(writesOf(standby), []);
});

test('a leader frozen in the middle of its work is followed, and writes nothing once it is thawed', async () => {
  const [leader, standby] = operators;
  const changedMs = Date.now();
  await clusterDnsAt('10.96.0.11');
  const deadlineMs = performance.now() + 10_000;
  while (writesOf(leader, changedMs).length < 5 && performance.now() < deadlineMs) await turn();
  leader.program.signal('SIGSTOP');
  const frozenAtMs = performance.now();
  const changed = writesOf(leader, changedMs).length;
  assert.ok(changed > 0 && changed < nodeCount, `${changed} of ${nodeCount} writes were made before the frost`);

  await eventually('the other leads', 20_000, () => says(standby, 'leading'));
  console.log(
    `followed ${Math.round(performance.now() - frozenAtMs)} ms after the frost, ${changed} writes into the work`,
  );
  await allHave('10.96.0.11', 20_000);
  await clusterDnsAt('10.96.0.12');
  await allHave('10.96.0.12', 20_000);
  await eventually('the rest has settled', 10_000, async () => {
    const before = await versions();
    await pause(1_000);
    return before.join() === (await versions()).join();
  });

  const before = await versions();
  const thawedAtMs = Date.now();
  leader.program.signal('SIGCONT');
  await eventually('the old leader knows that it is none', 10_000, () => says(leader, 'not leading any more'));
  // Longer than any request of its may take.
  await pause((lease.duration - lease.renewDeadline + 1) * 1000);
  // Nor does it try, but for what had passed our fence as the frost came: that the API server refuses it is another one.
  const attempts = attemptsOf(leader, thawedAtMs).length;
  assert.ok(attempts <= 2, `${attempts} of ${nodeCount - changed}`);
  assert.deepEqual(await versions(), before);
  assert.ok(requestsOf(leader.name, thawedAtMs).length > 0, 'it is back, and asks');
  assert.deepEqual([await isLeader(leader), await isLeader(standby)], [false, true]);
  operators = [standby, leader];
});

test('a leader that is told to end hands over: another acts less than two seconds later', async () => {
  const [leader, standby] = operators;
  const toldAtMs = Date.now();
  const ended = leader.program.stop();
  await clusterDnsAt('10.96.0.13');
  const first = await eventually('the other writes', 5_000, () => writesOf(standby, toldAtMs)[0]);
  const afterMs = Date.parse(first.requestReceivedTimestamp) - toldAtMs;
  console.log(`the other's first write came ${afterMs} ms after SIGTERM`);
  assert.ok(afterMs < 2_000, `${afterMs} ms`);
  assert.equal(await ended, 0, leader.program.lastWords);
  const lastOfOld = Math.max(0, ...writesOf(leader).map((write) => Date.parse(write.requestReceivedTimestamp)));
  assert.ok(lastOfOld < Date.parse(first.requestReceivedTimestamp), 'never did both write');
  await allHave('10.96.0.13', 20_000);
  operators = [standby, startOperator('c', leader.metricsPort)];
});

test('so does one that may write twice a second, in the middle of its work', async () => {
  const [leader, standby] = operators;
  await standby.program.stop();
  const slow = startOperator('slow', standby.metricsPort, '--kube-api-qps=2');
  await eventually('it is ready', 15_000, () => says(slow, 'ready'));
  await leader.program.stop();
  await eventually('it leads', 5_000, () => says(slow, 'leading'));
  const next = startOperator('d', leader.metricsPort);
  await eventually('the other is ready', 15_000, () => says(next, 'ready'));
  await clusterDnsAt('10.96.0.15');
  await eventually('it writes', 15_000, () => writesOf(slow).length > 2);
  const toldAtMs = Date.now();
  const ended = slow.program.stop();
  await eventually('the other leads', 5_000, () => says(next, 'leading'));
  const afterMs = Date.now() - toldAtMs;
  console.log(`the other led ${afterMs} ms after SIGTERM`);
  assert.ok(afterMs < 2_000, `${afterMs} ms`);
  assert.equal(await ended, 0, slow.program.lastWords);
  await allHave('10.96.0.15', 20_000);
  operators = [next, startOperator('e', slow.metricsPort)];
});

test(`without an API server nobody leads for longer than ${lease.renewDeadline} seconds, and once it is back one does`, async () => {
  const [leader] = operators;
  await eventually('the newcomer is ready', 15_000, () => says(operators[1], 'ready'));
  await cluster.stopApiServer();
  const awayAtMs = performance.now();
  await eventually('nobody leads', (lease.renewDeadline + 2) * 1000, async () => !(await isLeader(leader)));
  console.log(`stopped leading ${Math.round(performance.now() - awayAtMs)} ms after the API server went`);
  await cluster.restartApiServer();
  const leaders = async () => (await Promise.all(operators.map(isLeader))).filter((leads) => leads).length;
  await eventually('one leads', 20_000, async () => (await leaders()) === 1);
  await clusterDnsAt('10.96.0.14');
  // Whoever follows the API server may be in the middle of its longest pause, which is 30 s.
  await allHave('10.96.0.14', 45_000);
  assert.equal(await leaders(), 1);
});

test('a write whose second half comes after its time is not carried out', async () => {
  const kubeconfig = await cluster.kubeconfigFor({ serviceAccount: 'localdns-operator', namespace: system });
  const { users } = JSON.parse(readFileSync(kubeconfig, 'utf8')) as { users: [{ user: { token: string } }] };
  const sent = async (node: string, timeout: string, label: string): Promise<string> => {
    const { stdout } = await cluster.run(process.execPath, ['--input-type=module', '--eval', sendInHalves], {
      env: { TOKEN: users[0].user.token, NODE: node, TIMEOUT: timeout, LABEL: label },
    });
    const { metadata } = (await cluster.get<{ metadata: { labels?: Record<string, string> } }>(`ldn/${node}`)) ?? {};
    return `${timeout}: ${stdout.trim()}, ${metadata?.labels?.['example.test/half'] ?? 'unchanged'}`;
  };
  const answers = [sent('n0', '1000ms', 'too-late'), sent('n1', '30000ms', 'in-time')];
  assert.deepEqual(await Promise.all(answers), ['1000ms: 504, unchanged', '30000ms: 200, in-time']);
});

test('outside a cluster, an operator whose namespace is missing says so once, and leads once it is there', async () => {
  const admin = await cluster.kubeconfigFor('admin');
  const args = ['--namespace=made-later'];
  const program = localdns.startOperator(admin, { name: 'operator-outside', metricsPort: 9356, args });
  const complaints = () => program.log.split('\n').filter((line) => line.includes('"level":"warn"'));
  await eventually('it complains', 20_000, () => complaints().length > 0);
  await pause(3_000);
  assert.equal(complaints().length, 1, program.log);
  assert.match(
    complaints()[0] ?? '',
    /namespaces \\"made-later\\" not found: create it, or name another with --namespace/,
  );
  await cluster.kubectlOk('create', 'namespace', 'made-later');
  await eventually('it leads', 5_000, () => program.log.includes('"msg":"leading"'));
  assert.equal(await program.stop(), 0, program.lastWords);
});

/** Sends the head and half of the body, waits for 3 s, and sends the rest; prints the status of the first answer. */
const sendInHalves = `
import { connect } from 'node:tls';
const body = JSON.stringify({ metadata: { labels: { 'example.test/half': process.env.LABEL } } });
const socket = connect({ host: '10.240.0.1', port: 6443, rejectUnauthorized: false }, () => {
  socket.write([
    'PATCH /apis/${apiVersion}/localdnsnodes/' + process.env.NODE + '?timeout=' + process.env.TIMEOUT + ' HTTP/1.1', 'Host: 10.240.0.1:6443',
    'Authorization: Bearer ' + process.env.TOKEN, 'Content-Type: application/merge-patch+json',
    'Content-Length: ' + body.length, '', body.slice(0, 20),
  ].join('\\r\\n'));
  setTimeout(() => { if (socket.writable) socket.write(body.slice(20)); }, 3_000);
  setTimeout(() => socket.destroy(), 5_000);
});
let text = '';
socket.on('data', (data) => { text += data; });
socket.on('error', () => {});
socket.on('close', () => console.log(text.split(' ')[1] ?? 'nothing'));
`;
