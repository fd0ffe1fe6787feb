import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FakeApiServer, fail } from '../../kube/api-server.fake.ts';
import { KubeClient } from '../../kube/client.ts';
import { type Clock, systemClock } from '../../kube/clock.ts';
import { eventually } from '../../test/tools/eventually.ts';
import type { PolicyFinding } from './network-policies.ts';
import { PolicyWatch } from './policy-watch.ts';

const address = '169.254.10.11';
const ports = { UDP: { numbers: [53], names: ['dns'] }, TCP: { numbers: [53], names: ['dns-tcp'] } };
const dns = { labels: { 'k8s-app': 'kube-dns' }, endpoints: { kind: 'addresses' as const, addresses: [] }, ports };

let server: FakeApiServer;
let client: KubeClient;
let watch: PolicyWatch;
let changes: number;
/** Each look at the clock is so much later than the one before. */
let stepMs: number;
let nowMs: number;
/** Rests that are under way. */
let rests: { readonly forMs: number; readonly end: () => void }[];
let pause: () => Promise<void>;

/** The waits of stores are longer than any rest. */
const ofStoresMs = 1_000_000;

const clock: Clock = {
  ...systemClock,
  nowMs: () => {
    nowMs += stepMs;
    return nowMs;
  },
  after: (forMs, end) => {
    if (forMs >= ofStoresMs) return systemClock.after(forMs, end);
    const rest = { forMs, end };
    rests.push(rest);
    return () => {
      rests = rests.filter((one) => one !== rest);
    };
  },
};

beforeEach(async () => {
  [changes, stepMs, nowMs, rests] = [0, 0, 0, []];
  pause = async () => {};
  server = new FakeApiServer(['networkpolicies', 'namespaces']);
  const url = await server.start();
  const access = () => ({ server: url, origin: '', tls: {} });
  client = new KubeClient({ access, fieldManager: 'test', userAgent: 'test' });
});

afterEach(async () => {
  watch.stop();
  await Promise.all(watch.stores.map((store) => store.stop()));
  client.close();
  await server.stop();
});

async function start(isSynced = true): Promise<void> {
  const timing = { healthyAfterMs: ofStoresMs, backoff: { minMs: 2 * ofStoresMs, maxMs: 2 * ofStoresMs } };
  const common = { client, namespace: 'kube-system', timing, onTrouble: () => {} };
  watch = new PolicyWatch({ ...common, clock, pause: () => pause() });
  watch.follow(() => {
    changes += 1;
  });
  for (const store of watch.stores) store.start();
  if (isSynced) await Promise.all(watch.stores.map(({ synced }) => synced));
}

function policy(name: string): void {
  const to = [{ namespaceSelector: {} }];
  server.put('networkpolicies', { metadata: { name, namespace: 'shop' }, spec: { podSelector: {}, egress: [{ to }] } });
}

const finding = (of = address): PolicyFinding => watch.finding(dns, [of]);
const count = (of = address): number | undefined => {
  const found = finding(of);
  return found.kind === 'known' ? found.conflicts.count : undefined;
};
const becomes = (conflicts: number, of = address) =>
  eventually(`${conflicts} conflicts`, 5_000, () => count(of) === conflicts);
/** Until the store has heard of it. */
const heard = async (put: () => void): Promise<void> => {
  const before = changes;
  put();
  await eventually('it is heard of', 5_000, () => changes > before);
};

test('nothing is known before all is read, nor where cluster DNS is not found out yet', async () => {
  server.script = ({ plural }) => plural === 'networkpolicies';
  await start(false);
  assert.deepEqual(finding(), { kind: 'pending' });
  server.script = () => false;
  watch.stop();
  await Promise.all(watch.stores.map((store) => store.stop()));
  await start();
  await becomes(0);
  assert.deepEqual(watch.finding({ ...dns, endpoints: { kind: 'unknown' } }, [address]), { kind: 'pending' });
});

test('where they may not be read, that is said', async () => {
  server.script = ({ plural }, response) => {
    if (plural !== 'networkpolicies') return false;
    fail(response, 403, 'Forbidden', 'networkpolicies is forbidden', {});
    return true;
  };
  await start(false);
  await eventually('it is said', 5_000, () => finding().kind === 'unknown');
});

test('what was found stands while it is searched anew, and who asked is told of what is new', async () => {
  policy('a');
  await start();
  await becomes(1);
  stepMs = 10;
  let goOn = (): void => {};
  pause = () => new Promise((resolve) => (goOn = resolve));
  await heard(() => policy('b'));
  assert.equal(count(), 1);
  const before = changes;
  pause = async () => {};
  goOn();
  await eventually('it is told', 5_000, () => changes > before);
  assert.equal(count(), 2);
});

test('a search that fails is said, and made again after a rest', async () => {
  policy('a');
  await start();
  stepMs = 10;
  pause = () => Promise.reject(new Error('a fault'));
  const failed: PolicyFinding = { kind: 'unknown', why: 'network policies could not be compared: Error: a fault' };
  await eventually('it has failed', 5_000, () => JSON.stringify(finding()) === JSON.stringify(failed));
  pause = async () => {};
  assert.deepEqual(finding(), failed);
  const pending = rests.map(({ forMs }) => Math.round(forMs / 1_000));
  assert.deepEqual(pending, [10]);
  nowMs += 10_000;
  rests[0]?.end();
  await becomes(1);
});

test('one search is made at a time, whoever asks', async () => {
  for (const name of ['a', 'b', 'c']) policy(name);
  await start();
  stepMs = 10;
  let [atOnce, most] = [0, 0];
  pause = async () => {
    atOnce += 1;
    most = Math.max(most, atOnce);
    await new Promise(setImmediate);
    atOnce -= 1;
  };
  const all = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
  for (const one of all) finding(one);
  for (const one of all) await becomes(3, one);
  assert.equal(most, 1);
});

test('policies that change all the time cost a tenth of the time, and a new question waits for none of it', async () => {
  policy('a');
  await start();
  await becomes(1);
  stepMs = 20;
  await heard(() => policy('b'));
  await becomes(2);
  stepMs = 0;
  await heard(() => policy('c'));
  const tookMs = nowMs;
  for (const _ of [1, 2, 3]) assert.equal(count(), 2);
  assert.equal(rests.length, 1);
  const [rest] = rests;
  assert.ok(rest !== undefined && rest.forMs > 200 && rest.forMs <= 10_000, `${rest?.forMs} ms`);
  await becomes(3, '192.0.2.9');
  assert.equal(count(), 2);
  nowMs = tookMs + 10_000;
  rest.end();
  await becomes(3);
});

test('a stopped watch searches no more', async () => {
  for (const name of ['a', 'b', 'c']) policy(name);
  await start();
  stepMs = 10;
  let pauses = 0;
  pause = async () => {
    pauses += 1;
    if (pauses === 2) watch.stop();
  };
  finding();
  await eventually('it is stopped', 5_000, () => pauses === 2);
  for (const _ of [1, 2, 3]) await new Promise(setImmediate);
  assert.equal(pauses, 2);
});

test('a watch that is stopped begins no search', async () => {
  await start();
  watch.stop();
  for (const _ of [1, 2, 3]) {
    assert.deepEqual(finding(), { kind: 'pending' });
    await new Promise(setImmediate);
  }
});
