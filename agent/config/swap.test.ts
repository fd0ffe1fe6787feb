import { deepEqual, equal, fail, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { formatEndpoint } from '../../api/v1alpha1/address.ts';
import { FakeClock } from '../../test/fake/clock.ts';
import { buildQuery, readMessage } from '../../test/fake/message.ts';
import { sampleBlock, sampleConfig } from '../../test/fake/node-config.ts';
import { FakeUpstreams } from '../../test/fake/upstream.ts';
import { Builder } from '../build.ts';
import { ResponseCache } from '../cache/response-cache.ts';
import type { ListenerName } from '../listen/listeners.ts';
import { ListenerCount } from '../server/plan.ts';
import { Tallies, type TallyNotice } from '../tallies.ts';
import { Swap } from './swap.ts';

function scene(names: ListenerName[]) {
  const clock = new FakeClock();
  const transport = new FakeUpstreams(clock);
  const notices: TallyNotice[] = [];
  const tallies = new Tallies((notice) => notices.push(notice));
  const builder = new Builder('node', new ResponseCache(1 << 20), transport, clock, tallies);
  const swap = new Swap(builder, clock, transport, tallies, {
    query: () => true,
    failure() {},
    exceptionOfSearchPath() {},
    privateAnswer() {},
    exception() {},
  });
  const rest = {
    addresses: ['127.0.0.1'],
    intercept: false,
    tracked: false,
    serverBlocks: [sampleBlock({ zone: '.' })],
  };
  const desired = {
    config: sampleConfig({ listeners: names.map((name) => ({ name, ...rest })) }),
    listen: Object.fromEntries(names.map((name) => [name, [{ address: '127.0.0.1', port: 0 }]])),
    destinations: { clusterDns: ['192.0.2.1:53'], nodeDns: [] },
  };
  const counted = (name: ListenerName, what: keyof typeof ListenerCount) => {
    const notice = notices.find(({ kind, labels }) => kind === 'listener' && labels.listener === name);
    return notice && new Float64Array(notice.buffer)[ListenerCount[what]];
  };
  return { swap, builder, transport, desired, counted };
}

test('the cache is warm before sockets open, and its blocks are known by then', async (t) => {
  const { swap, builder, desired } = scene(['cluster']);
  t.after(() => swap.close());
  let start: Buffer | undefined;
  await swap.apply(desired, async () => {
    deepEqual(swap.listening, []);
    const { value } = builder.snapshot(0, () => false).next();
    start = value instanceof Buffer ? value : undefined;
  });
  equal(start?.includes('["cluster","."'), true);
  equal(swap.listening.length, 1);
});

test('what a client has under way at one listener it has not at the other, which counts that it is refused', async (t) => {
  const { swap, transport, desired, counted } = scene(['cluster', 'node']);
  await swap.apply(desired);
  const sockets: Socket[] = [];
  t.after(async () => {
    for (const socket of sockets) socket.resetAndDestroy();
    await swap.close();
  });
  const ask = (at: number, name: string) => {
    const socket = connect(swap.listening[at]?.port ?? 0, '127.0.0.1');
    sockets.push(socket);
    const query = buildQuery({ name });
    socket.write(Buffer.concat([Buffer.of(0, query.length), query]));
    return socket;
  };
  for (let number = 0; number < 100; number += 1) ask(0, `${number}.example`);
  while (transport.queries.length < 100) await new Promise(setImmediate);
  const refused = ask(1, 'refused.example');
  await Promise.race([once(refused, 'close'), once(refused, 'error')]);
  deepEqual([counted('cluster', 'refusedPerClient'), counted('node', 'refusedPerClient')], [0, 1]);
});

test('a question as of a pod goes to the cluster listener, over TCP where the answer is cut; to whom there is without one', async (t) => {
  const { swap, transport, desired } = scene(['node', 'cluster']);
  t.after(() => swap.close());
  await rejects(swap.askAsPod(buildQuery({ name: 'www.example' })), /not served/);
  await swap.apply(desired);
  const at = (name: ListenerName) => formatEndpoint(swap.listening.find((one) => one.name === name) ?? fail());
  transport.respond = (query) => query.answer(query.overTcp ? { rcode: 'NXDOMAIN' } : { flags: ['TC'] });
  const reply = await swap.askAsPod(buildQuery({ name: 'www.example' }));
  equal(readMessage(reply).rcode, 'NXDOMAIN');
  deepEqual(
    transport.queries.map(({ server, overTcp }) => [server, overTcp]),
    [
      [at('cluster'), false],
      [at('cluster'), true],
    ],
  );
  const { swap: other, transport: others, desired: nodeOnly } = scene(['node']);
  t.after(() => other.close());
  await other.apply(nodeOnly);
  others.respond = (query) => query.answer();
  await other.askAsPod(buildQuery({ name: 'www.example' }));
  equal(others.queries.length, 1);
});
