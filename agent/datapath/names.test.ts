import { deepEqual, equal, match } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isOurTable, isServingTable, parseDatapathNames, servingTableName, usualNames } from './names.ts';

suite('the names of the datapath', () => {
  test('are the usual ones where none is given', () => {
    deepEqual(parseDatapathNames({}), { names: usualNames });
  });

  test('are taken in decimal and in hexadecimal, each in its place', () => {
    const given = {
      'nft-table': 'edge-dns',
      'mark-intercept': '0x80000000',
      'mark-own': '4',
      'mark-gate': '0x8',
      'route-table': '4294967295',
      'rule-priority': '32765',
    };
    deepEqual(parseDatapathNames(given), {
      names: {
        table: 'edge-dns',
        marks: { intercept: 0x80000000, own: 4, gate: 8 },
        routeTable: 4294967295,
        rulePriority: 32765,
      },
    });
  });

  for (const [values, wanted] of [
    [{ 'nft-table': '1dns' }, /--nft-table 1dns: .*a letter first/],
    [{ 'nft-table': 'a b' }, /--nft-table a b:/],
    [{ 'nft-table': 'a{}' }, /--nft-table/],
    [{ 'nft-table': '' }, /--nft-table/],
    [{ 'nft-table': 'x'.repeat(65) }, /at most 64/],
    [{ 'mark-intercept': '0x30' }, /--mark-intercept 0x30: write one bit/],
    [{ 'mark-own': '0' }, /--mark-own 0:/],
    [{ 'mark-own': '0x100000000' }, /--mark-own/],
    [{ 'mark-own': '8589934592' }, /--mark-own/],
    [{ 'mark-gate': 'sixteen' }, /--mark-gate sixteen:/],
    [{ 'mark-gate': '' }, /--mark-gate/],
    [{ 'mark-gate': '0x10' }, /three different bits/],
    [{ 'mark-own': '0x40' }, /three different bits/],
    [{ 'route-table': '254' }, /--route-table 254: .*252 to 255/],
    [{ 'route-table': '0' }, /--route-table/],
    [{ 'route-table': '4294967296' }, /--route-table/],
    [{ 'rule-priority': '0' }, /--rule-priority 0:/],
    [{ 'rule-priority': '32766' }, /1 to 32765/],
    [{ 'rule-priority': '-1' }, /--rule-priority/],
  ] as const) {
    test(`${JSON.stringify(values)} is refused with a word on what would do`, () => {
      const parsed = parseDatapathNames(values);
      match('error' in parsed ? parsed.error : 'accepted', wanted);
    });
  }

  test('tell our tables, and those of each agent, from those of others that begin alike', () => {
    for (const [name, isOurs] of [
      ['localdns', true],
      ['localdns-0123abcd', true],
      ['localdns-alive-4711-0123abcd', true],
      ['localdns-', false],
      ['localdns-firewall', false],
      ['localdns-alive-x-0123abcd', false],
      ['localdnsmasq', false],
      ['my-localdns', false],
    ] as const) {
      equal(isOurTable(name, usualNames), isOurs, name);
    }
  });

  test('tell the serving tables of agents from all other tables', () => {
    for (const startId of [0, 0xffffffff])
      equal(isServingTable(servingTableName(usualNames, startId), usualNames), true);
    for (const name of ['localdns', 'localdns-alive-4711-0123abcd', 'localdns-firewall', 'edge-dns-0123abcd']) {
      equal(isServingTable(name, usualNames), false, name);
    }
  });
});
