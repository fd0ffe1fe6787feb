import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FakeApiServer, fail, reply, type Seen } from './api-server.fake.ts';
import { KubeClient } from './client.ts';
import { FakeClock } from './clock.fake.ts';
import { type KubeObject, NODES } from './resource.ts';
import { Store, type StoreTiming, type Trouble } from './store.ts';

interface Labelled extends KubeObject {
  readonly status?: { readonly beat?: number };
}

let server: FakeApiServer;
let client: KubeClient;
let clock: FakeClock;
let store: Store<Labelled, Labelled>;
let troubles: (string | undefined)[];
let changes: string[];

beforeEach(async () => {
  server = new FakeApiServer(['nodes']);
  const url = await server.start();
  client = clientFor(url);
  clock = new FakeClock();
  troubles = [];
  changes = [];
  for (const name of ['a', 'b', 'c']) server.put('nodes', { metadata: { name } });
  store = follow();
});

afterEach(async () => {
  await store.stop();
  client.close();
  await server.stop();
});

test('every page of a list is read, and objects are found by name', async () => {
  store = follow({ pageSize: 2 });
  store.start();
  await store.synced;
  assert.deepEqual([...store.keys()].sort(), ['a', 'b', 'c']);
  assert.deepEqual(
    server.requests('list', 'nodes').map(({ query }) => [query.get('limit'), query.get('continue')]),
    [
      ['2', null],
      ['2', '2'],
    ],
  );
});

test('a continue token that expires while paging leads to one list in one piece', async () => {
  store = follow({ pageSize: 2 });
  server.script = (seen, response) => {
    if (!seen.query.has('continue')) return false;
    fail(response, 410, 'Expired', 'continue token too old', {});
    return true;
  };
  store.start();
  await store.synced;
  assert.equal(store.size, 3);
  assert.equal(server.requests('list', 'nodes').at(-1)?.query.get('limit'), null);
});

test('additions, changes and deletions arrive with the old and the new object', async () => {
  const seen: [string, boolean, boolean][] = [];
  store.onChange((key, old, now) => seen.push([key, old !== undefined, now !== undefined]));
  await synced();
  seen.length = 0;
  server.put('nodes', { metadata: { name: 'd' } });
  server.put('nodes', { metadata: { name: 'd', labels: { x: 'y' } } });
  server.remove('nodes', 'd');
  await until(() => seen.length === 3);
  assert.deepEqual(seen, [
    ['d', false, true],
    ['d', true, true],
    ['d', true, false],
  ]);
});

test('what a silent watch has not told is known once the store was refreshed', async () => {
  silenceWatches();
  await started();
  server.put('nodes', { metadata: { name: 'd' } });
  server.remove('nodes', 'a');
  await store.refresh();
  assert.deepEqual([...store.keys()].sort(), ['b', 'c', 'd']);
  assert.deepEqual(troubles, []);
});

test('a refresh waits for the API server, asking at once and then every two seconds at the latest, and says what is wrong', async () => {
  await synced();
  refuse('list', 500, 7);
  let isFresh = false;
  void store.refresh().then(() => {
    isFresh = true;
  });
  const waits: number[] = [];
  for (let failures = 1; failures <= 7; failures++) waits.push(await failed(1 + failures));
  assert.deepEqual(waits, [1000, 2000, 2000, 2000, 2000, 2000, 2000]);
  assert.deepEqual([isFresh, troubles], [false, ['KUBE_API_500']]);
  await until(() => isFresh);
});

test('a store that waits for its next try tries at once when it is to be refreshed', async () => {
  await synced();
  refuse('watch', 500, 1);
  server.endWatches('reset');
  await advanceWait();
  await waitingMs();
  server.put('nodes', { metadata: { name: 'd' } });
  await store.refresh();
  assert.ok(store.get('d'));
});

test('who gives up waiting for a refresh has none made, and the store goes on at its own pace', async () => {
  await synced();
  await store.refresh(AbortSignal.abort());
  assert.equal(server.requests('list', 'nodes').length, 1);
  refuse('list', 500, 6);
  const abort = new AbortController();
  const waited = store.refresh(abort.signal);
  for (let failures = 1; failures <= 3; failures++) await failed(1 + failures);
  abort.abort();
  await waited;
  assert.equal(await failed(5), 8000);
});

test('a list that was begun before does for nobody who asks afterwards', async () => {
  await synced();
  let answer = (): void => {};
  server.script = ({ verb }, response) => {
    if (verb !== 'list' || server.requests('list', 'nodes').length !== 2) return false;
    const { resourceVersion } = server.put('nodes', { metadata: { name: 'old' } }).metadata;
    answer = () => reply(response, 200, { metadata: { resourceVersion }, items: [] });
    return true;
  };
  const first = store.refresh();
  await until(() => server.requests('list', 'nodes').length === 2);
  const second = store.refresh();
  answer();
  await Promise.all([first, second]);
  assert.equal(server.requests('list', 'nodes').length, 3);
  assert.ok(store.get('old'));
});

test('of many objects nothing is read anew where the watch proves that it is up to date', async () => {
  store = follow({ manyObjects: 3 });
  await synced();
  const fresh = store.refresh();
  await until(() => clock.pendingMs().includes(500));
  server.bookmark();
  await fresh;
  const lists = server.requests('list', 'nodes').map(({ query }) => query.get('limit'));
  assert.deepEqual(lists, ['250', '1']);
});

test('of many objects all are read anew where the watch brings nothing for half a second', async () => {
  store = follow({ manyObjects: 3 });
  silenceWatches();
  await started();
  server.put('nodes', { metadata: { name: 'd' } });
  const fresh = store.refresh();
  await until(() => clock.pendingMs().includes(500));
  clock.advance(500);
  await fresh;
  assert.ok(store.get('d'));
});

test('a change outside of what is kept is not reported', async () => {
  await store.stop();
  store = new Store({
    client,
    resource: NODES,
    clock,
    keep: ({ metadata }) => ({ metadata: { name: metadata.name } }),
  });
  let calls = 0;
  await synced();
  store.onChange(() => calls++);
  server.put('nodes', { metadata: { name: 'a' }, status: { beat: 1 } });
  server.put('nodes', { metadata: { name: 'z' } });
  await until(() => store.get('z') !== undefined);
  assert.equal(calls, 1);
});

test('the watch asks for bookmarks and a timeout, and resumes from the version of the last bookmark', async () => {
  await synced();
  server.bookmark();
  server.put('nodes', { metadata: { name: 'd' } });
  await until(() => store.get('d') !== undefined);
  server.bookmark();
  const bookmarked = server.put('nodes', { metadata: { name: 'd' } }).metadata.resourceVersion;
  clock.advance(10_000);
  server.endWatches('end');
  await until(() => server.requests('watch', 'nodes').length === 2);
  const [first, second] = server.requests('watch', 'nodes');
  assert.equal(first?.query.get('allowWatchBookmarks'), 'true');
  assert.equal(first?.query.get('timeoutSeconds'), '300');
  assert.equal(Number(second?.query.get('resourceVersion')), Number(bookmarked) + 1);
  assert.equal(server.requests('list', 'nodes').length, 1);
});

test('a list that fails is repeated until it succeeds, and the trouble is told once, then its end', async () => {
  refuse('list', 500, 3);
  store.start();
  for (let failures = 1; failures <= 3; failures++) await failed(failures);
  await store.synced;
  await until(() => troubles.length === 2);
  assert.deepEqual(troubles, ['KUBE_API_500', undefined]);
});

test('the waits between failures double from 0.8 s to 30 s', async () => {
  refuse('list', 500, 8);
  store.start();
  const waits: number[] = [];
  for (let failures = 1; failures <= 8; failures++) waits.push(await failed(failures));
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
});

test('Retry-After of a 429 or 503 is obeyed', async () => {
  let answers = 0;
  server.script = ({ verb }, response) => {
    if (verb !== 'list' || ++answers > 2) return false;
    fail(response, answers === 1 ? 429 : 503, 'TooManyRequests', 'later', {}, { 'retry-after': '7' });
    return true;
  };
  store.start();
  assert.equal(await failed(1), 7000);
  assert.equal(await failed(2), 7000);
  await store.synced;
});

test('a watch that is reset resumes without a list and without trouble', async () => {
  await synced();
  server.endWatches('reset');
  await waitingMs();
  server.put('nodes', { metadata: { name: 'd' } });
  clock.advance(30_000);
  await until(() => store.get('d') !== undefined);
  assert.equal(server.requests('list', 'nodes').length, 1);
  assert.deepEqual(troubles, []);
});

test('while the API server is away the last state is answered; when it returns the store follows again', async () => {
  await synced();
  const port = Number(new URL(server.url).port);
  await server.stop();
  await waitingMs();
  clock.advance(30_000);
  await until(() => troubles.length === 1);
  assert.deepEqual(troubles, ['KUBE_UNREACHABLE']);
  assert.equal(store.size, 3);

  server = new FakeApiServer(['nodes']);
  server.compact();
  server.compact();
  server.put('nodes', { metadata: { name: 'new' } });
  server.compact();
  await server.start(port);
  const pump = setInterval(() => clock.advance(30_000), 5);
  await until(() => store.get('new') !== undefined && troubles.length === 2);
  clearInterval(pump);
  assert.deepEqual(troubles, ['KUBE_UNREACHABLE', undefined]);
  assert.equal(store.get('a'), undefined);
});

test('an expired version (410) lists again and reports what vanished meanwhile as deletions', async () => {
  await synced();
  store.onChange((key, _old, now) => {
    if (now === undefined) changes.push(key);
  });
  server.forget('nodes', 'b');
  server.endWatches('end');
  await waitingMs();
  clock.advance(30_000);
  // The version has expired: the list follows without a further wait.
  await until(() => changes.length === 1);
  assert.deepEqual(changes, ['b']);
  assert.deepEqual(troubles, []);
});

test('an ERROR event inside a watch is treated as the status that it carries', async () => {
  server.script = ({ verb }, response) => {
    if (verb !== 'watch') return false;
    server.script = () => false;
    response.end(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } })}\n`);
    return true;
  };
  store.start();
  await store.synced;
  await waitingMs();
  clock.advance(30_000);
  await until(() => server.watchCount === 1);
  assert.equal(server.requests('list', 'nodes').length, 2);
  assert.deepEqual(troubles, []);
});

test('a list without an answer is given up and repeated', async () => {
  store = follow({ listTimeoutMs: 300 });
  let hung = 0;
  server.script = ({ verb }) => verb === 'list' && ++hung === 1;
  store.start();
  await waitingMs();
  assert.deepEqual(troubles, ['KUBE_TIMEOUT']);
  clock.advance(30_000);
  await store.synced;
});

test('a watch that falls silent is replaced', async () => {
  store = follow({ watchIdleMs: 300 });
  await started();
  await waitingMs();
  clock.advance(30_000);
  await until(() => server.requests('watch', 'nodes').length >= 2);
});

test('a watch that is not answered at all is given up long before one that falls silent', async () => {
  store = follow({ watchOpenMs: 300 });
  let hung = 0;
  server.script = ({ verb }) => verb === 'watch' && ++hung === 1;
  store.start();
  await waitingMs();
  assert.deepEqual(troubles, ['KUBE_TIMEOUT']);
  clock.advance(30_000);
  await until(() => troubles.length === 2);
  assert.deepEqual(troubles, ['KUBE_TIMEOUT', undefined]);
  // Open, it may be silent for as long as ever.
  await delay(600);
  assert.equal(server.requests('watch', 'nodes').length, 2);
});

test('a watch that outlives its timeout is ended by us', async () => {
  store = follow({ watchTimeoutSeconds: 0, watchGraceMs: 300 });
  await started();
  const chatter = setInterval(() => server.bookmark(), 5);
  await waitingMs();
  clearInterval(chatter);
});

test('a server that closes after each event is asked again no faster than the backoff allows', async () => {
  server.script = ({ verb, query }, response) => {
    if (verb !== 'watch') return false;
    const metadata = { name: 'a', resourceVersion: `${Number(query.get('resourceVersion')) + 1}` };
    response.end(`${JSON.stringify({ type: 'MODIFIED', object: { metadata } })}\n`);
    return true;
  };
  store.start();
  await store.synced;
  assert.equal(await waitingMs(), 1000);
  await delay(30);
  assert.equal(server.requests('watch', 'nodes').length, 1);
  clock.advance(1000);
  assert.equal(await waitingMs(), 2000);
});

test('a watch that ends after living 10 s is followed by the next at once, and the backoff starts over', async () => {
  refuse('list', 500, 3);
  store.start();
  for (let failures = 1; failures <= 3; failures++) await failed(failures);
  await store.synced;
  await until(isOpen);
  clock.advance(10_000);
  server.endWatches('end');
  await until(() => server.requests('watch', 'nodes').length === 2 && isOpen());
  server.endWatches('reset');
  assert.equal(await waitingMs(), 1000);
});

test('watches that keep breaking are told as one trouble, however often they open', async () => {
  server.script = ({ verb }, response) => {
    if (verb !== 'watch') return false;
    response.writeHead(200);
    response.flushHeaders();
    setImmediate(() => response.socket?.resetAndDestroy());
    return true;
  };
  store.start();
  await store.synced;
  for (let broken = 0; broken < 6; broken++) {
    await waitingMs();
    clock.advance(30_000);
  }
  await waitingMs();
  assert.deepEqual(troubles, ['KUBE_UNREACHABLE']);
});

test('a kind that the server does not know is told with its remedy, and found soon after its CRD is there', async () => {
  await store.stop();
  const resource = {
    group: 'localdns.dev',
    version: 'v1alpha1',
    plural: 'localdnsprofiles',
    kind: 'X',
    namespaced: false,
  };
  const told: (Trouble | undefined)[] = [];
  store = new Store({
    client,
    resource,
    clock,
    keep: (object: Labelled) => object,
    onTrouble: (trouble) => told.push(trouble),
  });
  store.start();
  for (let tries = 0; tries < 5; tries++) assert.ok((await advanceWait()) <= 3000);
  assert.equal(told[0]?.code, 'KUBE_RESOURCE_MISSING');
  assert.match(told[0]?.message ?? '', /localdnsprofiles\.localdns\.dev.*install the CRDs/);
  await waitingMs();
  server.know('localdnsprofiles');
  clock.advance(3000);
  await store.synced;
});

test('stop ends a watch at once', async () => {
  await synced();
  await store.stop();
  await until(() => server.watchCount === 0);
});

function clientFor(url: string): KubeClient {
  return new KubeClient({
    access: () => ({ server: url, origin: 'test', tls: {} }),
    fieldManager: 'test',
    userAgent: 'test',
  });
}

function follow(timing: Partial<StoreTiming> = {}): Store<Labelled, Labelled> {
  return new Store({
    client,
    resource: NODES,
    clock,
    timing,
    keep: (object: Labelled) => object,
    onTrouble: (trouble) => troubles.push(trouble?.code),
  });
}

async function synced(): Promise<void> {
  store.start();
  await store.synced;
  await until(isOpen);
}

/** The watch is open to the server, and the store knows: until then the end of its connection is that of a request without an answer. */
function isOpen(): boolean {
  return server.watchCount === 1 && clock.pendingMs().includes(10_000);
}

/** They are open, and nothing comes. */
function silenceWatches(): void {
  server.script = ({ verb }, response) => {
    if (verb !== 'watch') return false;
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    return true;
  };
}

async function started(): Promise<void> {
  store.start();
  await store.synced;
  await until(() => server.requests('watch', 'nodes').length === 1);
}

function refuse(verb: Seen['verb'], status: number, times: number): void {
  let answered = 0;
  server.script = (seen, response) => {
    if (seen.verb !== verb || ++answered > times) return false;
    fail(response, status, 'Refused', 'as scripted', {});
    return true;
  };
}

/** The store's wait before its next try, once it waits; an open watch has a timer of its own, which is set to 10 s. */
async function waitingMs(): Promise<number> {
  const waits = (): number[] => clock.pendingMs().filter((ms) => ms !== 10_000);
  await until(() => waits().length === 1);
  return waits()[0] ?? 0;
}

async function advanceWait(): Promise<number> {
  const waitMs = await waitingMs();
  clock.advance(waitMs);
  return waitMs;
}

/** The wait after the given number of failed lists; lets it pass. */
async function failed(failures: number): Promise<number> {
  await until(() => server.requests('list', 'nodes').length === failures);
  return advanceWait();
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 5_000; tries++) {
    if (holds()) return;
    await delay(2);
  }
  assert.fail(`never came true: ${holds}`);
}
