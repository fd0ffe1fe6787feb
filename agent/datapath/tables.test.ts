import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunNft } from './nft.ts';
import { tableContents } from './tables.ts';

const rule = { rule: { family: 'ip', table: 'theirs', chain: 'input', expr: [{ drop: null }] } };
const chain = { chain: { family: 'ip', table: 'theirs', name: 'input', hook: 'input' } };
const json = (...objects: object[]) => JSON.stringify({ nftables: [{ metainfo: {} }, ...objects] });

/** Answers as nft would; what is not foreseen is not there. */
function scripted(outputs: Record<string, string>): RunNft {
  return async (args) => {
    const stdout = outputs[args.join(' ')];
    return stdout === undefined
      ? { stdout: '', stderr: 'No such file or directory', code: 1 }
      : { stdout, stderr: '', code: 0 };
  };
}

test('a table whose JSON ends in the middle, as that of an owned one may, is read chain by chain', async () => {
  const contents = await tableContents(
    { family: 'ip', name: 'theirs' },
    scripted({
      '-j list table ip theirs': '{"nftables": [{"table": {"family": "ip", "name": "theirs", "flags": "ow',
      'list table ip theirs': 'table ip theirs {\n\tflags owner\n\n\tchain input {\n\t\tdrop\n\t}\n}\n',
      '-j list chain ip theirs input': json(chain, rule),
    }),
  );
  assert.deepEqual(contents[0], { table: { family: 'ip', name: 'theirs' } });
  assert.ok(contents.some((object) => object.chain?.name === 'input'));
  assert.ok(contents.some((object) => object.rule?.chain === 'input'));
});
