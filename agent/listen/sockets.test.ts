import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { isLibc, linux, loadLibc } from '../libc.ts';
import { openBatched } from './batched.ts';
import { openDgram } from './dgram.ts';
import { ListenError, type Listener, type ServePacket } from './listener.ts';
import { Listeners } from './listeners.ts';
import { openSocket } from './sockets.ts';
import { openTcp } from './tcp.ts';

const anyPort = { address: '127.0.0.1', port: 0, transparent: true };

/** Why this machine cannot try it. */
function lack(): string | false {
  const libc = loadLibc();
  if (!isLibc(libc)) return `no system calls: ${libc.reason}`;
  try {
    libc.close(openSocket(anyPort, 'UDP'));
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}

suite('a socket that others may hold beside it', { skip: lack() }, () => {
  let opened: Listener[] = [];
  afterEach(async () => {
    for (const listener of opened) await listener.close(0);
    opened = [];
  });

  async function open(how: typeof openDgram, at: typeof anyPort, name: string): Promise<Listener> {
    const serve: ServePacket = (_packet, reply) => reply.send(Buffer.from(name), name.length);
    const listener = await how(at, serve);
    opened.push(listener);
    return listener;
  }

  async function askUdp(port: number): Promise<string> {
    const socket = createSocket('udp4');
    socket.send('?', port, '127.0.0.1');
    const [answer] = (await once(socket, 'message')) as [Buffer];
    socket.close();
    return answer.toString();
  }

  async function askTcp(port: number): Promise<string> {
    const socket = connect(port, '127.0.0.1');
    socket.write(Buffer.of(0, 1, 0x3f));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return answer.subarray(2).toString();
  }

  for (const [transport, how, ask] of [
    ['UDP', openBatched, askUdp],
    ['UDP through dgram', openDgram, askUdp],
    ['TCP', openTcp, askTcp],
  ] as const) {
    test(`over ${transport} what comes goes to the one that it is led to, and to whoever is left`, async () => {
      const first = await open(how, anyPort, 'first');
      const at = { ...anyPort, port: first.port };
      const second = await open(how, at, 'second');
      const answers = () => Promise.all(Array.from({ length: 8 }, () => ask(first.port)));
      second.steer?.(0);
      assert.deepEqual(new Set(await answers()), new Set(['first']));
      second.steer?.(1);
      assert.deepEqual(new Set(await answers()), new Set(['second']));
      await second.close(0);
      opened = [first];
      assert.deepEqual(new Set(await answers()), new Set(['first']));
    });

    test(`over ${transport} it is refused where somebody holds the address alone`, async () => {
      const { address } = anyPort;
      const alone = await how({ address, port: 0 }, () => {});
      opened.push(alone);
      assert.equal(alone.steer, undefined);
      await assert.rejects(
        how({ ...anyPort, port: alone.port }, () => {}),
        (error) => {
          assert.ok(error instanceof ListenError);
          assert.equal(error.code, 'EADDRINUSE');
          assert.match(error.message, /another process has it/);
          return true;
        },
      );
    });
  }

  test('a program that only allows its address to be bound again cannot take it', async () => {
    for (const how of [openBatched, openDgram]) {
      const { port } = await open(how, anyPort, 'ours');
      const thief = createSocket({ type: 'udp4', reuseAddr: true });
      const outcome = new Promise((resolve) => {
        thief.once('listening', () => resolve('bound'));
        thief.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      });
      thief.bind(port, '127.0.0.1');
      assert.equal(await outcome.finally(() => thief.close()), 'EADDRINUSE');
    }
  });

  test('what waits in front of a slow client leaves room for answers to others', async () => {
    const libc = loadLibc();
    if (!isLibc(libc)) return;
    const fd = openSocket(anyPort, 'UDP');
    const room = libc.getsockopt(fd, linux.levelSocket, linux.sendBuffer, 4).readUInt32LE();
    libc.close(fd);
    assert.ok(room >= 16 << 20, String(room));
  });

  test('it may be on no interface, in either family', () => {
    const libc = loadLibc();
    if (!isLibc(libc)) return;
    for (const address of ['192.0.2.99', '2001:db8::99']) {
      for (const transport of ['UDP', 'TCP'] as const) {
        try {
          libc.close(openSocket({ address, port: 0, transparent: true }, transport));
        } catch (error) {
          // A machine without IPv6 has no such sockets at all.
          assert.equal((error as ListenError).code, 'EAFNOSUPPORT');
        }
      }
    }
  });

  test('a refusal leaves no descriptor behind', async () => {
    const libc = loadLibc();
    if (!isLibc(libc)) return;
    const taken = await openBatched({ address: '127.0.0.1', port: 0 }, () => {});
    opened.push(taken);
    const next = () => {
      const fd = libc.socket(linux.familyIpv4, linux.datagram, 0);
      libc.close(fd);
      return fd;
    };
    const before = next();
    assert.throws(() => openSocket({ ...anyPort, port: taken.port }, 'UDP'), { code: 'EADDRINUSE' });
    assert.equal(next(), before);
  });

  suite('where there are several, what comes is led', () => {
    let listeners: Listeners;
    beforeEach(async () => {
      listeners = new Listeners(() => {});
      await listeners.open({
        node: ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map((address) => ({ ...anyPort, address })),
      });
    });
    afterEach(async () => {
      await (await listeners.open({}))(0);
    });

    test('to one after the other: clients are answered in between', async () => {
      const underWay = new Set<string>();
      const asked = new Set<string>();
      const trouble = await listeners.steer(async ({ address }, overTcp) => {
        const socket = `${address} ${overTcp}`;
        underWay.add(socket);
        asked.add(socket);
        assert.equal(underWay.size, 1, [...underWay].join(', '));
        await Promise.resolve();
        underWay.delete(socket);
        return 'self';
      });
      assert.equal(trouble, undefined);
      assert.equal(asked.size, 6);
    });

    test('to the others, too, where one hangs', async () => {
      const asked = new Set<string>();
      let giveUp = () => {};
      const patience = new Promise<void>((resolve) => {
        giveUp = resolve;
      });
      const trouble = await listeners.steer(async ({ address }, overTcp) => {
        asked.add(`${address} ${overTcp}`);
        if (asked.size === 6) giveUp();
        if (address !== '127.0.0.1') return 'self';
        await patience;
        return 'nobody';
      });
      assert.match(trouble ?? '', /127\.0\.0\.1 port/);
    });
  });
});
