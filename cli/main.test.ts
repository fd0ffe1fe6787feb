/** The commands as a person meets them: what is printed where, and the exit code. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { parseNodeConfig, revisionOf } from '../api/v1alpha1/node-config.ts';
import { parseManifest } from './manifest.ts';

const root = resolve(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'localdns-cli-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, contents: string): string {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
}

async function localdns(args: string[], input = '') {
  const child = spawn(process.execPath, [join(root, 'cli/main.ts'), ...args], { cwd: root });
  // One that ends before it has read this has said why.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ]);
  return { code, stdout, stderr };
}

const manifest = (spec: string, name = 'test') =>
  `apiVersion: localdns.dev/v1alpha1\nkind: LocalDnsProfile\nmetadata: {name: ${name}}\nspec: ${spec}\n`;
const node = (labels: string) => `apiVersion: v1\nkind: Node\nmetadata: {name: node-1, labels: ${labels}}\n`;

const good = file('good.yaml', manifest('{nodeSelector: {matchLabels: {pool: np1}}}'));
const bad = file(
  'bad.yaml',
  manifest('{mode: on, kubeDNSOverrides: {Corp.example: {maxConcurrent: -1}}, upstrems: []}'),
);
const looping = file(
  'looping.yaml',
  manifest('{vnetDNSOverrides: {corp.example: {forwardDestination: ClusterCoreDNS}}}'),
);
const redirecting = (mode: string) =>
  manifest(`{mode: ${mode}, nodeSelector: {matchLabels: {pool: np1}}, redirects: [
    {name: a, match: {patterns: ['[', 'a.*']}, target: {addresses: [192.0.2.1]}},
    {name: b, match: {exact: [b.example]}, target: {serviceRef: {namespace: emulator, name: cloud}}}]}`);
const parts = file('parts.yaml', redirecting('Preferred'));
const cut = file('cut.yaml', manifest('{mode: Preferred'));
const two = file('two.yaml', `${manifest('{}')}---\n${manifest('{}', 'other')}`);
const off = file('off.yaml', manifest('{mode: Disabled, nodeSelector: {}}'));
const labelled = file('labelled.yaml', manifest('{}'));
const chosen = file('chosen.yaml', node('{pool: np1}'));
const nowhere = join(folder, 'nowhere.yaml');

interface Case {
  title: string;
  args: string[];
  input?: string;
  code: number;
  /** Whole lines, in order. */
  stdout?: (string | RegExp)[];
  stderr?: (string | RegExp)[];
}

const cases: Case[] = [
  { title: 'no command', args: [], code: 2, stderr: [/^Usage: localdns COMMAND/, ...new Array(8).fill(/./)] },
  {
    title: 'an unknown command',
    args: ['toString'],
    code: 2,
    stderr: [`localdns: "toString" is no command: 'localdns help' lists them`],
  },
  {
    title: 'an unknown option',
    args: ['query', '--nope'],
    code: 2,
    stderr: ["localdns query: Unknown option '--nope'"],
  },
  { title: 'an option without its value', args: ['validate', '-f'], code: 2, stderr: [/^localdns validate: .*--file/] },
  {
    title: 'a needed option left out',
    args: ['validate'],
    code: 2,
    stderr: [/^localdns validate: -f FILE is missing/],
  },
  { title: 'the version', args: ['--version'], code: 0, stdout: [/^\d+\.\d+\.\d+$/] },
  { title: 'a good profile', args: ['validate', '-f', good], code: 0, stdout: [`${good}: profile test is valid`] },
  {
    title: 'a good profile on standard input',
    args: ['validate', '-f', '-'],
    input: manifest('{}'),
    code: 0,
    stdout: ['standard input: profile test is valid'],
  },
  {
    title: 'every error of a bad profile',
    args: ['validate', '-f', bad],
    code: 1,
    stderr: [
      `${bad}: spec.mode: unsupported value true: supported values are "Required", "Preferred", "Disabled"`,
      `${bad}: spec.kubeDNSOverrides["Corp.example"].maxConcurrent: -1 is too small: should be at least 0`,
      `${bad}: spec.upstrems: unknown field: is it misspelt?`,
      /bad\.yaml: spec\.kubeDNSOverrides\["Corp\.example"\]: zones are lower-case/,
    ],
  },
  {
    title: 'a rule about more than one field',
    args: ['validate', '-f', looping],
    code: 1,
    stderr: [/looping\.yaml: spec\.vnetDNSOverrides\["corp\.example"\]: .*loop/],
  },
  { title: 'a syntax error with its place', args: ['validate', '-f', cut], code: 1, stderr: [/cut\.yaml:\d+:\d+: \w/] },
  {
    title: 'two documents',
    args: ['validate', '-f', two],
    code: 1,
    stderr: [`${two}: holds 2 documents: one is expected`],
  },
  { title: 'no file', args: ['validate', '-f', nowhere], code: 2, stderr: [`${nowhere}: there is no such file`] },
  {
    title: 'a folder',
    args: ['validate', '-f', folder],
    code: 2,
    stderr: [`${folder}: is a folder: a file is expected`],
  },
  {
    title: 'a node that the selector does not match',
    args: ['render', '-f', good, '--node', '-'],
    input: node('{pool: np2}'),
    code: 1,
    stderr: ['profile test does not serve node node-1: its nodeSelector does not match the labels of the node'],
  },
  {
    title: 'a node that opted out',
    args: ['render', '-f', good, '--node', '-'],
    input: node('{pool: np1, localdns.dev/profile: none}'),
    code: 1,
    stderr: [/: the node opted out by its label localdns\.dev\/profile=none$/],
  },
  {
    title: 'a node that names another profile',
    args: ['render', '-f', good, '--node', '-'],
    input: node('{pool: np1, localdns.dev/profile: other}'),
    code: 1,
    stderr: [/: the label localdns\.dev\/profile of the node names other$/],
  },
  {
    title: 'a profile for labelled nodes only',
    args: ['render', '-f', labelled, '--node', chosen],
    code: 1,
    stderr: [/: it has no nodeSelector, and the node has no label localdns\.dev\/profile=test$/],
  },
  {
    title: 'a node of another system',
    args: ['render', '-f', good, '--node', '-'],
    input: node('{pool: np1, kubernetes.io/os: windows}'),
    code: 1,
    stderr: [/: only Linux nodes are served$/],
  },
  {
    title: 'a disabled profile',
    args: ['render', '-f', off, '--node', chosen],
    code: 1,
    stderr: [/: its mode is Disabled$/],
  },
  {
    title: 'an invalid profile is not rendered',
    args: ['render', '-f', cut, '--node', chosen],
    code: 1,
    stderr: [/cut\.yaml:/],
  },
  {
    title: 'a pattern that the operator would leave out',
    args: ['validate', '-f', parts],
    code: 1,
    stderr: [
      `${parts}: spec.redirects[0].match.patterns[0]: not a pattern of the RE2 syntax: missing closing ] at character 1: [`,
      `${parts}: with mode Preferred this is left out, and the rest is served`,
    ],
  },
  {
    title: 'a pattern of a profile that is bad otherwise',
    args: ['validate', '-f', '-'],
    input: manifest(`{mode: Maybe, redirects: [{name: a, match: {patterns: ['a)']}, target: {addresses: [1.2.3.4]}}]}`),
    code: 1,
    stderr: [
      'standard input: spec.mode: unsupported value "Maybe": supported values are "Required", "Preferred", "Disabled"',
      'standard input: spec.redirects[0].match.patterns[0]: not a pattern of the RE2 syntax: unexpected ) at character 2: )',
    ],
  },
  {
    title: 'redirects that are none',
    args: ['validate', '-f', '-'],
    input: manifest('{redirects: [1]}'),
    code: 1,
    stderr: ['standard input: spec.redirects[0]: must be of type object, not 1'],
  },
  {
    title: 'a pattern for which the operator would refuse the whole',
    args: ['validate', '-f', '-'],
    input: redirecting('Required'),
    code: 1,
    stderr: [
      /patterns\[0\]: not a pattern/,
      /^standard input: with mode Required the whole profile is refused for this/,
    ],
  },
  {
    title: 'a whole that is refused for a part is not rendered',
    args: ['render', '-f', '-', '--node', chosen, '--service', 'emulator/cloud=192.0.2.7'],
    input: redirecting('Required'),
    code: 1,
    stderr: [/^spec\.redirects\[0\]\.match\.patterns\[0\]: not a pattern/],
  },
  {
    title: 'a Service without its name',
    args: ['render', '-f', good, '--node', chosen, '--service', 'cloud=192.0.2.7'],
    code: 2,
    stderr: ['localdns render: --service takes NAMESPACE/NAME=ADDRESS,...: cloud=192.0.2.7'],
  },
  {
    title: 'a wrong option is found before anything is removed',
    args: ['cleanup', '--route-table', '254'],
    code: 2,
    stderr: [/^localdns cleanup: --route-table 254: write a number/],
  },
  {
    title: 'a preflight for a profile that cannot be read',
    args: ['agent', '--preflight', '--profile', nowhere],
    code: 2,
    stderr: [/nowhere\.yaml: /],
  },
  {
    title: 'what is no node',
    args: ['render', '-f', good, '--node', good],
    code: 2,
    stderr: [`${good}: kind: a Node is expected, not "LocalDnsProfile"`],
  },
  {
    title: 'an address with a port',
    args: ['render', '-f', good, '--node', chosen, '--cluster-dns', '10.96.0.10,10.96.0.11:53'],
    code: 2,
    stderr: [/^localdns render: --cluster-dns .*: 10\.96\.0\.11:53$/],
  },
];

for (const { title, args, input, code, stdout = [], stderr = [] } of cases) {
  test(`${args[0] ?? 'localdns'}: ${title}`, async () => {
    const ran = await localdns(args, input);
    const lines = { stdout: ran.stdout.split('\n').slice(0, -1), stderr: ran.stderr.split('\n').slice(0, -1) };
    for (const [where, wanted] of [
      ['stdout', stdout],
      ['stderr', stderr],
    ] as const) {
      const got = lines[where].filter((line) => line !== '');
      assert.equal(got.length, wanted.length, `${where}:\n${got.join('\n')}`);
      for (const [at, line] of wanted.entries()) {
        if (typeof line === 'string') assert.equal(got[at], line);
        else assert.match(got[at] ?? '', line);
      }
    }
    assert.equal(ran.code, code);
  });
}

test('render: prints what an agent takes, equally as YAML and as JSON', async () => {
  const args = ['render', '-f', good, '--node', chosen, '--cluster-dns', '10.96.0.10,FD00::a'];
  const [yaml, json] = await Promise.all([localdns(args), localdns([...args, '-o', 'json'])]);
  assert.deepEqual([yaml.code, json.code, yaml.stderr, json.stderr], [0, 0, '', '']);
  const parsed = parseNodeConfig(JSON.parse(json.stdout));
  assert.ok('config' in parsed, JSON.stringify(parsed));
  assert.deepEqual(parsed.config.clusterDNS.addresses, ['10.96.0.10', 'fd00::a']);
  assert.deepEqual(parseManifest(yaml.stdout), { value: parsed.config });
  assert.ok(yaml.stdout.startsWith(`# node node-1, profile test, revision ${revisionOf(parsed.config)}\n`));
});

test('render: names what is left out, takes the addresses of Services, and what the node says of its pods', async () => {
  const podNode = `${node('{pool: np1}')}spec: {podCIDRs: [10.244.3.0/24]}\n`;
  const args = ['render', '-f', parts, '--node', '-', '-o', 'json'];
  const without = await localdns(args, podNode);
  assert.equal(without.code, 0);
  assert.deepEqual(without.stderr.trim().split('\n'), [
    'left out: spec.redirects[0].match.patterns[0]: not a pattern of the RE2 syntax: missing closing ] at character 1: [',
    'left out: spec.redirects[1].target.serviceRef: no cluster is asked: give --service emulator/cloud=ADDRESS,...',
  ]);
  const given = await localdns([...args, '--service', 'emulator/cloud=10.96.0.50,FD00::50'], podNode);
  const rendered = (text: string) => {
    const parsed = parseNodeConfig(JSON.parse(text));
    assert.ok('config' in parsed, JSON.stringify(parsed));
    return parsed.config;
  };
  assert.deepEqual(
    rendered(without.stdout).redirects?.map(({ name }) => name),
    ['a'],
  );
  assert.deepEqual(rendered(given.stdout).redirects?.[1]?.addresses, ['10.96.0.50', 'fd00::50']);
  const reverse = file(
    'reverse.yaml',
    manifest('{nodeSelector: {matchLabels: {pool: np1}}, protection: {privateReverse: {mode: NxDomain}}}'),
  );
  const ranges = await localdns(
    ['render', '-f', reverse, '--node', '-', '-o', 'json', '--cluster-dns', '10.96.0.10'],
    podNode,
  );
  assert.deepEqual(rendered(ranges.stdout).privateReverse, { exceptRanges: ['10.244.0.0/16', '10.96.0.0/12'] });
});

test('each command says how it is used', async () => {
  const { stdout } = await localdns(['help']);
  const names = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name = '']) => name);
  assert.deepEqual(names, ['agent', 'operator', 'cleanup', 'validate', 'render', 'query', 'version']);
  for (const name of names) {
    const { code, stdout, stderr } = await localdns([name, '--help']);
    assert.deepEqual([code, stderr, stdout.split('\n')[0]?.startsWith(`Usage: localdns ${name}`)], [0, '', true], name);
  }
});

test('no command pays for what another imports', () => {
  const source = readFileSync(join(root, 'cli/main.ts'), 'utf8');
  const atStart = [...source.matchAll(/^import .* from '(.*)';$/gm)].map(([, path]) => path);
  assert.deepEqual(new Set(atStart), new Set(['./command.ts']));
});
