/** The packet rules as golden files: `nft -f` reads each, and a person can. UPDATE_GOLDEN=1 writes them anew: read the difference. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { type Family, families, nftFamily } from './family.ts';
import { usualNames } from './names.ts';
import {
  doubtEverybody,
  type Fallback,
  fallbackSlots,
  fallbacks,
  fallbackTable,
  lifeSigns,
  servedAddresses,
  servingTable,
} from './ruleset.ts';

const folder = resolve(import.meta.dirname, '../../test/golden/ruleset');
const table = 'localdns-0badcafe';

function isAsInFile(name: string, script: string): void {
  const path = join(folder, name);
  if (process.env.UPDATE_GOLDEN === '1' || !existsSync(path)) writeFileSync(path, script);
  assert.equal(script, readFileSync(path, 'utf8'));
}

for (const family of families) {
  const ip = nftFamily[family];
  test(`the tables of family ${ip}`, () => {
    isAsInFile(`serving.${ip}.nft`, servingTable(family, table, usualNames));
    isAsInFile(`fallback.${ip}.nft`, fallbackTable(family, usualNames));
  });
}

test('a kernel without owned tables gets no owner and no gate, and all else', () => {
  const lines = (owned: boolean) => new Set(servingTable(4, table, usualNames, owned).split('\n'));
  const [owned, unowned] = [lines(true), lines(false)];
  assert.deepEqual(
    [...owned].filter((line) => !unowned.has(line)).map((line) => line.trim().slice(0, 40)),
    ['flags owner', 'th dport 53 meta mark and 0x40 == 0x40 m'],
  );
  assert.deepEqual(
    [...unowned].filter((line) => !owned.has(line)).map((line) => line.trim()),
    ['th dport 53 ip daddr @served meta l4proto { tcp, udp } jump from_node'],
  );
});

test('names, marks and tables are those given', () => {
  const names = { ...usualNames, table: 'dns2', marks: { intercept: 0x100, own: 0x200, gate: 0x400 } };
  const script = servingTable(6, 'dns2-1', names) + fallbackTable(6, names);
  assert.match(script, /^table ip6 dns2-1 \{$/m);
  assert.match(script, /^table ip6 dns2 \{$/m);
  for (const bit of ['0x100', '0x200', '0x400']) assert.ok(script.includes(`meta mark and ${bit} == ${bit}`), bit);
  assert.doesNotMatch(script, /0x[1248]0\b/);
});

test('addresses, life signs and doubts are set updates, and empty sets are emptied', () => {
  const sets = { served: ['10.96.0.10', '169.254.10.11'], tracked: ['10.96.0.10'], clusterDns: [] };
  assert.equal(
    servedAddresses(4, table, sets),
    `flush set ip ${table} served
add element ip ${table} served { 10.96.0.10, 169.254.10.11 }
flush set ip ${table} tracked
add element ip ${table} tracked { 10.96.0.10 }
flush map ip ${table} itself
add element ip ${table} itself { 10.96.0.10 : 10.96.0.10 }
flush set ip ${table} clusterdns
`,
  );
  assert.equal(
    lifeSigns(6, table, { alive: [{ address: 'fd00::a', milliseconds: 1492 }], holding: [] }),
    `flush set ip6 ${table} alive
add element ip6 ${table} alive { fd00::a timeout 1492ms }
flush set ip6 ${table} holding
`,
  );
  assert.equal(doubtEverybody(4, table), `flush set ip ${table} proved\nflush set ip ${table} trying\n`);
});

test('every slot of the fallback leads to an endpoint, evenly, and none leads anywhere where there is no endpoint', () => {
  const script = (backends: Fallback['backends'], family: Family = 4) =>
    fallbacks(family, usualNames, {
      cluster: { addresses: ['169.254.10.11'], backends },
      node: { addresses: [], backends: [] },
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
