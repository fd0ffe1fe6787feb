/** How many queries one becomes, and the sockets that may be open for them. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { FakeClock } from '../../test/fake/clock.ts';
import { query } from '../../test/fake/octets.ts';
import { FakeUpstreams, type UpstreamQuery } from '../../test/fake/upstream.ts';
import { Query } from '../wire/query.ts';
import { ClientShares } from './client-shares.ts';
import { Forwarder } from './forwarder.ts';
import { Upstream, upstreamCounts } from './upstream.ts';
import { amongFirst, upstreamPolicy } from './upstream-policy.ts';

interface Scene {
  servers: number;
  reach?: number;
  protocol?: 'PreferUDP' | 'PreferTCP' | 'ForceTCP';
  sockets?: number;
  respond?: (query: UpstreamQuery) => void;
}

function scene({ servers, reach = 5, protocol = 'PreferUDP', sockets = 24_000, respond }: Scene) {
  const clock = new FakeClock();
  const network = new FakeUpstreams(clock, respond);
  const over = (overTcp: boolean) =>
    Array.from({ length: servers }, (_, host) => {
      const server = { address: `10.0.${host >> 8}.${host & 255}`, port: 53 };
      return new Upstream(server, overTcp, network, clock, new Float64Array(upstreamCounts));
    });
  const shares = new ClientShares(sockets);
  const refused = { count: 0 };
  const forwarder = new Forwarder({
    upstreams: over(protocol !== 'PreferUDP'),
    fallBack: protocol === 'PreferTCP' ? over(false) : [],
    policy: () => amongFirst(3, upstreamPolicy('Sequential')),
    reach,
    shares: new ClientShares(0),
    onOverShare: () => {},
    sockets: shares,
    onOutOfSockets: () => {
      refused.count += 1;
    },
    clock,
    destination: 'here',
  });
  const ended: string[] = [];
  const ask = (name: string, client = 'pod') => {
    const asked = new Query();
    asked.parse(query(name));
    forwarder.forward(asked.detach(), client, (outcome) =>
      ended.push(
        outcome.kind === 'failed' ? `${outcome.rcode} ${outcome.extendedError} ${outcome.reason}` : 'answered',
      ),
    );
  };
  const asked = () => network.queries.length;
  return { clock, network, ask, ended, shares, refused, asked };
}

const noError = (query: UpstreamQuery) => query.answer({ rcode: 'NOERROR' });
const servFail = (query: UpstreamQuery) => query.answer({ rcode: 'SERVFAIL' });

suite('of 300 servers', () => {
  for (const protocol of ['PreferUDP', 'PreferTCP', 'ForceTCP'] as const) {
    test(`a name that all of them fail is asked of five (${protocol})`, async () => {
      const { clock, ask, ended, asked } = scene({ servers: 300, protocol, respond: servFail });
      ask('lame.example');
      await clock.advance(10);
      deepEqual([asked(), ended], [5, ['answered']]);
    });

    test(`a name that all of them are silent about is asked of five (${protocol})`, async () => {
      const { clock, network, ask, ended, asked } = scene({ servers: 300, protocol, respond: noError });
      for (let host = 0; host < 3; host += 1) ask(`fast${host}.example`);
      await clock.advance(10);
      network.queries.length = 0;
      network.respond = () => {};
      ask('slow.example');
      await clock.advance(1_999);
      equal(ended.length, 3);
      const distinct = (isMeant: boolean) =>
        new Set(network.queries.filter(({ overTcp }) => overTcp === isMeant).map(({ server }) => server)).size;
      // Over TCP it takes more than a second: the fifth has no turn over UDP any more.
      const expected = { PreferUDP: [0, 5], PreferTCP: [5, 4], ForceTCP: [5, 0] }[protocol];
      deepEqual([distinct(true), distinct(false)], expected);
      equal(asked() <= 15, true, `${asked()}`);
    });
  }

  test('each is asked where none can be reached, and after that those that are known to be down', async () => {
    const { clock, ask, asked, ended } = scene({ servers: 300, respond: (query) => query.fail() });
    ask('one.example');
    await clock.advance(10);
    equal(asked(), 300);
    ask('two.example');
    await clock.advance(10);
    deepEqual([asked(), ended.length], [600, 2]);
  });

  test('five more are asked once one has answered, whether they can be reached or not', async () => {
    const { clock, ask, asked } = scene({
      servers: 300,
      respond: (query) => (query.server === '10.0.0.1:53' ? servFail(query) : query.fail()),
    });
    ask('one.example');
    await clock.advance(10);
    // The first, which cannot be reached, does not count.
    equal(asked(), 6);
  });

  test('one that is cut off over UDP and cannot be had over TCP is not asked of all', async () => {
    const { clock, ask, asked } = scene({
      servers: 300,
      respond: (query) => (query.overTcp ? query.fail() : query.answer({ rcode: 'NOERROR', flags: ['TC'] })),
    });
    ask('long.example');
    await clock.advance(10);
    equal(asked(), 10);
  });

  test('all that are listed for an upstream are asked, where nothing bounds them', async () => {
    const { clock, ask, asked } = scene({ servers: 16, reach: 16, respond: servFail });
    ask('one.example');
    await clock.advance(10);
    equal(asked(), 16);
  });
});

suite('sockets over UDP', () => {
  test('let 1,000 queries be under way, of as many servers as there may be, and leave the others room beside a flood', () => {
    for (const servers of [3, 20, 300]) {
      for (const protocol of ['PreferUDP', 'PreferTCP'] as const) {
        const { ask, ended } = scene({ servers, protocol, respond: () => {} });
        for (let number = 0; number < 1_000; number += 1) ask(`n${number}.example`);
        deepEqual(ended, [], `${servers} ${protocol}`);
      }
    }
    const { ask, ended } = scene({ servers: 300, respond: () => {} });
    for (let number = 0; number < 3_000; number += 1) ask(`n${number}.example`, 'flood');
    const refusals = ended.length;
    equal(refusals, 3_000 - (24_000 * 0.75) / 9);
    for (let number = 0; number < 300; number += 1) ask(`m${number}.example`, `pod${number % 30}`);
    equal(ended.length, refusals);
  });

  test('that are not to be had are said and counted', async () => {
    const { ask, ended, refused, clock } = scene({ servers: 1, reach: 1, sockets: 5, respond: () => {} });
    ask('a.example');
    deepEqual(ended, []);
    ask('b.example');
    deepEqual(ended, ['5 0 queries under way may open 3 sockets over UDP, of 5 that there may be']);
    equal(refused.count, 1);
    await clock.advance(2_000);
    equal(ended.length, 2);
    ask('c.example');
    equal(ended.length, 2);
  });

  for (const servers of [1, 2, 3, 5, 16]) {
    test(`are claimed for as many as one query opens, and hardly more (${servers} servers)`, async () => {
      const { clock, network, ask, asked, shares } = scene({ servers, reach: 16, respond: servFail });
      // Servers that are known to be fast are waited for as shortly as can be.
      ask('lame.example');
      await clock.advance(1);
      network.respond = () => {};
      const before = asked();
      ask('slow.example');
      const claimed = shares.inFlight;
      await clock.advance(1_999);
      const open = asked() - before;
      ok(open <= claimed && claimed <= open + 1, `${open} of ${claimed}`);
    });
  }

  test('are for one query at least, however few there may be', () => {
    const { ask, ended } = scene({ servers: 5, sockets: 2, respond: () => {} });
    ask('a.example');
    deepEqual(ended, []);
    ask('b.example');
    equal(ended.length, 1);
  });

  test('are those of servers over UDP alone', () => {
    const { ask, ended } = scene({ servers: 1, sockets: 2, protocol: 'ForceTCP', respond: () => {} });
    ask('a.example');
    ask('b.example');
    deepEqual(ended, []);
  });

  test('count behind the end of a query while a server may answer yet', async () => {
    const held: UpstreamQuery[] = [];
    const { clock, ask, ended, shares } = scene({ servers: 2, respond: (query) => void held.push(query) });
    ask('a.example');
    equal(shares.inFlight, 6);
    await clock.advance(250);
    held[1]?.answer({ rcode: 'NOERROR' });
    deepEqual([ended, shares.inFlight], [['answered'], 1]);
    held[0]?.answer({ rcode: 'NOERROR' });
    equal(shares.inFlight, 0);
    ask('b.example');
    held[2]?.answer({ rcode: 'NOERROR' });
    equal(shares.inFlight, 0);
    ask('c.example');
    await clock.advance(5_000);
    equal(shares.inFlight, 0);
    equal(shares.heldBy('pod'), 0);
  });
});

test('a server that is down is not asked beside one that may answer yet, but where that is silent for long', async () => {
  const isDown = ({ server }: UpstreamQuery) => server === '10.0.0.1:53';
  for (const protocol of ['PreferUDP', 'ForceTCP'] as const) {
    const { clock, network, ask, ended } = scene({ servers: 2, protocol, respond: () => {} });
    network.respond = (query) => {
      if (isDown(query)) query.fail();
      else servFail(query);
    };
    ask('one.example');
    await clock.advance(1);
    equal(network.queries.length, 2, 'it is found to be down');
    network.queries.length = 0;
    network.respond = (query) => {
      if (!isDown(query)) clock.after(80, () => noError(query));
    };
    ask('slow.example');
    await clock.advance(100);
    deepEqual([ended.length, network.queries.length], [2, 1]);
    network.queries.length = 0;
    network.respond = (query) => (isDown(query) ? noError(query) : undefined);
    ask('silent.example');
    await clock.advance(499);
    equal(network.queries.some(isDown), false);
    await clock.advance(protocol === 'PreferUDP' ? 1_001 : 1);
    equal(ended.length, 3);
    network.queries.length = 0;
  }
});
