import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settle } from '../../test/fake/clock.ts';
import { buildQuery } from '../../test/fake/message.ts';
import { askOf } from '../../test/fake/receiver.ts';
import { FakeUpstreams, type Respond } from '../../test/fake/upstream.ts';
import { Upstream, UpstreamCount, upstreamCounts } from './upstream.ts';

const message = buildQuery({ name: 'www.example', id: 0 });

function scene(respond: Respond) {
  const clock = new FakeClock();
  const network = new FakeUpstreams(clock, respond);
  const counts = new Float64Array(upstreamCounts);
  const upstream = new Upstream({ address: '192.0.2.1', port: 53 }, false, network, clock, counts);
  return { clock, network, counts, upstream };
}

test('a server that failed is probed after 1, 2, 4, 8 and then every 10 seconds, each probe with a second to answer', async () => {
  const { clock, network, upstream } = scene(() => {});
  const startMs = clock.nowMs();
  upstream.failed(message);
  upstream.failed(message);
  await clock.advance(60_000);
  // Each wait begins when the probe before it has failed, a second after it was sent.
  deepEqual(
    network.queries.map(({ atMs }) => (atMs - startMs) / 1000),
    [1, 4, 9, 18, 29, 40, 51],
  );
});

test('a server is up again with the first answer, to a probe or to a query, and is then left in peace', async () => {
  const { clock, network, upstream, counts } = scene((query) => query.answer({ rcode: 'SERVFAIL' }));
  upstream.failed(message);
  deepEqual([upstream.healthy, counts[UpstreamCount.down]], [false, 1]);
  await clock.advance(1_000);
  deepEqual([upstream.healthy, counts[UpstreamCount.down]], [true, 0]);

  upstream.failed(message);
  await askOf(upstream, message, 500);
  equal(upstream.healthy, true);
  await clock.advance(60_000);
  equal(network.queries.length, 2);
  equal(clock.pending, 0);
});

test('a server that nobody uses any more is not probed, and does not count as down for ever', async () => {
  const { clock, network, upstream, counts } = scene((query) => query.fail());
  upstream.failed(message);
  upstream.close();
  equal(counts[UpstreamCount.down], 0);
  // A query of the old configuration may still end there.
  await rejects(askOf(upstream, message, 500));
  await clock.advance(60_000);
  equal(network.queries.length, 1);
  equal(counts[UpstreamCount.down], 0);
});

test('patience is 250 ms for a stranger, three times the smoothed latency for others, and at least 30 ms', async () => {
  let latencyMs = 40;
  const { clock, upstream } = scene((query) => clock.after(latencyMs, () => query.answer()));
  const ask = async () => {
    const reply = askOf(upstream, message, 2_000);
    await clock.advance(latencyMs);
    await reply;
  };
  equal(upstream.patienceMs, 250);
  await ask();
  equal(upstream.patienceMs, 120);
  latencyMs = 120;
  await ask();
  equal(upstream.patienceMs, 150);
  latencyMs = 1_999;
  await ask();
  equal(upstream.patienceMs, 250);
  latencyMs = 1;
  for (let times = 0; times < 60; times += 1) await ask();
  equal(upstream.patienceMs, 30);
});

test('queries are counted by the transport they took, answers with their time, failures', async () => {
  const { clock, upstream, counts } = scene((query) => {
    if (query.overTcp) query.fail();
    else clock.after(25, () => query.answer());
  });
  const reply = askOf(upstream, message, 500);
  await clock.advance(25);
  await reply;
  await rejects(askOf(upstream, message, 500, true));
  await settle();
  deepEqual(
    [
      counts[UpstreamCount.udpQueries],
      counts[UpstreamCount.tcpQueries],
      counts[UpstreamCount.answers],
      counts[UpstreamCount.milliseconds],
      counts[UpstreamCount.failures],
    ],
    [1, 1, 1, 25, 1],
  );
});

test('a long answer that cannot be had over TCP does not mark a server as down that is asked over UDP', async () => {
  const { clock, upstream, counts } = scene((query) => query.fail());
  await rejects(askOf(upstream, message, 500, true));
  deepEqual([upstream.healthy, counts[UpstreamCount.failures]], [true, 1]);
  await rejects(askOf(upstream, message, 500, false));
  equal(upstream.healthy, false);
  upstream.close();
  equal(clock.pending, 0);
});
