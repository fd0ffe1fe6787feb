import { deepEqual, match, ok } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { usualNames } from '../names.ts';
import { NetlinkError } from '../netlink.ts';
import type { RunNft } from '../nft.ts';
import { type TryServing, tryKernel } from './kernel-trials.ts';

/** Makes a serving table of each family. */
const serves: TryServing = () => ({ owned: true });

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
  test('nothing, where it takes our own rules; one trial of each table for each family is enough', async () => {
    const { runNft, tried } = kernelWithout(/nothing at all/);
    const served: number[] = [];
    const serving: TryServing = (family) => {
      served.push(family);
      return { owned: true };
    };
    deepEqual(await tryKernel([4, 6], usualNames, runNft, serving), new Map());
    deepEqual(served, [4, 6]);
    deepEqual(
      tried.map(({ args }) => args[0]),
      ['--check', '--check'],
    );
    match(tried[0]?.script ?? '', /table ip localdns-trial \{[\s\S]*cluster_backends/);
    match(tried[1]?.script ?? '', /table ip6 localdns-trial/);
  });

  for (const [part, feature] of [
    [/socket transparent/, 'transparent sockets'],
    [/notrack/, 'untracked packets'],
    [/flags timeout/, 'sets with timeouts'],
    [/flags dynamic/, 'sets of flows'],
    [/dnat/, 'address translation'],
    [/type route/, 'rerouting of local packets'],
  ] as const) {
    test(`${feature}, by ${part}`, async () => {
      const { runNft, tried } = kernelWithout(part);
      const refuses: TryServing = () => {
        throw new NetlinkError('ENOENT');
      };
      deepEqual(await tryKernel([4], usualNames, runNft, refuses), new Map([[feature, 'Could not process rule']]));
      ok(tried.every(({ args }) => args.includes('--check')));
    });
  }

  test('tables that end with their owner, where it makes the serving table without', async () => {
    const { runNft } = kernelWithout(/nothing at all/);
    const found = await tryKernel([4], usualNames, runNft, () => ({ owned: false }));
    deepEqual([...found.keys()], ['owned tables']);
  });

  test('something else, where it takes each thing by itself and the table not', async () => {
    const { runNft } = kernelWithout(/nothing at all/);
    const found = await tryKernel([4], usualNames, runNft, () => {
      throw new NetlinkError('EPERM');
    });
    deepEqual(found, new Map([['something else', 'the kernel refused it: EPERM']]));
    const fallback = kernelWithout(/counter name fallback/);
    deepEqual(
      await tryKernel([4], usualNames, fallback.runNft, serves),
      new Map([['something else', 'Could not process rule']]),
    );
  });

  test('nftables itself, and then nothing else is tried', async () => {
    const { runNft, tried } = kernelWithout(/table/);
    deepEqual([...(await tryKernel([4, 6], usualNames, runNft, serves)).keys()], ['nftables']);
    deepEqual(tried.length, 2);
  });
});
