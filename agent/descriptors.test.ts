import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Netlink, netlinkProtocol } from './datapath/netlink.ts';
import { FakeKernel } from './datapath/netlink-kernel.fake.ts';
import { Descriptors, tellingOfDescriptors } from './descriptors.ts';
import type { Libc } from './libc.ts';

function worker() {
  const closed: number[] = [];
  const descriptors = new Descriptors(async (fd) => void closed.push(fd));
  const kernel = new FakeKernel();
  let last = 6;
  kernel.socket = () => ++last;
  const libc = tellingOfDescriptors(
    { ...kernelCalls(kernel) } as unknown as Libc,
    (notice) => void descriptors.hear(notice),
  );
  return { closed, descriptors, kernel, libc };
}

function kernelCalls(kernel: FakeKernel) {
  return {
    socket: kernel.socket,
    setsockopt: kernel.setsockopt,
    duplicate: (fd: number, least: number) => kernel.duplicate(fd, least),
    close: (fd: number) => kernel.close(fd),
  };
}

test('what a worker has left is closed once, under the number that it has in the end', async () => {
  const { closed, descriptors, libc } = worker();
  new Netlink(libc, netlinkProtocol.route);
  new Netlink(libc, netlinkProtocol.netfilter, { endsFirst: true });
  await descriptors.closeAll();
  assert.deepEqual(closed, [7, 0x7f00]);
  await descriptors.closeAll();
  assert.equal(closed.length, 2);
});

test('a number that the worker has given back is left alone: it may be that of a socket that serves', async () => {
  const { closed, descriptors, kernel, libc } = worker();
  // It is given back before it is closed: from then on another thread may get it.
  kernel.close = (fd) => {
    kernel.closed.push(fd);
    void descriptors.closeAll();
  };
  new Netlink(libc, netlinkProtocol.route).close();
  assert.deepEqual(kernel.closed, [7]);
  assert.deepEqual(closed, []);
});

test('one that cannot be closed does not keep the others open', async () => {
  const closed: number[] = [];
  const descriptors = new Descriptors(async (fd) => {
    if (fd === 7) throw new Error('EBADF');
    closed.push(fd);
  });
  for (const fd of [7, 8]) descriptors.hear({ kind: 'descriptor', fd, isOpen: true });
  await descriptors.closeAll();
  assert.deepEqual(closed, [8]);
});
