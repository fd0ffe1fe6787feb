import { deepEqual, equal } from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { NftObject } from '../nft.ts';
import { type Answer, type Chain, matches, type Packet, Ruleset } from './packet-walk.ts';

const query = { source: {}, passes: 'iif', mark: 0x10, state: 'untracked' } as const;
const udp: Packet = {
  ...{ ...query, protocol: 'udp', family: 'ipv4' },
  destination: { address: '169.254.10.11', port: 53 },
};
const v6: Packet = { ...query, protocol: 'tcp', family: 'ipv6', destination: { address: 'fd00::11', port: 53 } };
const service: Packet = { ...udp, destination: { address: '10.96.0.10', port: 53 } };
const tracked: Packet = { ...udp, state: 'new' };
const answer: Packet = {
  ...{ protocol: 'udp', family: 'ipv4', passes: 'oif', mark: 0, state: 'untracked' },
  source: { address: '169.254.10.11', port: 53 },
  destination: {},
};
const is = (left: unknown, right: unknown, op = '==') => ({ match: { op, left, right } });
const header = (protocol: string, field: string) => ({ payload: { protocol, field } });
const meta = (key: string) => ({ meta: { key } });
const state = { ct: { key: 'state' } };
const maybe = is(header('ip', 'saddr'), '10.0.0.1');
const accept = { accept: null };
const drop = { drop: null };

suite('whether one expression matches a caught query', () => {
  const cases: [about: string, expr: Record<string, unknown>, packet: Packet, wanted: Answer][] = [
    ['port 53', is(header('udp', 'dport'), 53), udp, 'yes'],
    ['port 53 of either protocol', is(header('th', 'dport'), 53), v6, 'yes'],
    ['port 53 of the other protocol', is(header('tcp', 'dport'), 53), udp, 'no'],
    ['another port', is(header('udp', 'dport'), 22), udp, 'no'],
    ['all ports but that', is(header('udp', 'dport'), 53, '!='), udp, 'no'],
    ['a set of ports', is(header('udp', 'dport'), { set: [22, 53] }), udp, 'yes'],
    ['a range of ports', is(header('udp', 'dport'), { range: [50, 60] }), udp, 'yes'],
    ['a range of other ports', is(header('udp', 'dport'), { set: [{ range: [54, 60] }] }), udp, 'no'],
    ['ports in a set by name', is(header('udp', 'dport'), '@ports'), udp, 'maybe'],
    ['its address', is(header('ip', 'daddr'), '169.254.10.11'), udp, 'yes'],
    ['another address', is(header('ip', 'daddr'), '169.254.10.12'), udp, 'no'],
    ['its network', is(header('ip', 'daddr'), { prefix: { addr: '169.254.0.0', len: 16 } }), udp, 'yes'],
    ['the network of loopback', is(header('ip', 'daddr'), { prefix: { addr: '127.0.0.0', len: 8 } }), service, 'no'],
    ['a range of addresses', is(header('ip', 'daddr'), { range: ['169.254.10.1', '169.254.10.9'] }), udp, 'no'],
    ['an address of the other family', is(header('ip6', 'daddr'), 'fd00::11'), udp, 'no'],
    ['a network of the other family', is(header('ip6', 'daddr'), { prefix: { addr: 'fd00::', len: 8 } }), udp, 'no'],
    ['its IPv6 network', is(header('ip6', 'daddr'), { prefix: { addr: 'fd00::', len: 8 } }), v6, 'yes'],
    ['a source', maybe, udp, 'maybe'],
    ['the protocol', is(meta('l4proto'), 'udp'), udp, 'yes'],
    ['one of two protocols', is(meta('l4proto'), { set: ['tcp', 'udp'] }), v6, 'yes'],
    ['another protocol', is(meta('l4proto'), 'icmp'), udp, 'no'],
    ['the family', is(meta('nfproto'), 'ipv6'), udp, 'no'],
    ['loopback, by which no pod comes', is(meta('iifname'), 'lo'), udp, 'no'],
    ['any device but loopback', is(meta('iifname'), 'lo', '!='), udp, 'yes'],
    ['a device', is(meta('iif'), 'eth0'), udp, 'maybe'],
    ['connections that go on, for it is tracked by nobody', is(state, { set: ['established', 'related'] }), udp, 'no'],
    ['what is not tracked', is(state, { set: ['new', 'untracked'] }, 'in'), udp, 'yes'],
    ['what begins, of what is tracked', is(state, { set: ['established', 'new'] }), tracked, 'yes'],
    ['what is not tracked, of what is', is(state, 'untracked'), tracked, 'no'],
    ['what was translated, of what is tracked', is({ ct: { key: 'status' } }, 'dnat', 'in'), tracked, 'maybe'],
    ['the address that answers', is(header('ip', 'saddr'), '169.254.10.11'), answer, 'yes'],
    ['another address that answers', is(header('ip', 'saddr'), '169.254.10.12'), answer, 'no'],
    ['whom the answer is for', is(header('ip', 'daddr'), '10.0.0.1'), answer, 'maybe'],
    ['the port that answers', is(header('udp', 'sport'), 53), answer, 'yes'],
    ['the port that the answer goes to', is(header('udp', 'dport'), 53), answer, 'maybe'],
    ['a device that the answer goes out by', is(meta('oifname'), 'lo'), answer, 'no'],
    ['a device that the answer came in by', is(meta('iifname'), 'lo'), answer, 'maybe'],
    ['what was translated', is({ ct: { key: 'status' } }, 'dnat', 'in'), udp, 'no'],
    ['our mark', is({ '&': [meta('mark'), 0x10] }, 0x10), udp, 'yes'],
    ['the lack of our mark', is({ '&': [meta('mark'), 0x10] }, 0), udp, 'no'],
    ['our mark and one of somebody', is({ '&': [meta('mark'), 0x30] }, 0x30), udp, 'maybe'],
    ['a whole mark without ours', is(meta('mark'), 1), udp, 'no'],
    ['what iptables alone can spell out', { xt: { type: 'match', name: 'conntrack' } }, udp, 'maybe'],
    ['a comment', { xt: { type: 'match', name: 'comment' } }, udp, 'yes'],
    ['a limit', { limit: { rate: 1 } }, udp, 'maybe'],
    ['nothing: a counter', { counter: { packets: 0 } }, udp, 'yes'],
  ];
  for (const [about, expr, packet, wanted] of cases) {
    test(`that asks for ${about}: ${wanted}`, () => {
      equal(matches({ family: 'inet', table: 't', chain: 'c', expr: [expr] }, packet), wanted);
    });
  }
});

/** A table whose first chain is the base chain. */
function walk(policy: string, chains: Record<string, unknown[][]>, packet = udp) {
  const objects: NftObject[] = Object.entries(chains).flatMap(([name, rules], index) => [
    {
      chain: {
        family: 'inet',
        table: 't',
        name,
        ...(index === 0 && { hook: 'input', type: 'filter', prio: 0, policy }),
      },
    },
    ...rules.map((expr) => ({ rule: { family: 'inet', table: 't', chain: name, expr } })),
  ]);
  const ruleset = new Ruleset(objects);
  return ruleset.fate(ruleset.chains[0] as Chain, packet);
}

suite('what becomes of a caught query in a chain', () => {
  const accepted = { verdict: 'accept', couldPass: false };
  const dropped = { verdict: 'drop', couldPass: false };
  const perhaps = { verdict: 'drop', couldPass: true };
  const jump = (target: string) => ({ jump: { target } });

  test('is the first verdict that applies', () => {
    deepEqual(walk('drop', { base: [[is(header('udp', 'dport'), 22), drop], [accept], [drop]] }), accepted);
    deepEqual(walk('accept', { base: [[{ counter: {} }], [{ reject: {} }], [accept]] }), dropped);
    deepEqual(walk('accept', { base: [[{ xt: { type: 'target', name: 'REJECT' } }]] }), dropped);
  });

  test('is the policy where no rule applies, and that of the chain that called', () => {
    deepEqual(walk('drop', { base: [] }), dropped);
    deepEqual(walk('accept', { base: [[is(meta('iifname'), 'lo'), drop]] }), accepted);
    deepEqual(walk('drop', { base: [[jump('called')], [accept]], called: [[{ return: null }], [drop]] }), accepted);
    deepEqual(walk('drop', { base: [[{ goto: { target: 'called' } }], [accept]], called: [] }), dropped);
  });

  test('is that of a chain that is called, and of one that that calls', () => {
    deepEqual(walk('accept', { base: [[jump('a')]], a: [[jump('b')]], b: [[drop]] }), dropped);
  });

  test('is not certain where a rule that may apply lets it through', () => {
    deepEqual(walk('drop', { base: [[maybe, accept]] }), perhaps);
    deepEqual(walk('drop', { base: [[maybe, jump('a')]], a: [[accept]] }), perhaps);
    deepEqual(walk('drop', { base: [[jump('a')], [drop]], a: [[maybe, accept]] }), perhaps);
    deepEqual(walk('drop', { base: [[maybe, jump('a')]], a: [[is(header('udp', 'dport'), 22), accept]] }), dropped);
    deepEqual(walk('drop', { base: [[maybe, drop]] }), dropped);
  });

  test('follows a map of verdicts, and cannot judge one by name', () => {
    const map = (data: unknown) => [{ vmap: { key: header('udp', 'dport'), data } }];
    deepEqual(
      walk('drop', {
        base: [
          map({
            set: [
              [22, drop],
              [53, accept],
            ],
          }),
        ],
      }),
      accepted,
    );
    deepEqual(walk('drop', { base: [map({ set: [[53, jump('a')]] })], a: [[accept]] }), accepted);
    deepEqual(walk('drop', { base: [map({ set: [[22, accept]] })] }), dropped);
    deepEqual(walk('drop', { base: [map('@verdicts')] }), perhaps);
  });

  test('ends, also where chains call one another for ever', () => {
    deepEqual(walk('drop', { base: [[jump('base')]] }), perhaps);
  });

  test('knows the chains of its own family alone', () => {
    const hooked = { hook: 'input', type: 'filter', prio: 0, policy: 'drop', name: 'i' };
    const objects = ['ip', 'ip6', 'inet', 'arp'].map((family) => ({ chain: { family, table: family, ...hooked } }));
    const families = (daddr: string) => new Ruleset(objects).hooked('input', daddr).map(({ family }) => family);
    deepEqual(families('10.0.0.1'), ['ip', 'inet']);
    deepEqual(families('fd00::1'), ['ip6', 'inet']);
  });
});
