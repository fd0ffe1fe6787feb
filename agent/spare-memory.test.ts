import { deepEqual, equal, ok } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { suite, test } from 'node:test';
import { FakeClock } from '../test/fake/clock.ts';
import { isLibc, loadLibc } from './libc.ts';
import { giveBackSpareMemory, readOnlyFiles } from './spare-memory.ts';

const libc = loadLibc();
const without = isLibc(libc) && libc.memory !== undefined ? false : 'this needs koffi, and glibc';

const mapping = (line: string, anonymousKb: number) =>
  `${line}\nSize:                 64 kB\nAnonymous:      ${String(anonymousKb).padStart(6)} kB\nTHPeligible:    0\nVmFlags: rd mr mw me\n`;

suite('memory that nobody uses', () => {
  test('only mappings of files that cannot be written and have no page of our own are forgotten', () => {
    const smaps = [
      mapping('00400000-0082e000 r--p 00000000 fe:00 271                                /usr/local/bin/node', 0),
      mapping('0082e000-03489000 r-xp 0042e000 fe:00 271                                /usr/local/bin/node', 0),
      // Relocations, which the loader wrote before it made them read-only.
      mapping('072b9000-072c3000 r--p 06eb8000 fe:00 271                                /usr/local/bin/node', 40),
      mapping('072c3000-07300000 rw-p 06ec2000 fe:00 271                                /usr/local/bin/node', 0),
      mapping('39939000-39d89000 rw-p 00000000 00:00 0                                  [heap]', 0),
      mapping('7fa60c000000-7fa62bdc0000 r-xp 00000000 00:00 0 ', 0),
      mapping('7ffd1b5f2000-7ffd1b5f4000 r-xp 00000000 00:00 0                          [vdso]', 0),
      mapping('7fa6a0000000-7fa6a0001000 r--s 00000000 fe:00 99                         /etc/shared', 0),
    ].join('');
    deepEqual(readOnlyFiles(smaps), [
      { address: 0x400000, octets: 0x42e000 },
      { address: 0x82e000, octets: 0x2c5b000 },
    ]);
  });

  test('what the start has read is forgotten once; what malloc keeps is given back each half a minute', async () => {
    const clock = new FakeClock();
    const calls: string[] = [];
    const memory = {
      trim: () => void calls.push('trim'),
      forget: (address: number, octets: number) => void calls.push(`forget ${address} ${octets}`),
    };
    const startMs = clock.nowMs();
    const at = async (seconds: number) => {
      await clock.advance(startMs + seconds * 1_000 - clock.nowMs());
      return calls.splice(0);
    };
    giveBackSpareMemory(clock, memory, () => mapping('1000-3000 r-xp 00000000 fe:00 271 /usr/local/bin/node', 0));
    deepEqual(await at(9), []);
    deepEqual(await at(10), ['trim', 'forget 4096 8192']);
    deepEqual(await at(39), []);
    deepEqual(await at(40), ['trim']);
    deepEqual(await at(70), ['trim']);
  });

  test('a process that has started gives back a fifth of its memory at least, and runs on', { skip: without }, () => {
    const program = `
      import { readFileSync } from 'node:fs';
      import { giveBackSpareMemory } from ${JSON.stringify(new URL('./spare-memory.ts', import.meta.url).href)};
      const residentKb = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
      let due;
      giveBackSpareMemory({ nowMs: () => 0, after: (_, callback) => { due = callback; } });
      const before = residentKb();
      due();
      const after = residentKb();
      const sorted = JSON.stringify([3, 1, 2].toSorted());
      console.log(JSON.stringify({ before, after, sorted }));`;
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' });
    const { before, after, sorted } = JSON.parse(output) as { before: number; after: number; sorted: string };
    ok(after < before * 0.8, `${before} kB, then ${after} kB`);
    equal(sorted, '[1,2,3]');
  });
});
