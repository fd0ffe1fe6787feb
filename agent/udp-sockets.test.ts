import { deepEqual, equal } from 'node:assert/strict';
import { once } from 'node:events';
import { suite, test } from 'node:test';
import { FakeClock } from '../test/fake/clock.ts';
import { query } from '../test/fake/octets.ts';
import type { Outcome } from './forward/outcome.ts';
import { unmarked } from './forward/outgoing.ts';
import type { Upstream } from './forward/upstream.ts';
import { maxDescriptors, SocketBoundForwarder, UdpSockets } from './udp-sockets.ts';
import { Query } from './wire/query.ts';

test('the descriptors that the process may have are the soft limit', () => {
  const limits = (files: string) =>
    `Limit  Soft Limit  Hard Limit  Units\nMax processes  1  2  processes\nMax open files            ${files}  files\n`;
  equal(maxDescriptors(limits('1024                 4096')), 1_024);
  equal(maxDescriptors(limits('unlimited            unlimited')), Number.POSITIVE_INFINITY);
  equal(maxDescriptors(''), 1_024);
});

suite('sockets of queries over UDP', () => {
  test('may be half of all descriptors, and no more than there are ports', () => {
    deepEqual(
      [1_000, 100_000, Number.POSITIVE_INFINITY].map((all) => new UdpSockets(all).max),
      [500, 24_000, 24_000],
    );
  });

  test('are counted until they are closed, and with them those that queries under way may still open', async () => {
    const sockets = new UdpSockets(20);
    const socket = sockets.counted(unmarked).udp({ address: '127.0.0.1', port: 53 });
    equal(sockets.open, 1);
    equal(sockets.claim(9), true);
    equal(sockets.claim(1), false);
    socket.close();
    await once(socket, 'close');
    equal(sockets.claim(1), true);
    sockets.giveBack(10);
    equal(sockets.claim(10), true);
  });

  function scene(overTcp: boolean, ask = () => {}) {
    const sockets = new UdpSockets(10);
    let count = 0;
    const clock = new FakeClock();
    const upstream = {
      overTcp,
      healthy: true,
      knowsEdns: true,
      patienceMs: 100,
      server: { address: '', port: 53 },
      ask,
    };
    const options = {
      upstreams: [upstream as unknown as Upstream],
      fallBack: [],
      maxConcurrent: 0,
      onOverShare: () => {},
    };
    const policy = () => (all: readonly Upstream[]) => [...all];
    const bound = { ...options, policy, clock, destination: 'here' };
    const forwarder = new SocketBoundForwarder(bound, sockets, () => {
      count += 1;
    });
    const ended: Outcome[] = [];
    const forward = () => {
      const asked = new Query();
      asked.parse(query('a.example'));
      forwarder.forward(asked.detach(), '192.0.2.1', (outcome) => ended.push(outcome));
    };
    const reasons = () =>
      ended.map(
        (outcome) => outcome.kind === 'failed' && `${outcome.rcode} ${outcome.extendedError} ${outcome.reason}`,
      );
    return { forward, reasons, clock, refused: () => count };
  }

  test('what does not fit is refused at once and counted, until a query has ended', async () => {
    const { forward, reasons, clock, refused } = scene(false);
    forward();
    deepEqual(reasons(), []);
    forward();
    deepEqual(reasons(), ['5 0 0 sockets are open for queries over UDP, of 5 that there may be']);
    equal(refused(), 1);
    await clock.advance(2_000);
    equal(reasons().length, 2);
    forward();
    equal(reasons().length, 2);
  });

  test('are not what queries over TCP need', () => {
    const { forward, reasons } = scene(true);
    forward();
    forward();
    deepEqual(reasons(), []);
  });
});
