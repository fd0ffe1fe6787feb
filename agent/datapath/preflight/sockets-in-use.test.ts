import { deepEqual, equal } from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { capabilitiesOf, versionOf } from './gather.ts';
import { parseSockets, socketsOn } from './sockets-in-use.ts';

const heading =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n';

test('sockets are read as the kernel writes them, of IPv4 and IPv6', () => {
  const line = (local: string, state: string, inode: number) =>
    `   1: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 2 0000 0\n`;
  deepEqual(parseSockets(`${heading}${line('3500007F:0035', '07', 42)}`, 'udp'), [
    { protocol: 'udp', address: '127.0.0.53', port: 53, inode: '42' },
  ]);
  const v6 = line('000000FD00000000000000001100000A:0035', '0A', 7);
  deepEqual(parseSockets(`${heading}${v6}${line('00000000000000000000000000000000:14E9', '0A', 8)}`, 'tcp'), [
    { protocol: 'tcp', address: 'fd00::a00:11', port: 53, inode: '7' },
    { protocol: 'tcp', address: '::', port: 5353, inode: '8' },
  ]);
});

test('TCP sockets that are connected, and lines that are none, are passed over', () => {
  const connected = '   1: 0100007F:0035 0100007F:9999 01 0:0 0:0 0 0 0 9\n';
  deepEqual(parseSockets(`${heading}${connected}\nnonsense\n   2: XX:0035 0 0A`, 'tcp'), []);
});

test('the sockets of this machine are found with their holder', async (t) => {
  const udp = createSocket('udp4').bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const { port } = udp.address();
  const tcp = createServer().listen(port, '::1');
  t.after(() => Promise.all([udp.close(), tcp.close()]));
  await once(tcp, 'listening');
  const mine = socketsOn(new Set([port])).filter(({ holder }) => holder?.pid === process.pid);
  deepEqual(mine.map(({ protocol, address }) => `${protocol} ${address}`).sort(), ['tcp ::1', 'udp 127.0.0.1']);
});

test('capabilities and the version of nft are read as they are told, or are none', () => {
  equal(capabilitiesOf('Name:\tnode\nCapEff:\t0000000000001400\nCapBnd:\tff\n'), (1n << 12n) | (1n << 10n));
  equal(capabilitiesOf(''), 0n);
  equal(versionOf('nftables v1.0.6 (Lester Gooch #5)\n'), '1.0.6');
  equal(versionOf('nftables v1.1 (x)'), '1.1');
  equal(versionOf(''), undefined);
});
