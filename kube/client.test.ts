import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import { eventually } from '../test/tools/eventually.ts';
import { FakeApiServer, fail, reply } from './api-server.fake.ts';
import { KubeClient } from './client.ts';
import { FakeClock } from './clock.fake.ts';
import { ApiError, type KubeError } from './errors.ts';
import { type KubeObject, NODES, type Resource } from './resource.ts';

const PROFILES: Resource = {
  group: 'localdns.dev',
  version: 'v1alpha1',
  plural: 'localdnsprofiles',
  kind: 'LocalDnsProfile',
  namespaced: false,
};

let server: FakeApiServer;
let client: KubeClient;
/** For what is never answered. */
let hasty: KubeClient;
let token: string;
let requests: string[];
let mayWrite: boolean;

beforeEach(async () => {
  server = new FakeApiServer(['nodes']);
  const url = await server.start();
  token = 'first';
  requests = [];
  mayWrite = true;
  const options = {
    access: () => ({ server: url, origin: 'test', tls: {}, bearerToken: token }),
    fieldManager: 'localdns-test',
    userAgent: 'localdns/test',
    mayWrite: () => mayWrite,
    onRequest: (verb: string, plural: string, code: string) => requests.push(`${verb} ${plural} ${code}`),
  };
  client = new KubeClient({ ...options, timeoutMs: 20_000 });
  hasty = new KubeClient({ ...options, timeoutMs: 200 });
});

afterEach(async () => {
  client.close();
  hasty.close();
  await server.stop();
});

test('requests one after the other share a connection', async () => {
  const sockets = new Set<Socket | null>();
  server.script = (_seen, response) => {
    sockets.add(response.socket);
    return false;
  };
  for (let count = 0; count < 5; count++) await client.get(NODES, 'a');
  assert.equal(sockets.size, 1);
});

test('a kept connection that the server has closed meanwhile costs nothing but one repetition', async () => {
  server.put('nodes', { metadata: { name: 'a' } });
  await client.get(NODES, 'a');
  let resets = 0;
  server.script = (_seen, response) => {
    if (++resets > 1) return false;
    response.socket?.resetAndDestroy();
    return true;
  };
  assert.equal((await client.get(NODES, 'a'))?.metadata.name, 'a');
});

test('creating is not repeated after a reset, since it may have happened', async () => {
  await client.get(NODES, 'a');
  server.script = (_seen, response) => {
    response.socket?.resetAndDestroy();
    return true;
  };
  await rejects(
    client.create(NODES, { metadata: { name: 'a' } }),
    'KUBE_UNREACHABLE',
    /cannot reach the API server at http/,
  );
  assert.equal(server.requests('create', 'nodes').length, 1);
});

test('apply sends a forced server-side apply under our manager, with kind and apiVersion', async () => {
  await client.apply(NODES, { metadata: { name: 'a', labels: { x: 'y' } } });
  const [seen] = server.requests('apply', 'nodes');
  assert.equal(seen?.headers['content-type'], 'application/apply-patch+yaml');
  assert.equal(seen?.query.get('fieldManager'), 'localdns-test');
  assert.equal(seen?.query.get('force'), 'true');
  assert.match(seen?.headers.accept ?? '', /^application\/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,/);
  assert.deepEqual([seen?.body?.apiVersion, seen?.body?.kind], ['v1', 'Node']);
  await client.apply(NODES, { metadata: { name: 'a' } });
  assert.deepEqual(server.get('nodes', 'a')?.metadata.labels, {});
});

test('apply on status changes the status alone', async () => {
  server.put('nodes', { metadata: { name: 'a' }, spec: { kept: true } });
  const object: KubeObject & { status: object } = { metadata: { name: 'a' }, status: { up: true } };
  await client.apply(NODES, object, { subresource: 'status' });
  assert.deepEqual(server.get('nodes', 'a')?.status, { up: true });
  assert.deepEqual(server.get('nodes', 'a')?.spec, { kept: true });
});

test('apply with the uid of an object that is gone is a conflict, not a creation', async () => {
  const error = await rejects(
    client.apply(NODES, { metadata: { name: 'a', uid: 'old' } }),
    'KUBE_API_409',
    /uid mismatch/,
  );
  assert.ok(error instanceof ApiError && error.isConflict);
});

test('delete spares another object of the same name, and an absent one is no error', async () => {
  server.put('nodes', { metadata: { name: 'a', uid: 'new' } });
  await rejects(client.delete(NODES, 'a', { uid: 'old' }), 'KUBE_API_409', /uid mismatch/);
  await client.delete(NODES, 'a', { uid: 'new' });
  await client.delete(NODES, 'a', { uid: 'new' });
  assert.equal(server.get('nodes', 'a'), undefined);
});

test('get of an absent object is undefined, of an unknown kind an error with its remedy', async () => {
  assert.equal(await client.get(NODES, 'a'), undefined);
  await rejects(
    client.get(PROFILES, 'a'),
    'KUBE_RESOURCE_MISSING',
    /localdnsprofiles\.localdns\.dev.*install the CRDs/,
  );
});

test('a request that gets no answer ends after its timeout', async () => {
  server.script = () => true;
  await rejects(hasty.get(NODES, 'a'), 'KUBE_TIMEOUT', /within 200 ms/);
});

test('an answer that stops half-way ends after the timeout too', async () => {
  server.script = (_seen, response) => {
    response.writeHead(200, { 'content-length': '100' });
    return response.write('{"meta');
  };
  await rejects(hasty.get(NODES, 'a'), 'KUBE_TIMEOUT', /stopped/);
});

test('an unreachable API server is one line with its address and what to check', async () => {
  await server.stop();
  const error = await rejects(client.get(NODES, 'a'), 'KUBE_UNREACHABLE', /ECONNREFUSED.*check the address/);
  assert.doesNotMatch(error.message, /\n/);
  await server.start();
});

test('a page of a proxy instead of JSON is named as such', async () => {
  server.script = (_seen, response) => {
    response.end('<html>Sign in');
    return true;
  };
  await rejects(client.get(NODES, 'a'), 'KUBE_BAD_RESPONSE', /not JSON.*Sign in/);
});

test('after 401 the credentials are read again, at once and once', async () => {
  server.put('nodes', { metadata: { name: 'a' } });
  server.script = ({ headers }, response) => {
    if (headers.authorization === 'Bearer second') return false;
    fail(response, 401, 'Unauthorized', 'Unauthorized', {});
    return true;
  };
  await rejects(client.get(NODES, 'a'), 'KUBE_API_401', /is the token or certificate expired/);
  assert.equal(server.seen.length, 2);
  token = 'second';
  assert.equal((await client.get(NODES, 'a'))?.metadata.name, 'a');
});

test('errors carry status, reason, Retry-After, and what the caller can do about them', async () => {
  const cases = [
    { status: 409, reason: 'Conflict', conflict: true, terminal: false },
    { status: 422, reason: 'Invalid', conflict: false, terminal: true },
    { status: 403, reason: 'Forbidden', conflict: false, terminal: false },
    { status: 429, reason: 'TooManyRequests', conflict: false, terminal: false },
    { status: 503, reason: 'ServiceUnavailable', conflict: false, terminal: false },
  ];
  for (const { status, reason, conflict, terminal } of cases) {
    server.script = (_seen, response) => {
      fail(response, status, reason, 'two\nlines', { name: 'a' }, { 'retry-after': '3' });
      return true;
    };
    const error = await rejects(
      client.apply(NODES, { metadata: { name: 'a' } }),
      `KUBE_API_${status}`,
      /apply nodes a: .*two; lines/,
    );
    assert.ok(error instanceof ApiError);
    assert.deepEqual(
      [error.status, error.reason, error.retryAfterMs, error.isConflict, error.isTerminal],
      [status, reason, 3000, conflict, terminal],
    );
  }
});

test('whoever may not write any more sends no write, and reads on', async () => {
  server.put('nodes', { metadata: { name: 'a' } });
  mayWrite = false;
  const object = { metadata: { name: 'a' } };
  for (const write of [
    () => client.apply(NODES, object),
    () => client.mergePatch(NODES, 'a', {}),
    () => client.create(NODES, object),
    () => client.delete(NODES, 'a', {}),
  ]) {
    await rejects(write(), 'KUBE_FENCED', /may not write any more/);
  }
  assert.equal((await client.get(NODES, 'a'))?.metadata.name, 'a');
  assert.deepEqual(
    server.seen.map(({ verb }) => verb),
    ['get'],
  );
});

test('writes go out at the rate that is set, and reads whenever', async () => {
  server.put('nodes', { metadata: { name: 'a' } });
  const clock = new FakeClock();
  const paced = new KubeClient({
    access: () => ({ server: server.url, origin: 'test', tls: {} }),
    ...{ fieldManager: 'localdns-test', userAgent: 'localdns/test', clock, writesPerSecond: 5 },
  });
  const written = Promise.all([1, 2, 3].map(() => paced.apply(NODES, { metadata: { name: 'a' } })));
  await eventually('the first has gone out', 10_000, () => server.requests('apply', 'nodes').length === 1);
  await paced.get(NODES, 'a');
  assert.equal(server.requests('apply', 'nodes').length, 1);
  assert.deepEqual(clock.pendingMs(), [100, 300]);
  clock.advance(300);
  await written;
  assert.equal(server.requests('apply', 'nodes').length, 3);
  paced.close();
});

test('whether it may write is asked when the connection is there, not before', async () => {
  const written = client.apply(NODES, { metadata: { name: 'a' } });
  mayWrite = false;
  await rejects(written, 'KUBE_FENCED', /may not write any more/);
  assert.deepEqual(server.seen, []);
});

test('over TLS it is asked after the handshake, which may take its time', async () => {
  const read = (name: string): string => readFileSync(new URL(`../test/fake/tls/${name}`, import.meta.url), 'utf8');
  let seen = 0;
  const secured = createServer(
    {
      key: read('server.key'),
      cert: read('server.crt'),
      SNICallback: (_name, proceed) => {
        mayWrite = false;
        proceed(null);
      },
    },
    () => seen++,
  );
  await new Promise<void>((resolve) => secured.listen(0, '127.0.0.1', resolve));
  const { port } = secured.address() as AddressInfo;
  const overTls = new KubeClient({
    access: () => ({
      server: `https://127.0.0.1:${port}`,
      origin: 'test',
      tls: { rejectUnauthorized: false, servername: 'dns.test' },
    }),
    fieldManager: 'localdns-test',
    userAgent: 'localdns/test',
    mayWrite: () => mayWrite,
  });
  await rejects(overTls.apply(NODES, { metadata: { name: 'a' } }), 'KUBE_FENCED', /may not write any more/);
  assert.equal(seen, 0);
  overTls.close();
  secured.close();
});

test('a write tells the server when we give it up', async () => {
  await client.apply(NODES, { metadata: { name: 'a' } });
  await client.delete(NODES, 'a', {});
  assert.deepEqual(
    server.seen.map(({ query }) => query.get('timeout')),
    ['20000ms', '20000ms'],
  );
});

test('every request is counted with its verb, kind and code, once', async () => {
  await client.get(NODES, 'a');
  server.script = (_seen, response) => {
    reply(response, 200, {});
    return true;
  };
  await client.apply(NODES, { metadata: { name: 'a' } });
  server.script = () => true;
  await hasty.get(NODES, 'a').catch(() => {});
  assert.deepEqual(requests, ['get nodes 404', 'apply nodes 200', 'get nodes KUBE_TIMEOUT']);
});

async function rejects(promise: Promise<unknown>, code: string, message: RegExp): Promise<KubeError> {
  try {
    await promise;
  } catch (error) {
    assert.equal((error as KubeError).code, code);
    assert.match((error as KubeError).message, message);
    return error as KubeError;
  }
  return assert.fail(`no error, wanted ${code}`);
}
