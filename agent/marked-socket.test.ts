import assert from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { after, afterEach, before, suite, test } from 'node:test';
import { buildAnswer, buildQuery, readMessage } from '../test/fake/message.ts';
import { SocketUpstream } from '../test/fake/socket-upstream.ts';
import { systemClock } from './clock.ts';
import { marked } from './forward/outgoing.ts';
import { exchange, loopbackTransport, networkTransport } from './forward/transport.ts';
import { isLibc, linux, loadLibc, socketAddress } from './libc.ts';
import { markedTcp, markedUdp } from './marked-socket.ts';

const mark = 0x20;
const address = '127.0.0.1';

/** Why this machine cannot try it. */
function lack(): string | false {
  const libc = loadLibc();
  if (!isLibc(libc)) return `no system calls: ${libc.reason}`;
  try {
    markedUdp(4, mark).close();
    return false;
  } catch (error) {
    return `marks need the capability NET_ADMIN: ${(error as Error).message}`;
  }
}

test('socket addresses are written as the kernel reads them', () => {
  const octets = (text: string, port = 53) => [...socketAddress(text, port)].slice(2);
  assert.deepEqual(octets('192.0.2.1', 0x1234), [0x12, 0x34, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  const v6 = (text: string) => Buffer.from(octets(text).slice(6, 22)).toString('hex');
  assert.equal(octets('::1').length, 26);
  assert.equal(v6('::'), '0'.repeat(32));
  assert.equal(v6('::1'), `${'0'.repeat(31)}1`);
  assert.equal(v6('fd00:10::a:b'), 'fd0000100000000000000000000a000b');
  assert.equal(v6('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008');
  assert.equal(v6('2001:db8::'), '20010db8000000000000000000000000');
  assert.equal(v6('::ffff:192.0.2.1'), '00000000000000000000ffffc0000201');
});

test('the codes that the kernel answers with come back as errors', (context) => {
  const libc = loadLibc();
  if (!isLibc(libc)) {
    context.skip(libc.reason);
    return;
  }
  const fd = libc.socket(linux.familyIpv4, linux.datagram, 0);
  assert.throws(() => libc.setsockopt(fd, linux.levelSocket, 9999, Buffer.alloc(4)), { code: 'ENOPROTOOPT' });
  libc.close(fd);
  assert.throws(() => libc.close(fd), { code: 'EBADF' });
});

suite('a marked socket', { skip: lack() }, () => {
  let server: Server;
  let port: number;
  before(async () => {
    server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk) => socket.write(`echo ${chunk}`));
      socket.on('end', () => socket.end(' bye'));
    }).listen(0, address);
    await once(server, 'listening');
    port = (server.address() as { port: number }).port;
  });
  after(() => server.close());

  /** What a test leaves open where it fails would keep the process alive. */
  let opened: { tcp: Socket[]; udp: UdpSocket[] } = { tcp: [], udp: [] };
  afterEach(() => {
    for (const socket of opened.tcp) socket.destroy();
    for (const socket of opened.udp) socket.close();
    opened = { tcp: [], udp: [] };
  });
  const tcp = (localAddress?: string) => {
    const socket = markedTcp(4, mark, localAddress);
    opened.tcp.push(socket);
    return socket;
  };
  const udp = (socket: UdpSocket) => {
    opened.udp.push(socket);
    return socket;
  };

  const descriptors = () => readdirSync('/proc/self/fd').length;

  test('over TCP, loses a connection whose packets are not acknowledged', () => {
    const libc = loadLibc();
    assert.ok(isLibc(libc));
    const socket = markedTcp(4, mark);
    const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
    assert.equal(libc.getsockopt(fd, linux.levelTcp, linux.tcpUserTimeout, 4).readUInt32LE(), 500);
    socket.destroy();
  });

  test('over TCP it connects, talks, closes one half, and reads the rest', async () => {
    const socket = tcp('127.0.0.2');
    socket.setNoDelay(true);
    socket.connect({ host: address, port });
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
      if (text === 'echo hello') socket.end();
    });
    socket.write('hello');
    await once(socket, 'close');
    assert.equal(text, 'echo hello bye');
  });

  test('over TCP it leaves from the address that it was given', async () => {
    const socket = tcp('127.0.0.2');
    socket.connect({ host: address, port });
    await once(socket, 'connect');
    assert.equal(socket.localAddress, '127.0.0.2');
  });

  test('a refused connection is an error as on any other socket', async () => {
    const socket = tcp();
    socket.connect({ host: address, port: 1 });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });

  test('whatever becomes of it, its descriptor is closed, and once', async () => {
    const round = async () => {
      const sockets = [tcp(), tcp(), tcp(), tcp()];
      sockets[1]?.connect({ host: address, port });
      sockets[2]?.connect({ host: address, port: 1 });
      sockets[3]?.connect({ host: '255.255.255.255', port: 53 });
      for (const socket of sockets.slice(2)) socket.on('error', () => {});
      const closed = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
      for (const socket of sockets.slice(0, 2)) socket.destroy();
      await Promise.all(closed);
      const datagrams = markedUdp(4, mark);
      await new Promise<void>((resolve) => datagrams.close(resolve));
      // A refusal leaves nothing behind either: no interface has the address.
      assert.throws(() => markedUdp(4, mark, '192.0.2.99'), { code: 'EADDRNOTAVAIL' });
      assert.throws(() => markedTcp(4, mark, '192.0.2.99'), { code: 'EADDRNOTAVAIL' });
    };
    await round();
    const before = descriptors();
    for (let count = 0; count < 10; count += 1) await round();
    assert.ok(descriptors() <= before, `${descriptors()} descriptors, ${before} before`);
  });

  test('over UDP nobody else can bind its port, though Node has adopted it', async () => {
    const socket = udp(markedUdp(4, mark, address));
    const thief = udp(createSocket({ type: 'udp4', reuseAddr: true }));
    const outcome = new Promise((resolve) => {
      thief.once('listening', () => resolve('bound'));
      thief.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });
    thief.bind(socket.address().port, address);
    assert.equal(await outcome, 'EADDRINUSE');
  });

  test('queries over UDP and TCP are answered as over unmarked ones', async () => {
    const upstream = await new SocketUpstream().open();
    const answers = ['www.example 60 A 192.0.2.1'];
    upstream.respond = ({ bytes, send }) => send(buildAnswer(bytes, { answers }));
    const query = buildQuery({ name: 'www.example', id: 0 });
    for (const transport of [networkTransport(systemClock, mark), loopbackTransport(systemClock, mark)]) {
      for (const overTcp of [false, true]) {
        const reply = await exchange(transport, { address, port: upstream.port }, overTcp, query, 5_000);
        assert.deepEqual(readMessage(reply).answers, answers);
      }
      transport.close();
    }
    await upstream.close();
    const gone = { address, port: upstream.port };
    const transport = networkTransport(systemClock, mark);
    await assert.rejects(exchange(transport, gone, false, query, 5_000), { code: 'NETWORK' });
    await assert.rejects(exchange(transport, gone, true, query, 5_000), { code: 'NETWORK' });
    transport.close();
  });

  test('each query over UDP has a source port of its own', () => {
    const sockets = Array.from({ length: 8 }, () => udp(marked(mark).udp({ address, port: 53 })));
    assert.equal(new Set(sockets.map((socket) => socket.address().port)).size, 8);
  });

  test('IPv6 as well', async (context) => {
    const echo = createSocket('udp6');
    try {
      echo.bind(0, '::1');
      await once(echo, 'listening');
    } catch {
      context.skip('this machine has no IPv6');
      return;
    }
    echo.on('message', (message, remote) => echo.send(message, remote.port, remote.address));
    udp(echo);
    const socket = udp(markedUdp(6, mark, '::1'));
    socket.send('six', echo.address().port, '::1');
    const [message] = (await once(socket, 'message')) as [Buffer];
    assert.equal(message.toString(), 'six');
  });
});
