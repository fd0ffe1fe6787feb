import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../test/fake/clock.ts';
import { sampleBlock, sampleConfig } from '../../test/fake/node-config.ts';
import { FakeUpstreams } from '../../test/fake/upstream.ts';
import { Builder } from '../build.ts';
import { ResponseCache } from '../cache/response-cache.ts';
import { Tallies } from '../tallies.ts';
import { Swap } from './swap.ts';

test('the cache is warm before sockets open, and its blocks are known by then', async (t) => {
  const clock = new FakeClock();
  const transport = new FakeUpstreams(clock);
  const tallies = new Tallies(() => {});
  const builder = new Builder('node', new ResponseCache(1 << 20), transport, clock, tallies);
  const swap = new Swap(builder, clock, transport, tallies, {
    query() {},
    failure() {},
    exceptionOfSearchPath() {},
    privateAnswer() {},
    exception() {},
  });
  const desired = {
    config: sampleConfig({
      listeners: [
        {
          name: 'cluster',
          addresses: ['127.0.0.1'],
          intercept: false,
          tracked: false,
          serverBlocks: [sampleBlock({ zone: '.' })],
        },
      ],
    }),
    listen: { cluster: [{ address: '127.0.0.1', port: 0 }] },
    destinations: { clusterDns: ['192.0.2.1:53'], nodeDns: [] },
  };
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
