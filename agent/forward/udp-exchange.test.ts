import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { systemClock } from '../clock.ts';
import { ExchangeError } from './exchange-error.ts';
import { udpExchange } from './udp-exchange.ts';

/** `. IN NS` with an OPT record, as writeUpstreamQuery makes it. */
const query = Buffer.from(
  '0000 0120 0001 0000 0000 0001 00 0002 0001 00 0029 04d0 00000000 0000'.replaceAll(' ', ''),
  'hex',
);
const longMs = 5_000;

let upstream: Socket;
let sources: string[] = [];

before(async () => {
  upstream = createSocket('udp4');
  upstream.on('message', (packet, remote) => {
    sources.push(remote.address);
    const reply = Buffer.from(packet);
    reply[2] = 0x81;
    upstream.send(reply, remote.port, remote.address);
  });
  upstream.bind(0, '127.0.0.2');
  await once(upstream, 'listening');
});

after(() => upstream.close());

test('a server at another address than ours is asked from our own address', async () => {
  sources = [];
  const reply = await udpExchange({ address: '127.0.0.2', port: upstream.address().port }, query, longMs, systemClock);
  assert.deepEqual(reply.subarray(12), query.subarray(12));
  assert.deepEqual(sources, ['127.0.0.1']);
});

test('an address without a route is an error of the exchange, not an exception', async () => {
  const refused = (error: unknown) => error instanceof ExchangeError && error.code === 'NETWORK';
  await assert.rejects(udpExchange({ address: '255.255.255.255', port: 53 }, query, longMs, systemClock), refused);
});
