import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { usualNames } from './names.ts';
import { NamesFile } from './names-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'localdns-names-'));
after(() => rmSync(folder, { recursive: true }));
const fresh = () => mkdtempSync(join(folder, 'case-'));
const standing = { names: { ...usualNames, table: 'foo' }, starts: [1, 0xffffffff] };

suite('the names that rules of a node have', () => {
  test('are kept, and the file goes with the last of them', async () => {
    const home = join(fresh(), 'not', 'there', 'yet');
    const file = new NamesFile(home);
    assert.deepEqual(await file.read(), []);
    await file.write([standing, { names: usualNames, starts: [] }]);
    assert.deepEqual(await new NamesFile(home).read(), [standing, { names: usualNames, starts: [] }]);
    assert.deepEqual(readdirSync(home), ['names.json']);
    await file.write([]);
    assert.deepEqual(readdirSync(home), []);
  });

  test('are no names where an option would not be taken so, whatever the file says', async () => {
    const home = fresh();
    for (const text of [
      '{',
      '{}',
      'null',
      '[null, 7, {}]',
      JSON.stringify([{ names: { ...usualNames, routeTable: 254 }, starts: [1] }]),
      JSON.stringify([{ names: { ...usualNames, table: 'a b' }, starts: [1] }]),
      JSON.stringify([{ names: { ...usualNames, marks: { ...usualNames.marks, own: 3 } }, starts: [1] }]),
      JSON.stringify([{ names: usualNames }]),
    ]) {
      writeFileSync(join(home, 'names.json'), text);
      assert.deepEqual(await new NamesFile(home).read(), [], text);
    }
    writeFileSync(join(home, 'names.json'), JSON.stringify([null, { names: usualNames, starts: [1, 'x', -1, 0.5] }]));
    assert.deepEqual(await new NamesFile(home).read(), [{ names: usualNames, starts: [1] }]);
  });

  test('cannot be kept where the folder is a file: that is told', async () => {
    const home = join(fresh(), 'taken');
    writeFileSync(home, '');
    await assert.rejects(new NamesFile(home).write([standing]));
    await assert.rejects(new NamesFile(home).read());
  });
});
