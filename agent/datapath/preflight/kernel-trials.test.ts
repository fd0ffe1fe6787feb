import { deepEqual, match, ok } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { usualNames } from '../names.ts';
import type { RunNft } from '../nft.ts';
import { tryKernel } from './kernel-trials.ts';

/** A kernel that refuses every script in which `part` stands; what was tried, for a look at it. */
function kernelWithout(part: RegExp) {
  const tried: { args: readonly string[]; script: string }[] = [];
  const runNft: RunNft = async (args, script = '') => {
    tried.push({ args, script });
    return part.test(script)
      ? { code: 1, stdout: '', stderr: 'x:1:2-3: Error: Could not process rule\nsome rule\n' }
      : { code: 0, stdout: '', stderr: '' };
  };
  return { runNft, tried };
}

suite('what the kernel lacks is found by trying, without leaving anything behind:', () => {
  test('nothing, where it takes our own rules; one trial for each family is enough', async () => {
    const { runNft, tried } = kernelWithout(/nothing at all/);
    deepEqual(await tryKernel([4, 6], usualNames, runNft), new Map());
    deepEqual(
      tried.map(({ args }) => args[0]),
      ['--check', '--check'],
    );
    match(
      tried[0]?.script ?? '',
      /table ip localdns-trial \{[\s\S]*socket transparent 1[\s\S]*table ip localdns-trial-fallback/,
    );
    match(tried[1]?.script ?? '', /table ip6 localdns-trial/);
  });

  for (const [part, feature] of [
    [/socket transparent/, 'transparent sockets'],
    [/notrack/, 'untracked packets'],
    [/flags timeout/, 'sets with timeouts'],
    [/flags dynamic/, 'sets of flows'],
    [/dnat/, 'address translation'],
    [/type route/, 'rerouting of local packets'],
    [/flags owner/, 'owned tables'],
    [/counter name/, 'something else'],
  ] as const) {
    test(`${feature}, by ${part}`, async () => {
      const { runNft, tried } = kernelWithout(part);
      deepEqual(await tryKernel([4], usualNames, runNft), new Map([[feature, 'Could not process rule']]));
      ok(tried.every(({ args }) => args.includes('--check')));
    });
  }

  test('nftables itself, and then nothing else is tried', async () => {
    const { runNft, tried } = kernelWithout(/table/);
    deepEqual([...(await tryKernel([4, 6], usualNames, runNft)).keys()], ['nftables']);
    deepEqual(tried.length, 2);
  });
});
