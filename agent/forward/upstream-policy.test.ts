import { deepEqual, equal } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { FakeClock } from '../../test/fake/clock.ts';
import { FakeUpstreams } from '../../test/fake/upstream.ts';
import { Upstream, upstreamCounts } from './upstream.ts';
import { type PolicyName, upstreamPolicy } from './upstream-policy.ts';

const clock = new FakeClock();

/** Servers a, b, c …; those in capitals are down. */
function servers(names: string): Upstream[] {
  return [...names].map((name) => {
    const address = name.toLowerCase();
    const transport = new FakeUpstreams(clock);
    const upstream = new Upstream({ address, port: 53 }, false, transport, clock, new Float64Array(upstreamCounts));
    if (name !== address) upstream.failed(Buffer.alloc(0));
    return upstream;
  });
}

const named = (upstreams: readonly Upstream[]) => upstreams.map(({ server }) => server.address).join('');

/** The first of `count`, the middle, the last, and so on. */
function dice(): () => number {
  const values = [0, 0.5, 0.999_999];
  let at = 0;
  return () => values[at++ % values.length] ?? 0;
}

for (const name of ['Sequential', 'RoundRobin', 'Random'] as const satisfies PolicyName[]) {
  suite(`the policy ${name}`, () => {
    const order = (names: string, times = 1) => {
      const policy = upstreamPolicy(name, dice());
      const upstreams = servers(names);
      return Array.from({ length: times }, () => named(policy(upstreams)));
    };

    test('gives every server once', () => {
      for (const given of order('abcd', 9)) equal([...given].sort().join(''), 'abcd');
    });

    test('puts servers that are down behind all that are up', () => {
      for (const given of order('AbCd', 9)) {
        equal([...given.slice(0, 2)].sort().join(''), 'bd');
        equal([...given.slice(2)].sort().join(''), 'ac');
      }
    });

    test('still gives servers when all are down', () => {
      for (const given of order('AB', 4)) equal([...given].sort().join(''), 'ab');
    });

    test('has nothing to choose from none or one', () => {
      deepEqual(order('', 2), ['', '']);
      deepEqual(order('a', 2), ['a', 'a']);
    });

    test('leaves the list that it is given as it is', () => {
      const upstreams = servers('aBc');
      upstreamPolicy(name, dice())(upstreams);
      equal(named(upstreams), 'abc');
    });
  });
}

test('Sequential keeps the order that was written', () => {
  const policy = upstreamPolicy('Sequential');
  deepEqual([named(policy(servers('abc'))), named(policy(servers('aBc')))], ['abc', 'acb']);
});

test('RoundRobin begins with the next server each time', () => {
  const policy = upstreamPolicy('RoundRobin');
  const upstreams = servers('abc');
  const given = Array.from({ length: 4 }, () => named(policy(upstreams)));
  deepEqual(given, ['abc', 'bca', 'cab', 'abc']);
});

test('RoundRobin gives each healthy server its share while others are down', () => {
  const policy = upstreamPolicy('RoundRobin');
  const upstreams = servers('aBcDef');
  const firsts = Array.from({ length: 40 }, () => named(policy(upstreams))[0]);
  for (const server of 'acef') equal(firsts.filter((first) => first === server).length, 10, server);
});

test('Random begins where the dice fall', () => {
  const policy = upstreamPolicy('Random', dice());
  const upstreams = servers('abc');
  deepEqual(
    [1, 2, 3].map(() => named(policy(upstreams))[0]),
    ['a', 'b', 'c'],
  );
});
