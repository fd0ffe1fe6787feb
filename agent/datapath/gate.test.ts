import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateMessages, gateTable, openGate } from './gate.ts';
import { Netlink, netlinkProtocol } from './netlink.ts';
import { FakeKernel, refusal } from './netlink-kernel.fake.ts';

const table = '0900010067617465' + '00000000';
const chainOfRule = '0c000200' + '7175657269657300';

// As `nft --debug=mnl` 1.0.6 shows them for the same table, but for the operation of a bitwise expression, which is 0 anyway.
test('the table belongs to its socket, and its chain comes before the rules that look for the mark', () => {
  const [newTable, newChain] = gateMessages('gate', 0x40);
  assert.deepEqual([newTable?.type, newTable?.flags], [0x0a00, 0x600]);
  assert.equal(newTable?.payload.toString('hex'), `01000000${table}0800020000000002`);
  assert.deepEqual([newChain?.type, newChain?.flags], [0x0a03, 0x600]);
  assert.equal(
    newChain?.payload.toString('hex'),
    `01000000${table}0c000300${'7175657269657300'}0b00070066696c7465720000${'0800050000000001'}` +
      `14000480${'0800010000000003'}${'08000200fffffed3'}`,
  );
});

test('a rule matches one protocol and the port, and sets one bit of the mark', () => {
  const [, , forUdp, forTcp] = gateMessages('gate', 0x40);
  assert.deepEqual([forUdp?.type, forUdp?.flags], [0x0a06, 0xc00]);
  const meta = '090001006d65746100000000';
  const cmp = '08000100636d7000';
  const payload = '0c0001007061796c6f616400';
  const bitwise = '0c0001006269747769736500';
  const expressions = (protocol: string) => [
    `24000180${meta}14000280${'0800020000000010'}${'0800010000000001'}`,
    `2c000180${cmp}20000280${'0800010000000001'}${'0800020000000000'}0c00038005000100${protocol}000000`,
    `34000180${payload}24000280${'0800010000000001'}${'0800020000000002'}${'0800030000000002'}${'0800040000000002'}`,
    `2c000180${cmp}20000280${'0800010000000001'}${'0800020000000000'}0c0003800600010000350000`,
    `24000180${meta}14000280${'0800020000000003'}${'0800010000000001'}`,
    `44000180${bitwise}34000280${'0800010000000001'}${'0800020000000001'}${'0800030000000004'}` +
      `0c00048008000100bfffffff0c0005800800010040000000`,
    `24000180${meta}14000280${'0800020000000003'}${'0800030000000001'}`,
  ];
  for (const [rule, protocol] of [
    [forUdp, '11'],
    [forTcp, '06'],
  ] as const) {
    const all = expressions(protocol).join('');
    const length = Buffer.from([all.length / 2 + 4, (all.length / 2 + 4) >> 8]).toString('hex');
    assert.equal(rule?.payload.toString('hex'), `01000000${table}${chainOfRule}${length}0480${all}`);
  }
});

test('a gate is named after one start of one process', () => {
  assert.equal(gateTable('localdns', 4711, 0xabcdef), 'localdns-alive-4711-00abcdef');
  assert.equal(gateTable('localdns', 1, 0xfedcba98), 'localdns-alive-1-fedcba98');
});

test('a kernel that knows no owners is told apart from one that forbids it', () => {
  const kernel = new FakeKernel();
  const netlink = new Netlink(kernel, netlinkProtocol.netfilter);
  // EOPNOTSUPP, EINVAL: what kernels before 5.12 say of a flag that they do not know.
  for (const code of [-95, -22]) {
    kernel.answer = ([, table = 0]) => [refusal(table, code)];
    assert.match((openGate(netlink, 'gate', 0x40) as { reason: string }).reason, /Linux 5\.12/);
  }
  kernel.answer = ([begin = 0]) => [refusal(begin, -1)];
  assert.throws(() => openGate(netlink, 'gate', 0x40), { code: 'EPERM' });
  kernel.answer = (sequences) => sequences.map((n) => refusal(n, 0));
  assert.ok(!('reason' in openGate(netlink, 'gate', 0x40)));
});
