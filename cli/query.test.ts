import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { type Answer, decode, encode } from 'dns-packet';
import { exchange } from './exchange.ts';
import { startEmbeddedDns } from './quickstart/server.ts';
import { defaultServices } from './quickstart/services-file.ts';

const address = '127.0.0.1';
const web = 'web.demo.svc.cluster.local';

async function query(...args: string[]) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), 'query', ...args]);
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ]);
  return { code, lines: stdout.split('\n').slice(0, -1), stderr };
}

async function clusterDns(t: TestContext): Promise<string> {
  const dns = await startEmbeddedDns({ services: defaultServices(), clusterDomain: 'cluster.local', address, port: 0 });
  t.after(() => dns.close());
  return dns.endpoint;
}

/** A UDP server that sends the packets it is told, in order, for each query. */
async function scripted(t: TestContext, replies: (query: Buffer) => Buffer[]): Promise<number> {
  const udp = createSocket('udp4');
  t.after(() => udp.close());
  udp.on('message', (packet, from) => {
    for (const reply of replies(packet)) udp.send(reply, from.port, from.address);
  });
  udp.bind(0, address);
  await once(udp, 'listening');
  return udp.address().port;
}

/** An answer to a query, with options of EDNS. */
function answer(packet: Buffer, data: string, { id = 0, name = '', options = [] as object[] } = {}): Buffer {
  const { questions = [] } = decode(packet);
  const [question] = questions;
  assert.ok(question);
  const opt = { type: 'OPT', name: '.', udpPayloadSize: 1232, extendedRcode: 0, ednsVersion: 0, flags: 0, options };
  return encode({
    type: 'response',
    id: packet.readUInt16BE(0) + id,
    questions: [{ ...question, name: name || question.name }],
    answers: [{ type: 'A', name: question.name, ttl: 30, data }],
    additionals: [opt as unknown as Answer],
  });
}

test('shows records, code, server, time and cache', async (t) => {
  const server = await clusterDns(t);
  const { code, lines } = await query(web, '--server', server);
  const time = lines.splice(5, 1)[0] ?? '';
  assert.match(time, /^;; TIME: {3}\d+\.\d ms$/);
  assert.deepEqual(lines, [
    `${web}. 5 IN A 10.96.12.34`,
    ';;',
    ';; RCODE:  NOERROR',
    ';; FLAGS:  qr aa rd',
    `;; SERVER: ${server} over UDP`,
    ';; CACHE:  unknown (not LocalDNS)',
  ]);
  assert.equal(code, 0);
});

test('a denial is shown with its authority, and is exit code 1', async (t) => {
  const { code, lines } = await query('nope.cluster.local', 'AAAA', '--server', await clusterDns(t), '--tcp');
  assert.deepEqual(lines.slice(0, 2), [
    ';; no AAAA record of nope.cluster.local.',
    ';; authority: cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5',
  ]);
  assert.ok(lines.includes(';; RCODE:  NXDOMAIN') && lines.some((line) => line.endsWith('over TCP')));
  assert.equal(code, 1);
});

test('short prints data alone; an address is asked for by -x', async (t) => {
  const server = await clusterDns(t);
  const [forward, back] = await Promise.all([
    query(web, 'TYPE1', '--short', '--server', server),
    query('-x', '10.96.12.34', '--short', '--server', server),
  ]);
  assert.deepEqual([forward.lines, back.lines], [['10.96.12.34'], [`${web}.`]]);
});

test('what the agent says about an answer is shown', async (t) => {
  const port = await scripted(t, (packet) => {
    // The query asks for it with an empty option (RFC 6891 §6.1.2: code, then length).
    assert.ok(packet.includes(Buffer.from([0xfd, 0xe9, 0, 0])));
    const stale = { code: 65001, data: Buffer.from([2]) };
    const error = { code: 15, data: Buffer.from('\0\x03upstream is down') };
    return [answer(packet, '192.0.2.1', { options: [stale, error] })];
  });
  const { lines } = await query('a.example', '--server', `${address}:${port}`);
  assert.ok(lines.includes(';; EDE:    3 (Stale Answer): "upstream is down"'), lines.join('\n'));
  assert.equal(lines.at(-1), ';; CACHE:  yes, stale: past its TTL');
});

test('nobody there is exit code 2 and one line', async () => {
  const { code, lines, stderr } = await query('a.example', '--server', `${address}:1`);
  assert.deepEqual([code, lines, stderr], [2, [], 'localdns query: nothing listens on 127.0.0.1:1\n']);
});

test('a server that no route leads to is exit code 2 and one line', async () => {
  // Nobody may connect to the broadcast address without saying so, if there is a way to it at all.
  const { code, lines, stderr } = await query('a.example', '--server', '255.255.255.255');
  assert.deepEqual([code, lines], [2, []]);
  assert.match(stderr, /^localdns query: 255\.255\.255\.255:53 cannot be reached: .*(EACCES|ENETUNREACH).*\n$/);
});

test('wrong words are named', async () => {
  const wrong: [string[], RegExp][] = [
    [[], /^localdns query: NAME is missing/],
    [['a..b'], /^localdns query: NAME: .*empty label/],
    [['a', 'NOPE'], /^localdns query: TYPE .*: NOPE\n$/],
    [['a', 'A', 'b'], /^localdns query: .* b\?\n$/],
    [['-x', 'a.b'], /^localdns query: --reverse .*: a\.b\n$/],
    [['a', '--server', 'localhost'], /^localdns query: --server .*: localhost\n$/],
  ];
  for (const [args, complaint] of wrong) {
    const { code, stderr } = await query(...args);
    assert.match(stderr, complaint);
    assert.equal(code, 2);
  }
});

const options = { useTcp: false, timeoutMs: 5_000, id: 4711 };

test('an answer to another question, with another id, or torn, is not taken (RFC 5452 §9.1)', async (t) => {
  const port = await scripted(t, (packet) => [
    answer(packet, '192.0.2.66', { id: 1 }),
    answer(packet, '192.0.2.66', { name: 'b.example' }),
    answer(packet, '192.0.2.66').subarray(0, 20),
    packet,
    answer(packet, '192.0.2.1'),
  ]);
  const asked = await exchange({ name: 'a.example', type: 1 }, { server: { address, port }, ...options });
  assert.ok('reply' in asked, JSON.stringify(asked));
  assert.deepEqual(
    asked.reply.answers.map(({ data }) => data),
    ['192.0.2.1'],
  );
});

test('silence ends at the time limit', async (t) => {
  const port = await scripted(t, () => []);
  const asked = await exchange(
    { name: 'a.example', type: 1 },
    { server: { address, port }, ...options, timeoutMs: 50 },
  );
  assert.deepEqual(asked, { failure: `127.0.0.1:${port} did not answer within 0.05 s` });
});
