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

test('what is read anew is read by name and version, and whole only where that is another than the one known', async () => {
  silenceWatches();
  await started();
  server.put('nodes', { metadata: { name: 'b', labels: { is: 'changed' } }, status: { beat: 1 } });
  server.put('nodes', { metadata: { name: 'd' }, status: { beat: 2 } });
  server.remove('nodes', 'a');
  const { length } = server.requests('list', 'nodes');
  await store.refresh();
  assert.deepEqual(
    [...store.list()].map(({ metadata, status }) => [metadata.name, metadata.labels?.is, status?.beat]).sort(),
    [
      ['b', 'changed', 1],
      ['c', undefined, undefined],
      ['d', undefined, 2],
    ],
  );
  const [all, ...single] = server.requests('list', 'nodes').slice(length);
  assert.match(all?.headers.accept ?? '', /^application\/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,/);
  assert.deepEqual([...(all?.query ?? [])], []);
  assert.deepEqual(single.map(({ query }) => query.get('fieldSelector')).sort(), [
    'metadata.name=b',
    'metadata.name=d',
  ]);
  assert.ok(single.every(({ headers }) => headers.accept === 'application/json'));
  // What was read then is known.
  await store.refresh();
  assert.equal(server.requests('list', 'nodes').length, length + 4);
});

test('what has changed is read within what the store follows', async () => {
  await store.stop();
  for (const name of ['a', 'b']) server.put('nodes', { metadata: { name, labels: { is: 'mine' } } });
  store = new Store({
    ...{ client, resource: NODES, clock, labelSelector: 'is=mine', fieldSelector: 'metadata.name=a' },
    keep: (object: Labelled) => object,
  });
  silenceWatches();
  await started();
  server.put('nodes', { metadata: { name: 'a', labels: { is: 'mine' } }, status: { beat: 1 } });
  await store.refresh();
  assert.deepEqual(
    server.requests('list', 'nodes').map(({ query }) => [query.get('labelSelector'), query.get('fieldSelector')]),
    [
      ['is=mine', 'metadata.name=a'],
      ['is=mine', 'metadata.name=a'],
      ['is=mine', 'metadata.name=a,metadata.name=a'],
    ],
  );
  assert.equal(store.get('a')?.status?.beat, 1);
});

test('where nothing has changed nothing is read whole, whatever of an object is kept, and whether it came by a list or a watch', async () => {
  await store.stop();
  store = new Store({
    ...{ client, resource: NODES, clock },
    keep: ({ metadata }: Labelled) => ({ metadata: { name: metadata.name } }),
  });
  await synced();
  server.put('nodes', { metadata: { name: 'a' }, status: { beat: 1 } });
  server.put('nodes', { metadata: { name: 'd' } });
  await until(() => store.get('d') !== undefined);
  await store.refresh();
  assert.equal(server.requests('list', 'nodes').length, 2);
  assert.equal(store.size, 4);
});

test('what changes while it is read anew is taken as it was in the list, and then told by the watch', async () => {
  silenceWatches();
  await started();
  server.put('nodes', { metadata: { name: 'b' }, status: { beat: 1 } });
  const beats: (number | undefined)[] = [];
  store.onChange((_key, _old, now) => beats.push(now?.status?.beat));
  server.script = ({ verb, query }) => {
    if (verb === 'list' && query.has('fieldSelector')) {
      server.script = () => false;
      server.put('nodes', { metadata: { name: 'b' }, status: { beat: 2 } });
      server.put('nodes', { metadata: { name: 'b' }, status: { beat: 3 } });
    }
    return false;
  };
  await store.refresh();
  await until(() => beats.length === 3);
  assert.deepEqual(beats, [1, 2, 3]);
});

test('all is read whole where what is read by name is of another version than was listed', async () => {
  silenceWatches();
  await started();
  server.put('nodes', { metadata: { name: 'b' }, status: { beat: 1 } });
  server.script = ({ verb, query }, response) => {
    if (verb !== 'list' || !query.has('fieldSelector')) return false;
    reply(response, 200, { metadata: {}, items: [{ metadata: { name: 'b', resourceVersion: '1' } }] });
    return true;
  };
  await store.refresh();
  assert.equal(store.get('b')?.status?.beat, 1);
});

test('all is read whole where the version that was listed is gone already, and no more is asked for of it', async () => {
  silenceWatches();
  await started();
  for (let node = 0; node < 20; node++) server.put('nodes', { metadata: { name: `more-${node}` } });
  let compactions = 0;
  server.script = ({ verb, query }) => {
    if (verb === 'list' && query.has('fieldSelector') && compactions++ === 0) server.compact();
    return false;
  };
  await store.refresh();
  assert.deepEqual([store.size, compactions], [23, 8]);
  assert.equal(server.requests('list', 'nodes').length, 1 + 1 + 8 + 1);
  assert.deepEqual(troubles, []);
});

test('all is read whole where more has changed than a page has', async () => {
  store = follow({ pageSize: 3 });
  silenceWatches();
  await started();
  for (const name of ['d', 'e', 'f', 'g']) server.put('nodes', { metadata: { name } });
  server.remove('nodes', 'a');
  await store.refresh();
  assert.deepEqual([...store.keys()].sort(), ['b', 'c', 'd', 'e', 'f', 'g']);
  await store.refresh();
  const asked = server.requests('list', 'nodes').map(({ query }) => [query.get('fieldSelector'), query.get('limit')]);
  assert.deepEqual(asked, [
    [null, '3'],
    [null, null],
    [null, '3'],
    [null, '3'],
    [null, null],
  ]);
});

test('of what is read by its name eight are asked for at once', async () => {
  silenceWatches();
  await started();
  for (let node = 0; node < 20; node++) server.put('nodes', { metadata: { name: `more-${node}` } });
  let open = 0;
  let most = 0;
  server.script = ({ verb, query }, response) => {
    if (verb !== 'list' || !query.has('fieldSelector')) return false;
    most = Math.max(most, ++open);
    const object = server.get('nodes', query.get('fieldSelector')?.split('=')[1] ?? '');
    // When all have come that come before there is an answer.
    setTimeout(() => {
      open -= 1;
      reply(response, 200, { metadata: {}, items: [object] });
    }, 50);
    return true;
  };
  await store.refresh();
  assert.deepEqual([most, store.size], [8, 23]);
});

test('all is read whole where one of what has changed cannot be read, and nothing is taken before', async () => {
  silenceWatches();
  await started();
  server.put('nodes', { metadata: { name: 'b' }, status: { beat: 1 } });
  server.put('nodes', { metadata: { name: 'd' } });
  server.remove('nodes', 'a');
  store.onChange((key) => changes.push(key));
  const before: string[][] = [];
  server.script = ({ verb, query }, response) => {
    if (verb === 'list' && query.has('limit')) before.push([...changes]);
    if (verb !== 'list' || query.get('fieldSelector') !== 'metadata.name=d') return false;
    fail(response, 500, 'Refused', 'as scripted', {});
    return true;
  };
  await store.refresh();
  assert.deepEqual([before, changes.sort(), troubles], [[[]], ['a', 'b', 'd'], []]);
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
