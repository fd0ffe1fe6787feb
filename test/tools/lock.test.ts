import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { takeLock } from './lock.ts';

const folder = mkdtempSync(join(tmpdir(), 'localdns-lock-'));
after(() => rmSync(folder, { recursive: true }));
const waitsForNobody = { withinMs: 5_000, waiting: () => assert.fail('there is nobody to wait for') };

test('a lock whose holder is dead is taken', async () => {
  const path = join(folder, 'dead');
  writeFileSync(path, JSON.stringify({ pid: process.pid, startedAt: 'another life' }));
  (await takeLock(path, waitsForNobody))();
});

test('a lock file that holds no name is taken', async () => {
  const path = join(folder, 'empty');
  writeFileSync(path, '');
  (await takeLock(path, waitsForNobody))();
});

test('the second comer is told whom it waits for, and gets the lock once it is given back', async () => {
  const path = join(folder, 'held');
  const giveBack = await takeLock(path, waitsForNobody);
  const told: number[] = [];
  await assert.rejects(takeLock(path, { withinMs: 0, waiting: ({ pid }) => told.push(pid) }), /still holds/);
  assert.deepEqual(told, [process.pid]);
  const second = takeLock(path, { withinMs: 5_000, waiting: giveBack });
  (await second)();
});

test('nothing is left beside the lock', () => {
  assert.deepEqual(readdirSync(folder), []);
});
