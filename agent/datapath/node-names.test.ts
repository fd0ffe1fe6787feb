import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { FakeClock } from '../../test/fake/clock.ts';
import { type DatapathNames, usualNames } from './names.ts';
import type { Standing } from './names-file.ts';
import { NodeNames, type NodeNamesParts } from './node-names.ts';

const given: DatapathNames = { ...usualNames, table: 'foo' };
const third: DatapathNames = { ...usualNames, table: 'bar' };
/** Another agent's. */
const other = 7;
const [ownStart, ownOtherStart] = [0x01020304, 0x05060708];

class Scene {
  file: Standing[];
  readonly written: Standing[][] = [];
  readonly removed: [DatapathNames, readonly DatapathNames[]][] = [];
  readonly logged: string[] = [];
  readonly clock = new FakeClock();
  /** Starts of agents whose tables are there. */
  living = new Set<number>();
  owned = true;
  trouble: Error | undefined;
  names: NodeNames;

  constructor(file: Standing[], changes: Partial<NodeNamesParts> = {}) {
    this.file = file;
    const note = (_fields: object, message: string) => void this.logged.push(message);
    this.names = new NodeNames({
      given,
      file: {
        read: async () => {
          if (this.trouble) throw this.trouble;
          return this.file;
        },
        write: async (standing) => {
          if (this.trouble) throw this.trouble;
          this.file = [...standing];
          this.written.push(this.file);
        },
      },
      rules: {
        living: ({ starts }) => {
          const found = starts.filter((start) => this.living.has(start));
          return { starts: found, owned: this.owned && found.length > 0 };
        },
        remove: ({ names }, kept) => {
          if (this.trouble) throw this.trouble;
          this.removed.push([names, kept]);
        },
      },
      startKey: Buffer.from('0102030405060708', 'hex'),
      clock: this.clock,
      log: { info: note, warn: note } as unknown as NodeNamesParts['log'],
      ...changes,
    });
  }
}

suite('the names under which an agent works', () => {
  test('are those given where nothing is known, and where nobody lives under others', async () => {
    assert.equal(await new Scene([]).names.choose(), given);
    assert.equal(await new Scene([{ names: usualNames, starts: [other] }]).names.choose(), given);
    assert.equal(await new Scene([{ names: usualNames, starts: [other] }], { file: undefined }).names.choose(), given);
  });

  test('are those of an agent that lives, until it has ended; its own tables are no other agent', async () => {
    const scene = new Scene([{ names: usualNames, starts: [other] }]);
    scene.living.add(other);
    assert.deepEqual(await scene.names.choose(), usualNames);
    await scene.names.note(usualNames);
    assert.deepEqual(scene.file, [{ names: usualNames, starts: [other, ownOtherStart] }]);
    await scene.clock.advance(120_000);
    assert.deepEqual(await scene.names.choose(), usualNames);
    scene.living = new Set([ownOtherStart]);
    assert.equal(await scene.names.choose(), given);
  });

  test('are those given where an agent lives under them, whoever lives under others', async () => {
    const scene = new Scene([
      { names: usualNames, starts: [other] },
      { names: given, starts: [9] },
    ]);
    scene.living = new Set([other, 9]);
    assert.deepEqual(await scene.names.choose(), given);
  });

  test('are those given a minute after a table was seen that nobody owns: it may be that of a dead agent', async () => {
    const scene = new Scene([{ names: usualNames, starts: [other] }]);
    scene.living.add(other);
    scene.owned = false;
    assert.deepEqual(await scene.names.choose(), usualNames);
    await scene.clock.advance(59_999);
    assert.deepEqual(await scene.names.choose(), usualNames);
    await scene.clock.advance(1);
    assert.equal(await scene.names.choose(), given);
  });

  test('are noted once, beside those of before, and without the dead', async () => {
    const scene = new Scene([
      { names: usualNames, starts: [other] },
      { names: given, starts: [8, 9] },
    ]);
    scene.living.add(9);
    await scene.names.note(given);
    assert.deepEqual(scene.file, [
      { names: given, starts: [9, ownStart] },
      { names: usualNames, starts: [other] },
    ]);
    await scene.names.note(given);
    assert.equal(scene.written.length, 1);
    assert.deepEqual(scene.names.othersThan(given), [usualNames]);
  });
});

suite('what stands under other names', () => {
  const three = [
    { names: usualNames, starts: [other] },
    { names: given, starts: [ownStart] },
    { names: third, starts: [8] },
  ];

  test('goes where nobody lives under them, but for what names that stay have too', async () => {
    const scene = new Scene(three);
    scene.living = new Set([8, ownStart]);
    await scene.names.removeOthers(given);
    assert.deepEqual(scene.removed, [[usualNames, [given, third]]]);
    assert.deepEqual(scene.file, three.slice(1));
    assert.deepEqual(scene.logged, ['rules under names of before are removed']);
    await scene.names.removeOthers(given);
    assert.equal(scene.written.length, 1);
  });

  test('goes with the rest where none shall be left, even if this agent has put nothing there', async () => {
    const scene = new Scene(three);
    await scene.names.removeOthers(undefined);
    assert.deepEqual(
      scene.removed.map(([names]) => names),
      [usualNames, given, third],
    );
    assert.deepEqual(scene.file, []);
  });

  test('stays known where it could not be removed, and nothing ends by it', async () => {
    const scene = new Scene(three);
    await scene.names.choose();
    scene.trouble = new Error('no');
    await scene.names.removeOthers(undefined);
    await scene.names.note(given);
    assert.deepEqual(await scene.names.choose(), given);
    assert.deepEqual(scene.file, three);
    scene.trouble = undefined;
    await scene.names.removeOthers(undefined);
    assert.deepEqual(scene.file, []);
  });

  test('is nobody’s business where the kernel cannot be asked', async () => {
    const refuses = () => {
      throw new Error('EPERM');
    };
    const scene = new Scene([{ names: usualNames, starts: [other] }], {
      rules: { living: refuses, remove: refuses },
    });
    assert.equal(await scene.names.choose(), given);
    await scene.names.removeOthers(given);
    assert.equal(scene.file.length, 1);
  });
});
