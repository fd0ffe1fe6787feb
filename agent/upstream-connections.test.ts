import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { SocketUpstream } from '../test/fake/socket-upstream.ts';
import { eventually } from '../test/tools/eventually.ts';
import { unmarked } from './forward/outgoing.ts';
import { Metrics } from './metrics.ts';
import { Tallies } from './tallies.ts';
import { countingConnections } from './upstream-connections.ts';

test('connections to upstream servers are counted while they are open, and attempts are none', async (t) => {
  const upstream = await new SocketUpstream().open();
  t.after(() => upstream.close());
  const metrics = new Metrics('1.2.3');
  const outgoing = countingConnections(unmarked, new Tallies((notice) => metrics.add(notice)));
  const shown = async (transport: string) => {
    const labels = `upstream="${upstream.endpoint}",transport="${transport}"`;
    const name = `localdns_upstream_connections{${labels}} `;
    return (await metrics.expose())
      .split('\n')
      .find((line) => line.startsWith(name))
      ?.slice(name.length);
  };
  const tls = { serverName: 'dns.example' };
  const at = { address: '127.0.0.1', port: upstream.port };
  const sockets = [outgoing.tcp(at), outgoing.tcp(at), outgoing.tcp({ ...at, tls })];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  equal(await shown('tcp'), '0');
  for (const socket of sockets) socket.connect(at.port, at.address);
  await eventually('two', 5_000, async () => (await shown('tcp')) === '2');
  await eventually('one over TLS', 5_000, async () => (await shown('tls')) === '1');
  sockets[0]?.destroy();
  await eventually('one', 5_000, async () => (await shown('tcp')) === '1');
  const never = outgoing.tcp(at);
  never.destroy();
  equal(await shown('tcp'), '1');
});
