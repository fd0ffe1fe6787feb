/**
 * RFC 7766 §6.2.3: clients "SHOULD close" idle connections themselves; §6.2.4: a connection may be closed "at any time", and then
 * the client "SHOULD retry" what had no answer, on a new one. The client of a forwarder sees neither.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { TcpPools } from '../../../agent/forward/tcp-pool.ts';
import { promised } from '../../../agent/forward/transport.ts';
import { FakeClock } from '../../fake/clock.ts';
import { buildQuery } from '../../fake/message.ts';
import { SerialServer, type ServerHabits } from '../../fake/serial-server.ts';

const roundTripMs = 40;

function scene(habits: ServerHabits) {
  const clock = new FakeClock();
  const server = new SerialServer(clock, habits);
  const pools = new TcpPools(clock, server.outgoing(roundTripMs));
  let asked = 0;
  /** Resolves with how long it took. */
  const ask = async () => {
    asked += 1;
    const sinceMs = clock.nowMs();
    const message = buildQuery({ name: `n${asked}.example`, id: 0 });
    await promised((asker) => pools.ask({ address: '192.0.2.1', port: 53 }, message, 2_000, asker));
    return clock.nowMs() - sinceMs;
  };
  return { clock, server, ask };
}

suite('a server that closes connections after ten seconds without a query, as CoreDNS does', () => {
  test('never closes one of ours: whenever the next query comes, it is sent once, and to a connection that is open', async () => {
    const { clock, server, ask } = scene({ idleMs: 10_000 });
    let count = 0;
    for (let pauseMs = 5_900; pauseMs <= 10_100; pauseMs += 10) {
      const answer = ask();
      await clock.advance(pauseMs);
      assert.ok((await answer) <= 2 * roundTripMs);
      count += 1;
      assert.equal(server.received.length, count);
    }
    assert.equal(server.closedIdle, 0);
  });
});

suite('a server that closes connections sooner than we know', () => {
  test('costs a query that crosses the close one more way there and back, and no query its answer', async () => {
    const { clock, ask, server } = scene({ idleMs: 1_000 });
    const crossed: number[] = [];
    for (let pauseMs = 950; pauseMs <= 1_100; pauseMs += 1) {
      const answer = ask();
      await clock.advance(pauseMs);
      const ms = await answer;
      if (ms > 2 * roundTripMs) crossed.push(ms);
      assert.ok(ms <= 3.5 * roundTripMs, `${ms} ms after a pause of ${pauseMs} ms`);
    }
    assert.ok(crossed.length > 0, 'none of them crossed a close');
    assert.ok(server.closedIdle > 0);
  });

  test('at any time, with many queries under way: each of them is answered', async () => {
    const { clock, ask, server } = scene({ workMs: () => 2 });
    for (let afterMs = 0; afterMs <= 200; afterMs += 10) {
      const answers = Array.from({ length: 30 }, ask);
      await clock.advance(afterMs);
      for (const connection of server.connections) connection.destroy();
      await clock.advance(1_000);
      await Promise.all(answers);
    }
  });
});
