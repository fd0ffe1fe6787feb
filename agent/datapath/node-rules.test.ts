import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Libc } from '../libc.ts';
import { usualNames } from './names.ts';
import { FakeKernel } from './netlink-kernel.fake.ts';
import { NodeRules } from './node-rules.ts';

test('what the serving tables and the gate belong to ends before the listeners, where the process dies', () => {
  const kernel = new FakeKernel();
  let raised = 0;
  kernel.duplicate = (_fd, least) => {
    raised += 1;
    return least;
  };
  const rules = new NodeRules(kernel as unknown as Libc, usualNames, 1);
  // One for all: between the ends of two of them, the kernel waits for many milliseconds.
  assert.equal(raised, 1);
  rules.close();
});
