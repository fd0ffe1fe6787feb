import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { parseEndpoint } from '../../api/v1alpha1/address.ts';
import { exchange } from '../exchange.ts';
import { encodeQuery, readReply } from '../message.ts';
import { startEmbeddedDns } from './server.ts';
import { defaultServices, type ServiceList } from './services-file.ts';

const address = '127.0.0.1';

/** A headless Service whose answer needs TCP. */
const many: ServiceList = {
  services: [
    {
      namespace: 'demo',
      name: 'many',
      clusterIPs: [],
      endpoints: Array.from({ length: 60 }, (_, at) => ({ address: `10.244.1.${at}` })),
      ports: [],
    },
  ],
  records: [],
};

async function start(t: TestContext, services: ServiceList = defaultServices()) {
  const dns = await startEmbeddedDns({ services, clusterDomain: 'cluster.local', address, port: 0 });
  t.after(() => dns.close());
  const server = parseEndpoint(dns.endpoint);
  assert.ok(server);
  const ask = async (name: string, { type = 1, useTcp = false } = {}) => {
    const asked = await exchange({ name, type }, { server, useTcp, timeoutMs: 5_000, id: 4711 });
    assert.ok('reply' in asked, JSON.stringify(asked));
    return asked;
  };
  return { dns, server, ask };
}

const web = 'web.demo.svc.cluster.local';

test('answers with authority over UDP and over TCP', async (t) => {
  const { ask } = await start(t);
  for (const useTcp of [false, true]) {
    const { reply, transport } = await ask(web, { useTcp });
    assert.equal(transport, useTcp ? 'TCP' : 'UDP');
    assert.deepEqual(reply.flags, ['qr', 'aa', 'rd']);
    assert.deepEqual(
      reply.answers.map((record) => record.data),
      ['10.96.12.34'],
    );
  }
});

test('the rest of the world is refused, without authority', async (t) => {
  const { reply } = await (await start(t)).ask('www.example.org');
  assert.deepEqual([reply.rcode, reply.flags], ['REFUSED', ['qr', 'rd']]);
});

test("the client's spelling comes back (RFC 4343 §4.1)", async (t) => {
  const { reply } = await (await start(t)).ask('wEb.Demo.svc.cluster.LOCAL');
  assert.equal(reply.question?.name, 'wEb.Demo.svc.cluster.LOCAL');
  assert.deepEqual(
    reply.answers.map(({ name }) => name),
    ['wEb.Demo.svc.cluster.LOCAL'],
  );
});

test('an answer that is too large for UDP is empty and marked, and whole over TCP (RFC 2181 §9)', async (t) => {
  const { server, ask } = await start(t, many);
  const udp = createSocket('udp4');
  t.after(() => udp.close());
  udp.send(encodeQuery({ id: 1, name: 'many.demo.svc.cluster.local', type: 1 }), server.port, address);
  const [packet] = await once(udp, 'message');
  const cut = readReply(packet);
  assert.deepEqual([cut?.isTruncated, cut?.answers.length], [true, 0]);

  const { reply, transport } = await ask('many.demo.svc.cluster.local');
  assert.deepEqual([transport, reply.isTruncated, reply.answers.length], ['TCP', false, 60]);
});

test('many queries on a connection are all answered, however the stream is cut (RFC 7766 §8)', async (t) => {
  const { server } = await start(t);
  const names = [web, 'kubernetes.default.svc.cluster.local', 'nope.demo.svc.cluster.local'];
  const frames = names.map((name, id) => {
    const query = encodeQuery({ id, name, type: 1 });
    return Buffer.concat([Buffer.from([query.length >> 8, query.length & 0xff]), query]);
  });
  const stream = Buffer.concat(frames);
  for (const cut of [1, 2, 20, stream.length - 1]) {
    const socket = connect({ host: address, port: server.port, noDelay: true, allowHalfOpen: true });
    socket.write(stream.subarray(0, cut));
    // Turns of the loop let the first part arrive by itself; the test holds in any case.
    await new Promise((resolve) => setImmediate(resolve));
    // A client that ends its side still gets its answers.
    socket.end(stream.subarray(cut));
    let received = Buffer.alloc(0);
    for await (const chunk of socket) received = Buffer.concat([received, chunk]);
    const ids: number[] = [];
    for (let at = 0; at < received.length; at += 2 + received.readUInt16BE(at)) {
      ids.push(received.readUInt16BE(at + 2));
    }
    assert.deepEqual(ids, [0, 1, 2]);
  }
});

test('another list is served from the next query on', async (t) => {
  const { dns, ask } = await start(t);
  assert.equal((await ask(web)).reply.rcode, 'NOERROR');
  dns.replace(many);
  assert.equal((await ask(web)).reply.rcode, 'NXDOMAIN');
  assert.equal((await ask('many.demo.svc.cluster.local')).reply.rcode, 'NOERROR');
});

test('a client that asks and does not read is not read from either', async (t) => {
  const { server, ask } = await start(t, many);
  const query = encodeQuery({ id: 1, name: 'many.demo.svc.cluster.local', type: 1 });
  const frame = Buffer.concat([Buffer.from([query.length >> 8, query.length & 0xff]), query]);
  const socket = connect({ host: address, port: server.port });
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  // Some 25 MB of questions, so 900 MB of answers: more than any kernel buffers for a client that never reads.
  const flood = Buffer.concat(new Array<Buffer>(1000).fill(frame));
  for (let at = 0; at < 300; at++) {
    socket.write(flood);
    // Whoever else asks is answered meanwhile.
    await ask('nope.demo.svc.cluster.local');
  }
  assert.ok(socket.writableLength > 0, 'the server has read everything');
});

test('malformed packets end nothing, and get an error or silence', async (t) => {
  const { server, ask } = await start(t);
  const udp = createSocket('udp4');
  t.after(() => udp.close());
  const good = encodeQuery({ id: 7, name: web, type: 1 });
  for (let at = 0; at < good.length; at++) {
    for (const octet of [0, 1, 0x3f, 0xc0, 0xff]) {
      const bad = Buffer.from(good);
      bad[at] = octet;
      udp.send(bad, server.port, address);
    }
    udp.send(good.subarray(0, at), server.port, address);
    // One by one, or the kernel would drop what it has no room for.
    assert.equal((await ask(web)).reply.rcode, 'NOERROR');
  }
});

test('a port that is taken is said by its name', async (t) => {
  const { server } = await start(t);
  const second = startEmbeddedDns({
    services: defaultServices(),
    clusterDomain: 'cluster.local',
    address,
    port: server.port,
  });
  await assert.rejects(second, { code: 'EADDRINUSE', port: server.port });
});
