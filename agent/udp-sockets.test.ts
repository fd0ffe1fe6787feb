import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { maxDescriptors, udpSockets } from './udp-sockets.ts';

test('the descriptors that the process may have are the soft limit', () => {
  const limits = (files: string) =>
    `Limit  Soft Limit  Hard Limit  Units\nMax processes  1  2  processes\nMax open files            ${files}  files\n`;
  equal(maxDescriptors(limits('1024                 4096')), 1_024);
  equal(maxDescriptors(limits('unlimited            unlimited')), Number.POSITIVE_INFINITY);
  equal(maxDescriptors(''), 1_024);
});

test('sockets of queries over UDP may be half of all descriptors, and no more than there are ports', () => {
  deepEqual(
    [1_000, 100_000, Number.POSITIVE_INFINITY].map((all) => udpSockets(all).bound),
    [500, 24_000, 24_000],
  );
});
