import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { sampleConfig } from '../../test/fake/node-config.ts';
import { type LastGood, LastGoodFile } from './last-good.ts';

const folder = mkdtempSync(join(tmpdir(), 'localdns-last-good-'));
after(() => rmSync(folder, { recursive: true }));

const lastGood = (revision: string): LastGood => ({
  profile: 'default',
  revision,
  config: sampleConfig(),
  clusterDns: ['10.0.0.2:53'],
});

suite('the last good configuration', () => {
  const fresh = (name: string) => join(folder, name, 'state');

  test('comes back as it was written, from a folder that did not exist', async () => {
    const stateDir = fresh('round-trip');
    await new LastGoodFile(stateDir).write(lastGood('v1-a'));
    deepEqual(await new LastGoodFile(stateDir).read(), { lastGood: lastGood('v1-a') });
    deepEqual(readdirSync(stateDir), ['last-good.json']);
  });

  test('is no trouble where there is none, and none after it was taken away', async () => {
    const file = new LastGoodFile(fresh('none'));
    deepEqual(await file.read(), {});
    await file.write(lastGood('v1-a'));
    await file.write(undefined);
    deepEqual(await file.read(), {});
  });

  test('that is cut off, foreign or from a newer agent is a sentence that names the file', async () => {
    const stateDir = fresh('corrupt');
    const path = join(stateDir, 'last-good.json');
    mkdirSync(stateDir, { recursive: true });
    const whole = JSON.stringify(lastGood('v1-a'));
    for (const [text, wanted] of [
      [whole.slice(0, whole.length / 2), /JSON/],
      ['null', /./],
      ['{"profile":"default","revision":"v1-a"}', /configuration format/],
      [whole.replace('"formatVersion":1', '"formatVersion":2'), /upgrade the agent/],
      [whole.replace('"zone":"."', '"zone":"."," colour":"red"'), /listeners\.0\.serverBlocks\.0/],
      [whole.replace('"clusterDns":["10.0.0.2:53"]', '"clusterDns":7'), /./],
    ] as const) {
      writeFileSync(path, text);
      const read = await new LastGoodFile(stateDir).read();
      equal(read.lastGood, undefined);
      match(read.trouble ?? '', wanted);
      match(read.trouble ?? '', /last-good\.json: /);
    }
  });

  test('is whole at every moment while it is written again and again, and the last one wins', async () => {
    const stateDir = fresh('atomic');
    const file = new LastGoodFile(stateDir);
    await file.write(lastGood('v1-first'));
    let writing = true;
    const writes = Promise.all(Array.from({ length: 50 }, (_, index) => file.write(lastGood(`v1-${index}`)))).then(
      () => {
        writing = false;
      },
    );
    for (let reads = 0; writing || reads === 0; reads += 1) {
      JSON.parse(readFileSync(join(stateDir, 'last-good.json'), 'utf8'));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writes;
    equal((await file.read()).lastGood?.revision, 'v1-49');
  });

  test('that cannot be written is an error for the caller, and the next write is tried again', async () => {
    const stateDir = fresh('taken');
    mkdirSync(join(folder, 'taken'));
    writeFileSync(stateDir, 'a file in the way');
    const file = new LastGoodFile(stateDir);
    await rejects(file.write(lastGood('v1-a')), { code: 'EEXIST' });
    rmSync(stateDir);
    await file.write(lastGood('v1-b'));
    equal((await file.read()).lastGood?.revision, 'v1-b');
  });
});
