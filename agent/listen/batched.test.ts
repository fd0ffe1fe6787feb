import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { afterEach, mock, suite, test } from 'node:test';
import { intOption, isLibc, linux, loadLibc, socketAddress } from '../libc.ts';
import type { Reply } from '../server/server.ts';
import { hasBatches, openBatched } from './batched.ts';
import { FakeKernel } from './datagram-kernel.fake.ts';
import { batchSize } from './datagrams.ts';
import type { Listener, ServePacket, TellMishap } from './listener.ts';

const deadlineMs = 1_000;

suite('datagrams in batches', { skip: hasBatches() ? false : 'no system calls for batches' }, () => {
  const open: (Listener | Socket)[] = [];
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close(0 as never);
  });

  async function ask(address: string, port: number): Promise<string> {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    open.push(socket);
    // One that is connected takes answers from this address alone.
    socket.connect(port, address);
    await once(socket, 'connect');
    socket.send('?');
    const [answer] = (await once(socket, 'message')) as [Buffer];
    return answer.toString();
  }

  test('a socket of all addresses answers from the one that was asked, at once and later', async () => {
    for (const [any, asked] of [
      ['0.0.0.0', ['127.0.0.1', '127.0.0.2']],
      ['::', ['::1']],
    ] as const) {
      const listener = await openBatched({ address: any, port: 0 }, (packet, reply) => {
        const answer = () => reply.send(Buffer.from(reply.client), reply.client.length);
        if (packet.length === 1) setImmediate(answer);
        else answer();
      });
      open.push(listener);
      for (const address of asked) {
        const { length } = await ask(address, listener.port);
        assert.ok(length > 2, address);
      }
    }
  });

  test('the client is known by its address, while its query is served and after it', async () => {
    for (const address of ['::1', '127.0.0.1']) {
      const seen: string[] = [];
      const listener = await openBatched({ address, port: 0 }, (_packet, reply) => {
        seen.push(reply.client);
        setImmediate(() => {
          seen.push(reply.client);
          reply.send(Buffer.from('!'), 1);
        });
      });
      open.push(listener);
      await ask(address, listener.port);
      assert.deepEqual(seen, [address, address]);
    }
  });

  test('what finds the buffer full is counted, once', async () => {
    let served = 0;
    let overrun = 0;
    const serve: ServePacket = (_packet, reply) => {
      served += 1;
      reply.drop();
    };
    const listener = await openBatched({ address: '127.0.0.1', port: 0 }, serve, (what, times = 1) => {
      if (what === 'overrun') overrun += times;
    });
    open.push(listener);
    const socket = createSocket('udp4');
    open.push(socket);
    socket.connect(listener.port, '127.0.0.1');
    await once(socket, 'connect');
    const sent = 8_000;
    // The loop does not turn meanwhile, so nobody reads.
    for (let count = 0; count < sent; count += 1) socket.send('?');
    listener.tellOverrun?.();
    assert.ok(overrun > 0 && overrun < sent, String(overrun));
    listener.tellOverrun?.();
    const before = overrun;
    for (let count = 0; count < sent; count += 1) socket.send('?');
    // Nobody looks again before it is closed.
    await listener.close(5_000);
    open.splice(open.indexOf(listener), 1);
    assert.ok(overrun > before, String(overrun));
    assert.equal(served, 2 * sent - overrun);
  });

  test('a packet can be read by words in the memory that it lies in', async () => {
    const seen: [string, string][] = [];
    const kernel = await withKernel((packet, reply) => {
      const { buffer, byteOffset } = reply.memory ?? new Int32Array();
      const inMemory = Buffer.from(buffer, byteOffset + packet.byteOffset, packet.length).toString();
      seen.push([inMemory, packet.toString()]);
      reply.drop();
    });
    const from = socketAddress('192.0.2.7', 1024);
    kernel.incoming = ['one', 'another one', 'x'].map((text) => ({ from, text }));
    kernel.readable();
    assert.deepEqual(
      seen,
      ['one', 'another one', 'x'].map((text) => [text, text]),
    );
  });

  test('what a query begins with promises goes on, though nothing else happens in the process', async () => {
    const script = `
      const { openBatched } = require('${resolve(import.meta.dirname, 'batched.ts')}');
      const echo = async (packet, reply) => {
        const text = Buffer.from(packet);
        for (let step = 0; step < 3; step += 1) await undefined;
        reply.send(text, text.length);
      };
      openBatched({ address: '127.0.0.1', port: 0 }, echo).then(({ port }) => console.log(port));`;
    const server = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [port] = await once(server.stdout, 'data');
    const askedAtMs = performance.now();
    assert.equal(await ask('127.0.0.1', Number(port)), '?');
    const tookMs = performance.now() - askedAtMs;
    server.kill();
    // Sooner or later something does happen.
    assert.ok(tookMs < deadlineMs, `${tookMs} ms`);
  });

  test('an error of the socket, such as an ICMP message makes one, leaves it open to all others', async () => {
    const replies: Reply[] = [];
    const listener = await openBatched({ address: '127.0.0.1', port: 0 }, (packet, reply) => {
      if (packet.toString() === 'gone') replies.push(reply);
      else reply.send(packet, packet.length);
    });
    open.push(listener);
    const libc = loadLibc();
    assert.ok(isLibc(libc) && 'fd' in listener);
    // IP_RECVERR: the socket hears of every ICMP message.
    libc.setsockopt(Number(listener.fd), linux.levelIp, 11, intOption(1));
    const gone = createSocket('udp4');
    gone.send('gone', listener.port, '127.0.0.1');
    while (replies.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await new Promise<void>((resolve) => gone.close(() => resolve()));
    replies[0]?.send(Buffer.from('x'), 1);
    for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await ask('127.0.0.1', listener.port), '?');
    assert.equal(await ask('127.0.0.1', listener.port), '?');
  });

  /** A real socket, whose datagrams the test makes. */
  async function withKernel(serve: ServePacket, tell?: TellMishap): Promise<FakeKernel> {
    const libc = loadLibc();
    assert.ok(isLibc(libc));
    const kernel = new FakeKernel();
    open.push(await openBatched({ address: '127.0.0.1', port: 0 }, serve, tell, { ...libc, batches: kernel }));
    return kernel;
  }

  test('a socket that cannot be set up is closed', async () => {
    const libc = loadLibc();
    assert.ok(isLibc(libc));
    const closed: number[] = [];
    const getsockname = () => {
      throw new Error('no name');
    };
    const close = (fd: number) => {
      closed.push(fd);
      libc.close(fd);
    };
    const at = { address: '127.0.0.1', port: 0 };
    const broken = { ...libc, batches: new FakeKernel(), getsockname, close };
    await assert.rejects(
      openBatched(at, () => {}, undefined, broken),
      /no name/,
    );
    assert.equal(closed.length, 1);
  });

  test('a packet from port 0, where no answer can go, is not served', async () => {
    const [served, told]: string[][] = [[], []];
    const kernel = await withKernel(
      (packet, reply) => {
        served?.push(packet.toString());
        reply.drop();
      },
      (what) => told?.push(what),
    );
    kernel.incoming = [0, 9].map((port) => ({ from: socketAddress('192.0.2.7', port), text: `from ${port}` }));
    kernel.readable();
    assert.deepEqual([served, told], [['from 9'], ['forged']]);
  });

  test('a flood leaves the loop to others after some batches, and goes on in the next turn', async () => {
    let served = 0;
    const kernel = await withKernel((packet, reply) => {
      served += 1;
      reply.send(packet, packet.length);
    });
    const from = socketAddress('192.0.2.7', 9);
    kernel.incoming = Array.from({ length: 1_000 }, () => ({ from, text: '?' }));
    kernel.readable();
    assert.ok(served >= batchSize && served <= 4 * batchSize, String(served));
    assert.equal(kernel.sent.length, served);
    while (kernel.incoming.length > 0) kernel.readable();
    assert.equal(kernel.sent.length, 1_000);
  });

  test('where all is answered and nothing goes on the loop takes no further turn', async () => {
    let isOver = true;
    const kernel = await withKernel((packet, reply) => {
      reply.send(packet, packet.length);
      return isOver;
    });
    const turns = mock.method(globalThis, 'setImmediate');
    const ask = () => {
      kernel.incoming = [7, 8].map((port) => ({ from: socketAddress('192.0.2.7', port), text: '?' }));
      kernel.readable();
      return turns.mock.callCount();
    };
    const counts = [ask()];
    isOver = false;
    counts.push(ask());
    turns.mock.restore();
    assert.deepEqual(counts, [0, 1]);
    assert.equal(kernel.sent.length, 4);
  });

  test('answers that come later go to whom their queries came from, all of a turn in one call', async () => {
    const replies: Reply[] = [];
    const kernel = await withKernel((_packet, reply) => replies.push(reply));
    kernel.incoming = [7, 8].map((port) => ({ from: socketAddress('192.0.2.7', port), text: '?' }));
    kernel.readable();
    kernel.incoming = [{ from: socketAddress('192.0.2.8', 9), text: '?' }];
    kernel.readable();
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    await turn();
    for (const reply of replies) reply.send(Buffer.from('!'), 1);
    assert.equal(kernel.sent.length, 0);
    await turn();
    assert.deepEqual(
      kernel.sent.map(({ to }) => to),
      ['192.0.2.7:7', '192.0.2.7:8', '192.0.2.8:9'],
    );
  });

  test('an answer that the kernel does not take is told of', async () => {
    const told: string[] = [];
    const kernel = await withKernel(
      (packet, reply) => reply.send(packet, packet.length),
      (what) => told.push(what),
    );
    kernel.takes = [0];
    kernel.incoming = [{ from: socketAddress('192.0.2.7', 9), text: '?' }];
    kernel.readable();
    assert.deepEqual(told, ['unsent']);
  });
});
