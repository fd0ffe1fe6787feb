import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isLibc, loadLibc, SystemCallError } from '../libc.ts';
import { Netlink, NetlinkError, netlinkProtocol } from './netlink.ts';
import { attribute, text } from './netlink-attribute.ts';
import { FakeKernel, message, refusal } from './netlink-kernel.fake.ts';

const ok = 0;
const enoent = -2;
const eexist = -17;

const part = (sequence: number, octets: string, flags = 0) => message(32, sequence, Buffer.from(octets, 'hex'), flags);
const done = (sequence: number, flags = 0) => message(3, sequence, Buffer.alloc(4), flags);
const request = { type: 0x20, payload: Buffer.from('0a000000', 'hex') };

function open(): { kernel: FakeKernel; netlink: Netlink } {
  const kernel = new FakeKernel();
  return { kernel, netlink: new Netlink(kernel, netlinkProtocol.route) };
}

test('a batch goes as one datagram, each message with its number, and wants an answer', () => {
  const { kernel, netlink } = open();
  netlink.request([
    { type: 0x10, payload: Buffer.from('0000000a', 'hex') },
    { type: 0x0a0c, flags: 0x400, payload: text(1, 'gate') },
  ]);
  const first = '14000000' + '1000' + '0500' + '01000000' + '00000000' + '0000000a';
  const second = '1c000000' + '0c0a' + '0504' + '02000000' + '00000000' + '090001006761746500000000';
  assert.deepEqual(
    kernel.sent.map((octets) => octets.toString('hex')),
    [first + second],
  );
});

test('the first message that was refused is the one that is told, with the reason that the kernel gave', () => {
  const { kernel, netlink } = open();
  kernel.answer = ([a = 0, b = 0, c = 0]) => [
    refusal(a, ok),
    refusal(b, eexist, text(1, 'there already')),
    refusal(c, enoent),
  ];
  assert.throws(
    () => netlink.request([request, request, request]),
    (thrown) =>
      thrown instanceof NetlinkError && thrown.code === 'EEXIST' && thrown.message.endsWith('EEXIST (there already)'),
  );
});

test('an answer to an earlier request is never taken for the next one', () => {
  const { kernel, netlink } = open();
  netlink.request([request]);
  // Left in the queue, and one that comes late.
  kernel.queue.push(refusal(1, enoent), new SystemCallError('recv', 'ENOBUFS'), refusal(1, enoent));
  kernel.answer = ([n = 0]) => [refusal(n - 1, enoent), refusal(n, ok)];
  netlink.request([request]);
  kernel.answer = ([n = 0]) => [refusal(n - 1, ok)];
  assert.throws(() => netlink.request([request]), { code: 'EPROTO' });
});

test('a dump is put together from its parts, which outlive the next one', () => {
  const { kernel, netlink } = open();
  kernel.answer = ([n = 0]) => [
    Buffer.concat([part(n, '01020304'), part(n, '05060708')]),
    part(n, '090a0b0c'),
    done(n),
  ];
  const parts = netlink.dump(request);
  kernel.answer = ([n = 0]) => [part(n, 'ffffffff'), done(n)];
  netlink.dump(request);
  assert.deepEqual(
    parts.map((octets) => octets.toString('hex')),
    ['01020304', '05060708', '090a0b0c'],
  );
  assert.equal(kernel.sent[0]?.readUInt16LE(6), 0x301);
});

test('what changed while it was read is read anew', () => {
  const { kernel, netlink } = open();
  kernel.answer = ([n = 0]) => (n < 3 ? [part(n, '01020304'), done(n, 0x10)] : [part(n, '05060708'), done(n)]);
  assert.deepEqual(netlink.dump(request), [Buffer.from('05060708', 'hex')]);
  kernel.answer = ([n = 0]) => [part(n, '01020304', 0x10), done(n)];
  assert.throws(() => netlink.dump(request), { code: 'EINTR' });
});

test('half a dump, one that fails at its end, and no answer at all are no answers', () => {
  const { kernel, netlink } = open();
  kernel.answer = ([n = 0]) => [part(n, '01020304')];
  assert.throws(() => netlink.dump(request), { code: 'EPROTO' });
  kernel.answer = ([n = 0]) => [message(3, n, Buffer.from('feffffff', 'hex'))];
  assert.throws(() => netlink.dump(request), { code: 'ENOENT' });
  kernel.answer = () => [];
  assert.throws(() => netlink.get(request), { code: 'EPROTO' });
  assert.throws(() => netlink.request([request]), { code: 'EPROTO' });
});

test('octets that are no messages are left alone', () => {
  const { kernel, netlink } = open();
  for (const octets of ['', '0f00000020000000010000000000', 'ffffffff200000000100000000000000', '00'.repeat(64)]) {
    kernel.answer = ([n = 0]) => [Buffer.from(octets, 'hex'), refusal(n, ok)];
    netlink.request([request]);
  }
  kernel.answer = ([n = 0]) => [message(2, n, Buffer.alloc(2)), message(2, n, attribute(1, Buffer.alloc(0)), 0x200)];
  assert.doesNotThrow(() => netlink.request([request]));
});

test('once closed it sends nothing: the number of its socket may be that of another one', () => {
  const { kernel, netlink } = open();
  netlink.close();
  netlink.close();
  assert.deepEqual(kernel.closed, [7]);
  assert.throws(() => netlink.request([request]), { code: 'EBADF' });
});

test('one that ends first has a number above all others, where the process may have so many', () => {
  const kernel = new FakeKernel();
  const open = () => new Netlink(kernel, netlinkProtocol.netfilter, { endsFirst: true });
  const netlink = open();
  assert.deepEqual(kernel.closed, [7], 'not under two numbers: it would not end with the first');
  netlink.close();
  assert.ok((kernel.closed[1] ?? 0) > 30_000);
  for (const limit of [20_000, 1_024, 256]) {
    kernel.duplicate = (_fd, least) => {
      if (least >= limit) throw new SystemCallError('fcntl', 'EINVAL');
      return least;
    };
    open().close();
  }
  assert.deepEqual(kernel.closed.slice(2), [7, 0x3f00, 7, 0x380, 7]);
});

test('programs that we start do not inherit it', (context) => {
  const libc = loadLibc();
  if (!isLibc(libc)) return context.skip(libc.reason);
  const netlink = new Netlink(libc, netlinkProtocol.route, { endsFirst: true });
  const high =
    readdirSync('/proc/self/fd')
      .map(Number)
      .sort((a, b) => b - a)[0] ?? 0;
  assert.ok(high >= 0x380, String(high));
  const closeOnExec = 0o2000000;
  const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${high}`, 'utf8'))?.[1] ?? '';
  assert.equal(Number.parseInt(flags, 8) & closeOnExec, closeOnExec);
  netlink.close();
});
