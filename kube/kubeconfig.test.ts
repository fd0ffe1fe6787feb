import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FakeClock } from './clock.fake.ts';
import { Connection } from './connection.ts';
import { KubeconfigError } from './errors.ts';
import { type Access, readAccess } from './kubeconfig.ts';

const folder = mkdtempSync(join(tmpdir(), 'localdns-kubeconfig-'));
after(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | object): string {
  const file = join(folder, name);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

/** A kubeconfig with one cluster and one user, as kubectl writes it. */
function kubeconfig(user: object, cluster: object = {}): object {
  return {
    'current-context': 'here',
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443/', ...cluster } }],
    users: [{ name: 'u', user }],
  };
}

test('certificates come from data or from files beside the kubeconfig', () => {
  write('client.key', 'KEY');
  const path = write(
    'certs',
    kubeconfig(
      { 'client-certificate-data': Buffer.from('CERT').toString('base64'), 'client-key': 'client.key' },
      { 'certificate-authority-data': Buffer.from('CA').toString('base64'), 'tls-server-name': 'api' },
    ),
  );
  const access = readAccess({ path, env: {} });
  assert.equal(access.server, 'https://10.0.0.1:6443');
  assert.deepEqual(access.tls, { ca: 'CA', cert: 'CERT', key: 'KEY', servername: 'api' });
});

test('a token file is read anew each time, and beats the token beside it', () => {
  write('token', 'one\n');
  const path = write('with-token', kubeconfig({ token: 'written', tokenFile: 'token' }));
  assert.equal(readAccess({ path, env: {} }).bearerToken, 'one');
  write('token', 'two');
  assert.equal(readAccess({ path, env: {} }).bearerToken, 'two');
});

test('KUBECONFIG may list several files, whose entries are merged', () => {
  const context = write('part1', {
    'current-context': 'x',
    contexts: [{ name: 'x', context: { cluster: 'y', user: 'z' } }],
  });
  const cluster = write('part2', { clusters: [{ name: 'y', cluster: { server: 'http://there' } }] });
  const users = write('part3', { users: [{ name: 'z', user: { token: 't' } }] });
  const access = readAccess({ env: { KUBECONFIG: `${context}:${cluster}:${join(folder, 'absent')}:${users}` } });
  assert.deepEqual([access.server, access.bearerToken], ['http://there', 't']);
});

test('a pod uses its ServiceAccount, unless a kubeconfig is named', () => {
  write('ca.crt', 'CA');
  write('token', 'pod');
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
  const access = readAccess({ env, serviceAccountFolder: folder });
  assert.deepEqual([access.server, access.bearerToken, access.tls.ca], ['https://[fd00::1]:6443', 'pod', 'CA']);
  const path = write('named', kubeconfig({}));
  assert.equal(readAccess({ path, env, serviceAccountFolder: folder }).server, 'https://10.0.0.1:6443');
});

test('who acts as somebody else is sent as kubectl sends it', async () => {
  const user = {
    ...{ as: 'jane', 'as-uid': '7', 'as-groups': ['system:masters', 'dev'] },
    'as-user-extra': { 'Acme/Scope': ['one', 'two'] },
  };
  const path = write('as', kubeconfig({ token: 't', ...user }));
  const { headers } = await new Connection(() => readAccess({ path, env: {} }), new FakeClock()).current();
  assert.deepEqual(headers, {
    authorization: 'Bearer t',
    'impersonate-user': 'jane',
    'impersonate-uid': '7',
    'impersonate-group': ['system:masters', 'dev'],
    'impersonate-extra-acme%2Fscope': ['one', 'two'],
  });
});

test('what is missing or malformed is said in one line', () => {
  const cases: [string | undefined, RegExp][] = [
    [undefined, /no kubeconfig: pass --kubeconfig FILE, set KUBECONFIG/],
    [join(folder, 'absent'), /absent does not exist: check --kubeconfig/],
    [write('no-yaml', 'a: [b'), /no-yaml is not YAML/],
    [write('empty', ''), /empty is empty/],
    [write('no-context', { clusters: [] }), /no current-context/],
    [write('lost-cluster', { ...kubeconfig({}), clusters: [] }), /no cluster c with a server/],
    [write('groups-alone', kubeconfig({ 'as-groups': ['dev'] })), /as-groups.* need a user: add `as`/],
    [write('extra-alone', kubeconfig({ 'as-user-extra': { scope: ['one'] } })), /as-user-extra .* need a user/],
    [write('lost-key', kubeconfig({ 'client-key': 'nowhere' })), /cannot read the client key .*nowhere: ENOENT/],
  ];
  for (const [path, message] of cases) {
    assert.throws(
      () => readAccess({ ...(path === undefined ? {} : { path }), env: {} }),
      (error) => error instanceof KubeconfigError && message.test(error.message) && !error.message.includes('\n'),
      `${path} should say ${message}`,
    );
  }
});

test('the connection is kept while the certificates stay, and replaced when they rotate', async () => {
  const clock = new FakeClock();
  let access: Access = { server: 'https://x', origin: '', tls: { ca: undefined } as object, bearerToken: 'one' };
  const connection = new Connection(() => access, clock);
  const first = await connection.current();
  access = { ...access, bearerToken: 'two' };
  assert.equal((await connection.current()).headers.authorization, 'Bearer one');
  clock.advance(30_000);
  const second = await connection.current();
  assert.equal(second.headers.authorization, 'Bearer two');
  assert.equal(second.agent, first.agent);
  access = { ...access, tls: { servername: 'other' } };
  clock.advance(30_000);
  assert.notEqual((await connection.current()).agent, first.agent);
});

test('a file that cannot be read for a moment does not break a connection that works', async () => {
  const clock = new FakeClock();
  let broken = false;
  const connection = new Connection(() => {
    if (broken) throw new KubeconfigError('half-written');
    return { server: 'https://x', origin: '', tls: {} };
  }, clock);
  const route = await connection.current();
  broken = true;
  clock.advance(30_000);
  assert.equal(await connection.current(), route);
});

test('a credential plugin is run for its token, and its failure is one line', async () => {
  const entry = (command: string): Access => ({
    server: 'https://x',
    origin: 'test.yaml',
    tls: {},
    exec: { userName: command, entry: { command } },
  });
  const plugin = write('plugin', `#!/bin/sh\necho '{"status":{"token":"granted"}}'\n`);
  chmodSync(plugin, 0o755);
  const route = await new Connection(() => entry(plugin), new FakeClock()).current();
  assert.equal(route.headers.authorization, 'Bearer granted');
  await assert.rejects(
    new Connection(() => entry(join(folder, 'none')), new FakeClock()).current(),
    (error) =>
      error instanceof KubeconfigError &&
      /credential plugin of test.yaml failed \(.*ENOENT.*\): run its command by hand/.test(error.message),
  );
});
