import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { ListenError } from './listener.ts';
import { Listeners } from './listeners.ts';
import { openTcp } from './tcp.ts';
import { openUdp } from './udp.ts';

const anyPort = { address: '127.0.0.1', port: 0 };

let opened: Listeners[] = [];

function listeners(): Listeners {
  const made = new Listeners((name, _packet, reply) => reply.send(Buffer.from(name), name.length));
  opened.push(made);
  return made;
}

afterEach(async () => {
  for (const each of opened) await (await each.open({}))(0);
  opened = [];
});

async function whoServes(port: number): Promise<string> {
  const socket = createSocket('udp4');
  try {
    socket.send('?', port, '127.0.0.1');
    const [answer] = (await once(socket, 'message')) as [Buffer];
    return answer.toString();
  } finally {
    socket.close();
  }
}

test('each listener serves at its own addresses, over UDP and TCP on one port', async () => {
  const open = listeners();
  await open.open({ cluster: [anyPort], node: [anyPort] });
  const served = await Promise.all(open.addresses.map(async ({ name, port }) => [name, await whoServes(port)]));
  assert.deepEqual(served, [
    ['cluster', 'cluster'],
    ['node', 'node'],
  ]);
  for (const { port } of open.addresses) {
    await assert.rejects(
      openTcp({ address: '127.0.0.1', port }, () => {}),
      { code: 'EADDRINUSE' },
    );
  }
});

test('addresses that stay keep their sockets; those that go are served until they are closed', async () => {
  const open = listeners();
  const address = '127.0.0.2';
  await open.open({ cluster: [anyPort], node: [{ address, port: 0 }] });
  const [before] = open.addresses;
  const closeOld = await open.open({ cluster: [anyPort] });
  assert.equal(await whoServes(before?.port ?? 0), 'cluster');
  assert.equal(open.addresses.length, 2);
  await closeOld(0);
  assert.deepEqual(open.addresses, [before]);
});

test('where one of several addresses cannot be had, none is opened, and what was open stays', async () => {
  const open = listeners();
  await open.open({ node: [anyPort] });
  const before = open.addresses;
  const taken = await openUdp(anyPort, () => {});
  const free = await openUdp(anyPort, () => {});
  await free.close(0);
  try {
    const wanted = [anyPort, { address: '127.0.0.1', port: free.port }, { address: '127.0.0.1', port: taken.port }];
    await assert.rejects(open.open({ node: wanted }), (error) => error instanceof ListenError);
    assert.deepEqual(open.addresses, before);
    const again = await openUdp({ address: '127.0.0.1', port: free.port }, () => {});
    await again.close(0);
  } finally {
    await taken.close(0);
  }
});

test('a TCP port that is taken leaves no UDP socket behind', async () => {
  const taken = await openTcp(anyPort, () => {});
  const at = { address: '127.0.0.1', port: taken.port };
  try {
    await assert.rejects(listeners().open({ node: [at] }), /\(TCP\)/);
    const udp = await openUdp(at, () => {});
    await udp.close(0);
  } finally {
    await taken.close(0);
  }
});

/** The cluster listener, at a port that is named: one that was free for UDP, and turns out to be free for TCP. */
async function openSomewhere(open: Listeners): Promise<{ address: string; port: number }> {
  for (;;) {
    const probe = createSocket('udp4').bind(0, '127.0.0.1');
    await once(probe, 'listening');
    const at = { address: '127.0.0.1', port: probe.address().port };
    probe.close();
    await once(probe, 'close');
    try {
      await (await open.open({ cluster: [at] }))(0);
      return at;
    } catch (error) {
      if (!(error instanceof ListenError && error.code === 'EADDRINUSE')) throw error;
    }
  }
}

test('an address that goes over to the other listener keeps its sockets, and is served by the new one at the change', async () => {
  const open = listeners();
  const at = await openSomewhere(open);
  const change = await open.open({ node: [at] });
  assert.equal(await whoServes(at.port), 'cluster');
  await change(0);
  assert.equal(await whoServes(at.port), 'node');
});
