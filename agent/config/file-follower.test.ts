import { deepEqual } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { eventually } from '../../test/tools/eventually.ts';
import { FileFollower } from './file-follower.ts';

const withinMs = 5_000;
const folder = mkdtempSync(join(tmpdir(), 'localdns-follower-'));
after(() => rmSync(folder, { recursive: true }));

suite('a followed file', () => {
  let follower: FileFollower | undefined;
  afterEach(() => follower?.stop());

  async function follow(path: string) {
    const seen: (string | undefined)[] = [];
    follower = new FileFollower(path, (contents) => seen.push(contents));
    await follower.start();
    return { seen, sees: (count: number) => eventually(`look ${count}`, withinMs, () => seen.length >= count) };
  }

  test('is told at once, and again after an edit in place', async () => {
    const path = join(folder, 'in-place');
    writeFileSync(path, 'one');
    const { seen, sees } = await follow(path);
    deepEqual(seen, ['one']);
    writeFileSync(path, 'two');
    await sees(2);
    deepEqual(seen, ['one', 'two']);
  });

  test('is seen again when another file is renamed over it, of the same length too', async () => {
    const path = join(folder, 'renamed');
    writeFileSync(path, 'one');
    const { seen, sees } = await follow(path);
    writeFileSync(`${path}.new`, 'two');
    renameSync(`${path}.new`, path);
    await sees(2);
    deepEqual(seen, ['one', 'two']);
  });

  test('is seen again when the link that leads to it is turned, as with mounted ConfigMaps', async () => {
    const mount = join(folder, 'mount');
    for (const version of ['1', '2']) {
      mkdirSync(join(mount, `..${version}`), { recursive: true });
      writeFileSync(join(mount, `..${version}`, 'profile'), `version ${version}`);
    }
    symlinkSync('..1', join(mount, '..data'));
    symlinkSync('..data/profile', join(mount, 'profile'));
    const { seen, sees } = await follow(join(mount, 'profile'));
    symlinkSync('..2', join(mount, '..new'));
    renameSync(join(mount, '..new'), join(mount, '..data'));
    await sees(2);
    deepEqual(seen, ['version 1', 'version 2']);
  });

  test('may vanish and return', async () => {
    const path = join(folder, 'vanishing');
    const { seen, sees } = await follow(path);
    deepEqual(seen, [undefined]);
    writeFileSync(path, 'one');
    await sees(2);
    rmSync(path);
    await sees(3);
    writeFileSync(path, 'one');
    await sees(4);
    deepEqual(seen, [undefined, 'one', undefined, 'one']);
  });
});
