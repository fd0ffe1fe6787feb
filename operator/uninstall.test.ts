import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type FakeApiServer, fail, operatorKinds, reply } from '../kube/api-server.fake.ts';
import { FakeClock } from '../kube/clock.fake.ts';
import { OperatorProcesses } from '../test/tools/operator-processes.ts';
import { untilOut, type View, type Waiting, whatIsLeft } from './uninstall.ts';

const left: View = { leads: true, holder: 'us', told: 1, nodes: ['n1', 'n2'], profiles: ['p'] };
const nothing: View = { ...left, told: 0, nodes: [], profiles: [] };

const { operator, lines, until, fakeServer, kubeconfig } = new OperatorProcesses();

let clock: FakeClock;
let view: View;

/** The outcome, once there is one. */
function waiting(given: View, more: Partial<Waiting> = {}): { outcome: () => unknown; stop: () => void } {
  clock = new FakeClock();
  view = given;
  const abort = new AbortController();
  let outcome: unknown;
  const waits = { look: () => view, isAllOut: async () => true, clock, signal: abort.signal, ...more };
  void untilOut(waits).then((ended) => {
    outcome = ended;
  });
  return { outcome: () => outcome, stop: () => abort.abort() };
}

async function pass(ms: number): Promise<void> {
  for (let at = 0; at <= ms; at += 250) {
    await turn();
    clock.advance(Math.min(250, ms - at));
  }
  await turn();
}

test('it is over when nothing is left, and the API server says so too', async () => {
  let asked = 0;
  const { outcome } = waiting(left, { isAllOut: async () => ++asked > 2 });
  await pass(10_000);
  assert.deepEqual([outcome(), asked], [undefined, 0]);
  view = nothing;
  await pass(250);
  assert.equal(outcome(), undefined);
  await pass(1_000);
  assert.deepEqual([outcome(), asked], ['out', 3]);
});

for (const [what, still] of [
  ['a node', { nodes: ['n1'] }],
  ['a profile', { profiles: ['p'] }],
  ['the Lease of another', { leads: false }],
] as const) {
  test(`it is not over while there is ${what}`, async () => {
    const { outcome } = waiting({ ...nothing, ...still });
    await pass(60_000);
    assert.equal(outcome(), undefined);
  });
}

test('who waits for a node that is away waits longer than it, and gives up when nothing has moved for two minutes', async () => {
  const { outcome } = waiting(left);
  await pass(119_000);
  view = { ...left, told: 2 };
  await pass(119_000);
  view = { ...left, told: 2, nodes: ['n2'] };
  await pass(119_000);
  assert.equal(outcome(), undefined);
  await pass(2_000);
  assert.deepEqual(outcome(), view);
});

test('a signal ends it at once', async () => {
  const { outcome, stop } = waiting(left);
  await pass(1_000);
  stop();
  await turn();
  assert.equal(outcome(), 'signal');
});

test('what is left is said with what a person can do about it', () => {
  const nodes = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7'];
  assert.match(
    whatIsLeft({ ...left, nodes }),
    /\(nodes: n1, n2, n3, n4, n5 and 2 more; profiles: p\): uninstall again, or with --no-hooks/,
  );
  assert.match(whatIsLeft({ ...nothing, leads: false, holder: 'them' }), /another operator acts \(them\): stop it/);
  assert.match(whatIsLeft({ ...nothing, leads: false, holder: '' }), /could not be read, as said before/);
});

test('whoever withdraws stops those who serve, takes every node out, and ends with 0; nobody who is installed then waits for a Lease', async () => {
  const server = fakeServer([...operatorKinds, 'leases', 'deployments']);
  const config = kubeconfig(await server.start());
  server.put('deployments', { metadata: { name: 'ops', namespace: 'localdns-system' }, spec: { replicas: 1 } });
  server.put('localdnsprofiles', { metadata: { name: 'default' }, spec: {} });
  const labels = { 'localdns.dev/profile': 'default', 'kubernetes.io/os': 'linux' };
  server.put('nodes', { metadata: { name: 'n1', labels } });
  const serving = operator('--kubeconfig', config, '--metrics', '127.0.0.1:0');
  const isMarked = () => server.get('nodes', 'n1')?.metadata.labels?.['localdns.dev/state'] !== undefined;
  const spec = () => server.get('localdnsnodes', 'n1')?.spec as { withdrawnAt?: string } | undefined;
  await until(() => isMarked() && spec() !== undefined);
  /** As its agent does. */
  const report = (isServing: boolean): void => {
    const { metadata, ...rest } = server.get('localdnsnodes', 'n1') ?? assert.fail();
    const serving = { type: 'Serving', status: isServing ? 'True' : 'False', reason: 'r', message: '' };
    const status = { observedGeneration: metadata.generation, conditions: [serving] };
    server.put('localdnsnodes', { metadata, ...rest, status });
  };
  report(true);

  const leaving = operator('--kubeconfig', config, '--withdraw', '--deployment=ops', '--metrics=256.0.0.1:1');
  const ended = once(leaving, 'close');
  const replicas = () => (server.get('deployments', 'localdns-system/ops')?.spec as { replicas?: number })?.replicas;
  await until(() => replicas() === 0);
  assert.equal(spec()?.withdrawnAt, undefined, 'another acts');
  serving.kill('SIGTERM');
  await until(() => spec()?.withdrawnAt !== undefined);
  report(false);
  assert.deepEqual(await ended, [0, null]);
  assert.deepEqual([isMarked(), spec(), server.all('leases')], [false, undefined, []]);
  const { metadata: kept } = server.get('localdnsprofiles', 'default') ?? assert.fail();
  assert.deepEqual([kept.finalizers, kept.deletionTimestamp], [[], undefined]);
  assert.match(lines().at(-1)?.msg ?? '', /^nothing of LocalDNS is left/);
  await server.stop();
});

test('whoever withdraws does so without a Deployment, too, and a signal ends it with 2', async () => {
  const server = fakeServer([...operatorKinds, 'leases', 'deployments']);
  const config = kubeconfig(await server.start());
  server.script = ({ plural }, response) => {
    if (plural !== 'deployments') return false;
    fail(response, 403, 'Forbidden', 'no', {});
    return true;
  };
  const first = operator('--kubeconfig', config, '--withdraw', '--deployment=ops');
  const ended = once(first, 'close');
  await until(() => lines().some(({ code }) => code === 'KUBE_API_403'));
  await until(() => server.requests('watch', 'localdnsprofiles').length > 0);
  assert.equal(server.requests('get', 'leases').length, 0, 'who may serve on is not interfered with');
  server.script = () => false;
  assert.deepEqual(await ended, [0, null]);
  server.put('localdnsnodes', { metadata: { name: 'n1' }, spec: {} });
  server.put('nodes', { metadata: { name: 'n1' } });
  server.script = ({ verb, plural }, response) => {
    if (verb !== 'delete' || plural !== 'localdnsnodes') return false;
    fail(response, 403, 'Forbidden', 'no', {});
    return true;
  };
  const second = operator('--kubeconfig', config, '--withdraw');
  await until(() => lines().some(({ code }) => code === 'KUBE_API_403'));
  second.kill('SIGTERM');
  assert.deepEqual(await once(second, 'close'), [2, null]);
  assert.deepEqual(
    server.all('leases').map(({ spec }) => (spec as { holderIdentity?: string }).holderIdentity),
    [undefined],
  );
  await server.stop();
});

/** Whoever watches lists by the page; whoever withdraws wants to see one, or all. */
const isOfWatch = (query: URLSearchParams): boolean => Number(query.get('limit') ?? 1) > 1;

for (const [plural, object] of [
  ['localdnsnodes', { metadata: { name: 'n1' }, spec: {} }],
  ['nodes', { metadata: { name: 'n1', labels: { 'localdns.dev/state': 'enabled' } } }],
  ['localdnsprofiles', { metadata: { name: 'p', finalizers: ['localdns.dev/drain'] }, spec: {} }],
] as const) {
  test(`whoever withdraws asks for ${plural} of which no watch has told yet, and does not end before they are gone`, async () => {
    const server = fakeServer([...operatorKinds, 'leases']);
    const config = kubeconfig(await server.start());
    server.script = ({ plural: asked, verb, query }, response) => {
      if (asked !== plural || (verb !== 'watch' && !isOfWatch(query))) return false;
      if (verb === 'list') reply(response, 200, { metadata: { resourceVersion: '1' }, items: [] });
      return true;
    };
    server.put(plural, structuredClone(object) as Parameters<FakeApiServer['put']>[1]);
    const ended = once(operator('--kubeconfig', config, '--withdraw'), 'close');
    const asked = () => server.requests('list', plural).filter(({ query }) => !isOfWatch(query)).length;
    await until(() => asked() >= 2);
    server.script = () => false;
    server.forget(plural, object.metadata.name);
    assert.deepEqual(await ended, [0, null]);
    await server.stop();
  });
}
