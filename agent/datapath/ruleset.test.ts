/** The fallback rules as golden files: `nft -f` reads each, and a person can. UPDATE_GOLDEN=1 writes them anew: read the difference. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { type Family, families, nftFamily } from './family.ts';
import { usualNames } from './names.ts';
import { type Fallback, fallbackContents, fallbackSlots, fallbacks, fallbackTable } from './ruleset.ts';

const folder = resolve(import.meta.dirname, '../../test/golden/ruleset');

function isAsInFile(name: string, script: string): void {
  const path = join(folder, name);
  if (process.env.UPDATE_GOLDEN === '1' || !existsSync(path)) writeFileSync(path, script);
  assert.equal(script, readFileSync(path, 'utf8'));
}

for (const family of families) {
  const ip = nftFamily[family];
  test(`the fallback table of family ${ip}`, () => {
    isAsInFile(`fallback.${ip}.nft`, fallbackTable(family, usualNames));
  });
}

test('every part of the table is looked at', () => {
  const text = fallbackTable(4, usualNames);
  const named = (kinds: string) =>
    Array.from(text.matchAll(new RegExp(`^\\t(?:${kinds}) (\\S+) `, 'gm')), ([, name]) => name);
  assert.deepEqual(fallbackContents.chains, named('chain'));
  assert.deepEqual(Object.keys(fallbackContents.sets).sort(), named('set|map').sort());
});

test('the table is named as was given, and its sets are emptied where nothing shall be in them', () => {
  const names = { ...usualNames, table: 'dns2' };
  assert.match(fallbackTable(6, names), /^table ip6 dns2 \{$/m);
  const nobody: Fallback = { addresses: [], backends: [] };
  const own: Fallback = { addresses: ['fd00::a', 'fd00::b'], backends: [] };
  assert.equal(
    fallbacks(6, names, { cluster: nobody, node: own, untracked: ['fd00::a'] }),
    `flush set ip6 dns2 cluster_addresses
flush set ip6 dns2 node_addresses
add element ip6 dns2 node_addresses { fd00::a, fd00::b }
flush map ip6 dns2 cluster_backends
flush map ip6 dns2 node_backends
flush set ip6 dns2 untracked
add element ip6 dns2 untracked { fd00::a }
`,
  );
});

test('every slot of the fallback leads to an endpoint, evenly, and none leads anywhere where there is no endpoint', () => {
  const script = (backends: Fallback['backends'], family: Family = 4) =>
    fallbacks(family, usualNames, {
      cluster: { addresses: ['169.254.10.11'], backends },
      node: { addresses: [], backends: [] },
      untracked: [],
    });
  const three = script([1, 2, 3].map((last) => ({ address: `10.244.0.${last}`, port: 53 })));
  const slots = [...three.matchAll(/(\d+) : (\S+) \. 53/g)].map(([, slot, address]) => ({
    slot: Number(slot),
    address,
  }));
  assert.deepEqual(
    slots.map(({ slot }) => slot),
    Array.from({ length: fallbackSlots }, (_, slot) => slot),
  );
  const shares = [1, 2, 3].map((last) => slots.filter(({ address }) => address === `10.244.0.${last}`).length);
  assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, String(shares));
  assert.doesNotMatch(script([]), /cluster_backends \{/);
});
