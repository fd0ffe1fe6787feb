import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { operatorKinds } from '../kube/api-server.fake.ts';
import { OperatorProcesses } from '../test/tools/operator-processes.ts';

const { operator, output, outputOf, lines, until, untilAsync, fakeServer, kubeconfig, freePort, folder } =
  new OperatorProcesses();
/** Less than a Lease that nobody gave back would stand in the way: 15 s from its last renewal, which was 2 s ago at most. */
const untilLapsedMs = 12_000;

test('the operator says ready once it knows the cluster, tells its numbers, and ends with 0 on SIGTERM', async () => {
  const server = fakeServer([...operatorKinds, 'leases']);
  const port = await freePort();
  const started = operator('--kubeconfig', kubeconfig(await server.start()), '--metrics', `127.0.0.1:${port}`);
  await until(() => lines().some(({ msg }) => msg === 'ready'));
  const page = async (path: string): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`);
  assert.deepEqual([(await page('/healthz')).status, (await page('/readyz')).status], [200, 200]);
  const metrics = await (await page('/metrics')).text();
  assert.match(metrics, /localdns_operator_api_requests_total\{verb="list",resource="nodes",code="200"\} [12]$/m);
  assert.match(metrics, /localdns_operator_following\{resource="localdnsprofiles"\} 1/);
  await until(() => lines().some(({ msg }) => msg === 'leading'));
  const planned = /^localdns_operator_reconcile_seconds_count\{duty="plan"\} [1-9]/m;
  await untilAsync(async () => planned.test(await (await page('/metrics')).text()));
  const later = await (await page('/metrics')).text();
  assert.match(later, /^localdns_operator_queue_wait_seconds_count [1-9]/m);
  assert.match(later, /^localdns_operator_queue_retries_total 0$/m);
  const stoppedAt = performance.now();
  started.kill('SIGTERM');
  assert.deepEqual(await once(started, 'close'), [0, null]);
  assert.ok(performance.now() - stoppedAt < 5_000);
  await server.stop();
});

test('of two operators one acts, and the other is ready to: it does as soon as the first is told to end', async () => {
  const server = fakeServer([...operatorKinds, 'leases']);
  const config = kubeconfig(await server.start());
  const ports = [await freePort(), await freePort()];
  const leads = async (port: number | undefined): Promise<boolean> => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return /^localdns_operator_leader (\d)$/m.exec(text)?.[1] === '1';
  };
  const holder = (): unknown =>
    (server.get('leases', 'localdns-system/localdns-operator')?.spec as { holderIdentity?: string })?.holderIdentity;
  const first = operator('--kubeconfig', config, '--metrics', `127.0.0.1:${ports[0]}`);
  await until(() => lines().some(({ msg }) => msg === 'leading'));
  operator('--kubeconfig', config, '--metrics', `127.0.0.1:${ports[1]}`);
  await until(() => lines().some(({ msg }) => msg === 'ready'));
  assert.equal((await fetch(`http://127.0.0.1:${ports[1]}/readyz`)).status, 200);
  assert.deepEqual([await leads(ports[0]), await leads(ports[1])], [true, false]);
  const before = holder();

  server.put('localdnsprofiles', { metadata: { name: 'default' }, spec: {} });
  server.put('nodes', {
    metadata: { name: 'n1', labels: { 'localdns.dev/profile': 'default', 'kubernetes.io/os': 'linux' } },
  });
  await untilAsync(async () => server.get('localdnsnodes', 'n1') !== undefined);
  const writers = (): Set<unknown> => {
    const writes = server.seen.filter(({ verb, plural }) => verb === 'apply' && plural !== 'leases');
    return new Set(writes.map(({ headers }) => headers['user-agent']));
  };
  assert.deepEqual(writers(), new Set([`localdns-operator/${before}`]));

  await untilAsync(async () => {
    const text = await (await fetch(`http://127.0.0.1:${ports[1]}/metrics`)).text();
    const nodes = 'localdns_operator_profile_nodes{profile="default",state="selected"} 1';
    return text.includes(nodes) && /^localdns_operator_rollout_phase\{profile="default",phase="\w+"\} 1$/m.test(text);
  });
  const standby = await (await fetch(`http://127.0.0.1:${ports[1]}/metrics`)).text();
  assert.match(standby, /^localdns_operator_reconciles_total\{outcome="done"\} 0$/m);
  assert.doesNotMatch(standby, /^localdns_operator_reconciles_total\S+ [1-9]/m);

  const toldAt = performance.now();
  first.kill('SIGTERM');
  server.remove('localdnsnodes', 'n1');
  await untilAsync(async () => server.get('localdnsnodes', 'n1') !== undefined && leads(ports[1]));
  assert.ok(performance.now() - toldAt < untilLapsedMs, `${performance.now() - toldAt} ms`);
  assert.notEqual(holder(), before);
  await server.stop();
});

test('a leader that waits for its turns to write hands over at once, however seldom they come, and complains of nothing', async () => {
  const server = fakeServer([...operatorKinds, 'leases']);
  const config = kubeconfig(await server.start());
  const slow = operator('--kubeconfig', config, '--metrics', '127.0.0.1:0', '--kube-api-qps=1');
  await until(() => lines().some(({ msg }) => msg === 'leading'));
  operator('--kubeconfig', config, '--metrics', '127.0.0.1:0');
  await until(() => lines().some(({ msg }) => msg === 'ready'));
  for (let at = 0; at < 20; at++) server.put('nodes', { metadata: { name: `n${at}` } });
  const rollout = { maxUnavailable: '100%', canary: { nodes: 0 } };
  server.put('localdnsprofiles', { metadata: { name: 'default' }, spec: { nodeSelector: {}, rollout } });
  await until(() => server.all('localdnsnodes').length > 0);
  const toldAt = performance.now();
  slow.kill('SIGTERM');
  await until(() => lines().some(({ msg }) => msg === 'leading'));
  assert.ok(performance.now() - toldAt < untilLapsedMs, `${performance.now() - toldAt} ms`);
  assert.doesNotMatch(outputOf(slow), /KUBE_|"level":"error"/);
  await server.stop();
});

test('a leader that loses the API server, and its Lease to another, does nothing until it leads again, and then what is due', async () => {
  const server = fakeServer([...operatorKinds, 'leases']);
  const config = kubeconfig(await server.start());
  const address = Number(new URL(server.url).port);
  const timing = ['--lease-duration=3', '--lease-renew-deadline=2', '--lease-retry=0.5'];
  server.put('nodes', { metadata: { name: 'n1', labels: { 'kubernetes.io/os': 'linux' } } });
  operator('--kubeconfig', config, '--metrics', '127.0.0.1:0', ...timing);
  const terms = (): number => lines().filter(({ msg }) => msg === 'leading').length;
  // Before that it would do nothing anyway.
  await until(() => lines().some(({ msg }) => msg.startsWith('acting')));
  await server.stop();
  await until(() => lines().some(({ msg }) => msg === 'not leading any more'));

  const anotherRenews = (): void => {
    const spec = { holderIdentity: 'another', leaseDurationSeconds: 3, renewTime: new Date().toISOString() };
    server.put('leases', { metadata: { name: 'localdns-operator', namespace: 'localdns-system' }, spec });
  };
  anotherRenews();
  server.put('localdnsprofiles', { metadata: { name: 'default' }, spec: {} });
  const labels = { 'localdns.dev/profile': 'default', 'kubernetes.io/os': 'linux' };
  server.put('nodes', { metadata: { name: 'n1', labels } });
  let termsAtWrite: number | undefined;
  server.script = ({ verb, plural }) => {
    if (verb === 'apply' && plural === 'localdnsnodes') termsAtWrite ??= terms();
    return false;
  };
  // The Lease lapses once all is known: until then there is nothing to try.
  const watches = (): number[] =>
    ['localdnsprofiles', 'nodes'].map((plural) => server.requests('watch', plural).length);
  const before = watches();
  await server.start(address);
  const renewing = setInterval(anotherRenews, 500);
  await until(() => watches().every((count, at) => count > (before[at] ?? 0))).finally(() => clearInterval(renewing));
  await until(() => server.get('localdnsnodes', 'n1') !== undefined);
  assert.equal(termsAtWrite, 2, 'it knows of the profile, and has waited for the Lease');
  assert.ok(!lines().some(({ code }) => code === 'KUBE_FENCED'), 'it did not even try');
  await server.stop();
});

test('an API server that is away and CRDs that are missing are one line each, and then all is well', async () => {
  const server = fakeServer(['nodes', 'services', 'leases', 'controllerrevisions']);
  const url = await server.start();
  const port = Number(new URL(url).port);
  await server.stop();
  const metricsPort = await freePort();
  operator('--kubeconfig', kubeconfig(url), '--metrics', `127.0.0.1:${metricsPort}`);
  await until(() => lines().length > 0);
  assert.equal((await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).status, 503);
  await server.start(port);
  await until(() => lines().length === 3);
  server.know('localdnsprofiles');
  server.know('localdnsnodes');
  await until(() => lines().some(({ msg }) => msg === 'ready'));
  const [away, ...missing] = lines().filter(({ level }) => level === 'warn');
  assert.match(away?.msg ?? '', new RegExp(`cannot reach the API server at ${url}.*retrying`));
  assert.deepEqual(
    missing.slice(0, 2).map(({ code }) => code),
    ['KUBE_RESOURCE_MISSING', 'KUBE_RESOURCE_MISSING'],
  );
  await server.stop();
});

test('a kubeconfig that is not there is one line, and is used once it is', async () => {
  const server = fakeServer([
    'nodes',
    'services',
    'localdnsprofiles',
    'localdnsnodes',
    'leases',
    'controllerrevisions',
  ]);
  const file = join(folder, 'mounted-later');
  operator('--kubeconfig', file, '--metrics', '127.0.0.1:0');
  await until(() => lines().length > 0);
  copyFileSync(kubeconfig(await server.start()), file);
  await until(() => lines().some(({ msg }) => msg === 'ready'));
  const complaints = lines().filter(({ level }) => level === 'error');
  assert.deepEqual(
    complaints.map(({ code }) => code),
    ['KUBE_CONFIG'],
  );
  assert.match(complaints[0]?.msg ?? '', /mounted-later does not exist.*retrying/);
  await server.stop();
});

test('a wrong option ends the operator with 2 and one line', async () => {
  const started = operator('--metrics', 'x');
  assert.deepEqual(await once(started, 'close'), [2, null]);
  const said = output().trim();
  assert.match(said, /--metrics x: must be ADDRESS:PORT/);
  assert.equal(said.split('\n').length, 1);
});

test('a metrics port that is taken ends the operator with 2, the address and the option that helps', async () => {
  const server = fakeServer([]);
  const url = await server.start();
  const started = operator('--kubeconfig', kubeconfig(url), '--metrics', new URL(url).host);
  assert.deepEqual(await once(started, 'close'), [2, null]);
  assert.match(lines()[0]?.msg ?? '', /EADDRINUSE.*--metrics/);
  await server.stop();
});
