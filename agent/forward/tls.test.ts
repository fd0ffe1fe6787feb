/** RFC 7858 and the strict profile of RFC 8310 §5, over real sockets. */
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createPlainServer } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { FakeClock } from '../../test/fake/clock.ts';
import { buildAnswer, buildQuery, readMessage } from '../../test/fake/message.ts';
import { eventually } from '../../test/tools/eventually.ts';
import { TcpPools } from './tcp-pool.ts';
import { promised } from './transport.ts';

const fixtures = join(import.meta.dirname, '../../test/fake/tls');
const read = (name: string) => readFileSync(join(fixtures, name), 'utf8');
const caBundle = read('ca.crt');

let server: Server;
let pools: TcpPools;
let clock: FakeClock;
const accepted: { resumed: boolean; serverName: string | false | null }[] = [];
const open = new Set<Socket>();

before(async () => {
  server = createServer({ key: read('server.key'), cert: read('server.crt') }, (socket: TLSSocket) => {
    accepted.push({ resumed: socket.isSessionReused(), serverName: socket.servername });
    open.add(socket);
    socket.on('error', () => {});
    socket.on('data', (frame: Buffer) => {
      const answer = buildAnswer(frame.subarray(2), { answers: ['www.example 60 A 192.0.2.1'] });
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.write(Buffer.concat([length, answer]));
    });
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  clock = new FakeClock();
  pools = new TcpPools(clock);
});

afterEach(() => {
  pools.close();
  accepted.length = 0;
});

after(() => {
  for (const socket of open) socket.destroy();
  server.close();
});

function ask(tls: { serverName: string; caBundle?: string }, port = (server.address() as AddressInfo).port) {
  const server = { address: '127.0.0.1', port, tls };
  return promised((asker) => pools.ask(server, buildQuery({ name: 'www.example', id: 0 }), 2_000, asker));
}

test('queries go over one connection to the server that proves its name, which is told whom we mean', async () => {
  for (const _ of [1, 2]) {
    const reply = await ask({ serverName: 'dns.corp.example', caBundle });
    deepEqual(readMessage(reply).answers, ['www.example 60 A 192.0.2.1']);
  }
  deepEqual(
    accepted.map(({ serverName }) => serverName),
    ['dns.corp.example'],
  );
});

test('an address may stand for the name, and is not sent as one', async () => {
  await ask({ serverName: '127.0.0.1', caBundle });
  deepEqual(
    accepted.map(({ serverName }) => serverName || 'none'),
    ['none'],
  );
});

test('the next connection resumes the session of the one before', async () => {
  const tls = { serverName: 'dns.corp.example', caBundle };
  await ask(tls);
  // Tickets come behind the handshake, with the first answer at the latest.
  await eventually('a session to resume', 5_000, async () => {
    for (const socket of open) socket.destroy();
    open.clear();
    await ask(tls);
    return accepted.at(-1)?.resumed === true;
  });
});

for (const [who, serverName, bundle, why] of [
  ['another name', 'dns.other.example', caBundle, /Hostname\/IP does not match/],
  ['another address', '127.0.0.2', caBundle, /does not match/],
  ['an authority that nobody trusts', 'dns.corp.example', undefined, /self.signed|unable to (get|verify)/],
] as const) {
  test(`a certificate for ${who} ends the connection before anything is asked`, async () => {
    const tls = { serverName, ...(bundle !== undefined && { caBundle: bundle }) };
    await rejects(ask(tls), { code: 'NETWORK', message: why });
  });
}

test('what the environment says of certificates changes nothing: RFC 8310 §5, strict', async () => {
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  try {
    for (const tls of [{ serverName: 'dns.other.example', caBundle }, { serverName: 'dns.corp.example' }]) {
      await rejects(ask(tls), { code: 'NETWORK' });
    }
  } finally {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  }
});

test('RFC 9525 §2: a name in the subject alone is none, an address among the alternatives is one', async () => {
  const cert = read('name-in-subject.crt');
  const other = createServer({ key: read('server.key'), cert }, (socket) => socket.on('error', () => {}).destroy());
  other.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  try {
    await rejects(ask({ serverName: 'dns.corp.example', caBundle: cert }, port), {
      code: 'NETWORK',
      message: /does not contain a DNS name/,
    });
    // The handshake is good, and then nobody answers.
    await rejects(ask({ serverName: '127.0.0.1', caBundle: cert }, port), {
      code: 'NETWORK',
      message: /upstream closed the connection|connection was closed|ECONNRESET/,
    });
  } finally {
    other.close();
  }
});

test('a server that does not speak TLS is not asked in plain', async () => {
  const received: Buffer[] = [];
  const plain = createPlainServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data: Buffer) => {
      received.push(data);
      socket.end('no');
    });
  });
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  await rejects(ask({ serverName: 'dns.corp.example', caBundle }, (plain.address() as AddressInfo).port), {
    code: 'NETWORK',
  });
  plain.close();
  equal(received.length > 0, true);
  equal(Buffer.concat(received).readUInt16BE(0), 0x1603, 'a handshake, and no query');
});

test('servers of one address and two names have connections of their own', async () => {
  await ask({ serverName: 'dns.corp.example', caBundle });
  await rejects(ask({ serverName: 'dns.other.example', caBundle }), { code: 'NETWORK' });
});
