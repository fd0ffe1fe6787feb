/** The page of the datapath against the code: names, numbers, reasons and checks, none more or less. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { suite, test } from 'node:test';
import { gateTable } from '../agent/datapath/gate.ts';
import { datapathNameOptions, isOurTable, usualNames } from '../agent/datapath/names.ts';
import { fallbackContents } from '../agent/datapath/ruleset.ts';
import { counterNames, servingSets } from '../agent/datapath/serving-rules.ts';
import { reasons } from '../api/v1alpha1/conditions.ts';

const root = resolve(import.meta.dirname, '..');
const read = (path: string) => readFileSync(resolve(root, path), 'utf8');
const page = read('docs/datapath.md');

/** The part of the page below a heading, up to the next one of any level. */
function section(heading: string): string {
  const [, ...sections] = page.split(/^#+ (?=[A-Z])/m);
  const found = sections.find((text) => text.startsWith(`${heading}\n`));
  assert.ok(found, `there is no heading ${heading}`);
  return found;
}

/** The cells of the rows of tables, without the head. */
function rowsOf(text: string): string[][] {
  const rows = text.split('\n').filter((line) => line.startsWith('| '));
  return rows.slice(1).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const wordsOf = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, word]) => word as string);
const sorted = (words: Iterable<string>) => [...new Set(words)].sort();

/** The reasons that sources give: to the condition, or in a finding of a level. */
function reasonsIn(paths: string, givenBy: RegExp): string[] {
  return globSync(paths, { cwd: root })
    .filter((path) => !path.endsWith('.test.ts'))
    .flatMap((path) => [...read(path).matchAll(givenBy)].map(([, name]) => reasons[name as keyof typeof reasons]));
}

suite('the page of the datapath', () => {
  test('has every option with its default', () => {
    const { table, marks, routeTable, rulePriority } = usualNames;
    const hex = (mark: number) => `0x${mark.toString(16)}`;
    const rows = rowsOf(section('What is ours in the kernel')).filter(([, , option]) => option?.startsWith('`--'));
    assert.deepEqual(
      rows.map(([, usual, option]) => [option, usual]),
      [
        ['`--nft-table`', table],
        ['`--mark-intercept`', hex(marks.intercept)],
        ['`--mark-own`', hex(marks.own)],
        ['`--mark-gate`', hex(marks.gate)],
        ['`--route-table`', String(routeTable)],
        ['`--rule-priority`', String(rulePriority)],
      ],
    );
    const documented = rows.flatMap(([, , option = '']) => wordsOf(option).map((word) => word.slice(2)));
    assert.deepEqual(sorted(documented), sorted(Object.keys(datapathNameOptions)));
    const mark = hex(marks.intercept);
    assert.ok(page.includes(`\`${rulePriority}: from all fwmark ${mark}/${mark} lookup ${routeTable}\``));
    assert.ok(page.includes(`ip route show table ${routeTable}\n`));
  });

  test('has the tables, their sets and their counters by name', () => {
    const text = section('What is ours in the kernel');
    const rows = rowsOf(text).filter(([, , does]) => !does?.startsWith('`--'));
    const tables = rows.flatMap(([name = '']) => wordsOf(name));
    const [fallback = '', serving = '', gate = ''] = tables.filter((name) => name.includes('localdns'));
    assert.equal(fallback, usualNames.table);
    const [, , does = ''] = rows.find(([name]) => name === `\`${fallback}\``) ?? [];
    assert.deepEqual(sorted(wordsOf(does)), sorted(['fallback', ...Object.keys(fallbackContents.sets)]));
    const exemplary = (name: string) => name.replace('START', '0badcafe').replace('PROCESS', '7');
    assert.ok(isOurTable(exemplary(serving), usualNames), serving);
    assert.equal(exemplary(gate), `inet ${gateTable(usualNames.table, 7, 0x0badcafe)}`);
    const prose = text.slice(text.indexOf('START is eight'));
    const named = wordsOf(prose).filter((word) => word !== 'localdns-START' && !/[: ]/.test(word));
    assert.deepEqual(sorted(named), sorted([...Object.keys(servingSets(4)), ...counterNames]));
  });

  test('has every reason of the condition Intercepting, and no other', () => {
    const given = [
      ...reasonsIn('agent/datapath/{datapath,interceptor}.ts', /reasons\.(\w+)/g),
      ...reasonsIn('agent/datapath/preflight/*.ts', /(?:blocking|level)\(\s*reasons\.(\w+)/g),
    ];
    assert.ok(given.length > 20 && !given.includes(undefined as never));
    const documented = rowsOf(section('The condition Intercepting')).flatMap(([reason = '']) => wordsOf(reason));
    assert.deepEqual(sorted(documented), sorted(given));
  });

  test('has every check of the preflight with all that it may say', () => {
    const documented = rowsOf(section('The preflight')).map(([check = '', , said = '']) => [
      ...wordsOf(check),
      ...sorted(wordsOf(said)),
    ]);
    const files = globSync('agent/datapath/preflight/*.ts', { cwd: root }).filter((path) => !path.endsWith('.test.ts'));
    const checks = files.flatMap((path) =>
      // Each check is one exported function, which names itself first.
      read(path)
        .split(/^export function /m)
        .flatMap((text) => {
          const [, name] = /saying\('([\w-]+)'\)/.exec(text) ?? [];
          const said = [...text.matchAll(/reasons\.(\w+)/g)].map(([, key]) => reasons[key as keyof typeof reasons]);
          return name === undefined ? [] : [[name, ...sorted(said)]];
        }),
    );
    assert.ok(checks.length > 15);
    const byName = (lists: string[][]) => lists.sort(([a = ''], [b = '']) => a.localeCompare(b));
    assert.deepEqual(byName(documented), byName(checks));
  });

  test('names metrics that there are', () => {
    const metrics = read('agent/metrics.ts');
    const named = page.match(/localdns_\w+/g) ?? [];
    assert.ok(named.length > 5);
    for (const name of named) assert.ok(metrics.includes(`'${name}'`), name);
  });

  test('links to what there is, and is linked to', () => {
    for (const [, path = ''] of page.matchAll(/\]\(([^)#:]+)(?:#[\w-]+)?\)/g)) {
      assert.ok(existsSync(resolve(root, 'docs', path)), path);
    }
    assert.ok(read('README.md').includes('(docs/datapath.md)'));
  });

  for (const [file, declared, said] of [
    ['datapath', 'beatMs = 500', /Twice a second the agent asks/],
    ['datapath', 'aliveMs = 1_500', /into `alive` for 1\.5 s/],
    ['datapath', 'beatsPerLook = 4', /put right within 5 s/],
    ['datapath', 'maxRestorations = 5', /The fifth time in five minutes/],
    ['datapath', 'restorationWindowMs = 5 * 60_000', /The fifth time in five minutes/],
    ['datapath', 'holdOffMs = 5 * 60_000', /stands back for five minutes \(`LoopFound`\)/],
    ['interceptor', 'lookAgainMs = 30_000', /again every 30 s while there is something/],
    ['serving-rules', 'retryMs = 300_000', /`trying`\s+\(those on trial: one\s+packet in five minutes/],
    [
      'serving-rules',
      'provedMs = 3_600_000',
      /`proved` \(what gets through INPUT: source, transport and address, for an hour\)/,
    ],
  ] as const) {
    test(`says what the code means by ${declared}`, () => {
      assert.ok(
        read(`agent/datapath/${file}.ts`).includes(`const ${declared};`),
        'the code has changed: so must the page',
      );
      assert.match(page, said);
    });
  }
});
