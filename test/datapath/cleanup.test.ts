/** `localdns cleanup` on nodes with what agents leave behind: afterwards they are as before, and others' things as they were. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { families, nftFamily } from '../../agent/datapath/family.ts';
import { type DatapathNames, usualNames } from '../../agent/datapath/names.ts';
import { NamesFile } from '../../agent/datapath/names-file.ts';
import { Namespace } from '../cluster/namespace.ts';
import { eventually } from '../tools/eventually.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { leaveRules, ownAddresses as own } from './left-rules.ts';
import { nft } from './network.ts';
import { nodeState } from './node-state.ts';

const program = resolve(import.meta.dirname, '../../bin/localdns');
const folder = new RunFolder('cleanup');

let node: Namespace;
const nodes: Namespace[] = [];
const running: ChildProcess[] = [];

beforeEach(() => {
  node = new Namespace(folder, 'node');
  nodes.push(node);
  // What others have on the node, under names that could be taken for ours.
  nft(node, 'table inet localdns-firewall {\n chain c {\n type filter hook input priority 0; policy accept;\n }\n}');
  nft(node, 'table ip localdnsmasq {\n set s { type ipv4_addr; }\n}');
  node.ip('rule', 'add', 'priority', '8', 'fwmark', '0x10/0x10', 'from', '192.0.2.0/24', 'lookup', '78');
  node.ip('route', 'add', 'blackhole', '198.51.100.0/24', 'table', '78');
});

after(async () => {
  for (const child of running) child.kill('SIGKILL');
  for (const each of nodes) await each.close();
  await folder.remove();
});

const leaveEverything = (names?: DatapathNames) => leaveRules(node, names);

/** A connection of a client to port 53, as the kernel would have noted it. */
async function track(protocol: 'udp' | 'tcp', address: string, port = 53): Promise<void> {
  const from = address.includes(':') ? 'fd00:244::99' : '10.244.1.99';
  const state = protocol === 'tcp' ? ['--state', 'ESTABLISHED'] : [];
  const tuple = ['-s', from, '-d', address, '--sport', '40000', '--dport', String(port)];
  const { code, stderr } = await node.run('conntrack', ['-I', '-p', protocol, ...tuple, '-t', '600', ...state]);
  assert.equal(code, 0, stderr);
}

async function tracked(): Promise<string[]> {
  const lists = await Promise.all(['ipv4', 'ipv6'].map((family) => node.run('conntrack', ['-L', '-f', family])));
  return lists.flatMap(({ stdout }) =>
    [...stdout.matchAll(/^(\w+) .*?dst=(\S+) sport=\d+ dport=(\d+)/gm)].map(([, ...parts]) => parts.join(' ')),
  );
}

const cleanup = (...args: string[]) => node.run(program, ['cleanup', ...args]);

test('a node on which an agent left everything is as before, others’ things included, and the second time nothing is left', async () => {
  const before = await nodeState(node);
  leaveEverything();
  assert.notDeepEqual(await nodeState(node), before);
  const first = await cleanup();
  assert.equal(first.stderr, '');
  assert.deepEqual(await nodeState(node), before);
  assert.deepEqual(first.stdout.trimEnd().split('\n').sort(), [
    'removed IPv4 rule 8 and the routes of table 153',
    'removed IPv6 rule 8 and the routes of table 153',
    ...families.flatMap((family) => [
      `removed table ${nftFamily[family]} localdns`,
      `removed table ${nftFamily[family]} localdns-0123abcd`,
    ]),
  ]);
  const second = await cleanup();
  assert.deepEqual([first.code, second.code], [0, 0]);
  assert.equal(second.stdout, 'nothing of LocalDNS is on this node\n');
});

test('connections that the fallback took are forgotten, and those of others are not', async () => {
  leaveEverything();
  await track('udp', own[4]);
  await track('tcp', own[4]);
  await track('udp', own[6]);
  const others = [
    ['udp', '10.96.0.10', 53],
    ['udp', own[4], 54],
    ['tcp', 'fd00:96::10', 53],
  ] as const;
  for (const [protocol, address, port] of others) await track(protocol, address, port);
  assert.equal((await tracked()).length, 6);
  const { code, stdout } = await cleanup();
  assert.equal(code, 0);
  assert.match(stdout, /removed 3 conntrack entries of 169\.254\.10\.11, fdcd:6c64:6e73::11/);
  assert.deepEqual((await tracked()).sort(), others.map((other) => other.join(' ')).sort());
});

test('what a running agent uses stays until it ends, and then goes', async () => {
  const before = await nodeState(node);
  leaveEverything();
  // A table of a process that lives, as an agent has it: nobody else can remove it.
  const agent = node.exec('nft', ['-i'], { stdio: ['pipe', 'ignore', 'ignore'] });
  running.push(agent);
  agent.stdin?.write('table ip localdns-89abcdef { flags owner; }\n');
  const owned = async () => (await node.run('nft', ['list', 'tables'])).stdout.includes('localdns-89abcdef');
  await eventually('the table of the living process', 5_000, owned);
  const refused = await cleanup();
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /an agent still runs on this node: table ip localdns-89abcdef is its own/);
  const tables = (await node.run('nft', ['list', 'tables'])).stdout;
  assert.match(tables, /table ip localdns\n/);
  assert.match((await node.run('ip', ['rule'])).stdout, /lookup 153/);
  const gone = once(agent, 'exit');
  agent.kill('SIGKILL');
  await gone;
  assert.equal((await cleanup()).code, 0);
  assert.deepEqual(await nodeState(node), before);
});

test('names that were changed by option are cleaned by the same options, and only those', async () => {
  const before = await nodeState(node);
  const names: DatapathNames = {
    ...{ table: 'node-dns', routeTable: 1153, rulePriority: 5 },
    marks: { intercept: 0x100, own: 0x200, gate: 0x400 },
  };
  leaveEverything(names);
  assert.equal((await cleanup()).stdout, 'nothing of LocalDNS is on this node\n');
  const options = ['--nft-table', 'node-dns', '--mark-intercept', '0x100', '--route-table', '1153'];
  const { code } = await cleanup(...options, '--rule-priority', '5');
  assert.equal(code, 0);
  assert.deepEqual(await nodeState(node), before);
});

test('names of before are known from the state folder, whatever is given, and go beside the usual ones', async () => {
  const before = await nodeState(node);
  const marks = { intercept: 0x100, own: 0x200, gate: 0x400 };
  const [second, third] = [
    { table: 'node-dns', routeTable: 1153, rulePriority: 5, marks },
    { ...usualNames, rulePriority: 6 },
  ];
  for (const names of [usualNames, second]) leaveEverything(names);
  const state = mkdtempSync(join(folder.path, 'state-'));
  const file = new NamesFile(state);
  await file.write([
    { names: second, starts: [0x0123abcd] },
    { names: third, starts: [] },
  ]);
  const agent = node.exec('nft', ['-i'], { stdio: ['pipe', 'ignore', 'ignore'] });
  running.push(agent);
  agent.stdin?.write('table ip node-dns-89abcdef { flags owner; }\n');
  const owned = async () => (await node.run('nft', ['list', 'tables'])).stdout.includes('node-dns-89abcdef');
  await eventually('the table of the living process', 5_000, owned);
  const whileLived = await cleanup('--state-dir', state);
  assert.equal(whileLived.code, 1);
  assert.match((await node.run('ip', ['rule'])).stdout, /lookup 153/);
  assert.equal((await file.read()).length, 2);
  const gone = once(agent, 'exit');
  agent.kill('SIGKILL');
  await gone;
  const { code, stderr } = await cleanup('--state-dir', state);
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(await nodeState(node), before);
  assert.deepEqual(await file.read(), []);
});

test('NET_ADMIN is all that it needs', async () => {
  const before = await nodeState(node);
  leaveEverything();
  const alone = ['--bounding-set', '-all,+net_admin', '--inh-caps', '-all', program, 'cleanup'];
  assert.equal((await node.run('setpriv', alone)).code, 0);
  assert.deepEqual(await nodeState(node), before);
});

test('a process without NET_ADMIN is told so, and one with a wrong option too', async () => {
  leaveEverything();
  const dropped = ['--bounding-set', '-net_admin', '--inh-caps', '-net_admin', program, 'cleanup'];
  const { code, stderr } = await node.run('setpriv', dropped);
  assert.deepEqual([code, stderr], [2, 'localdns cleanup: this needs root, or the capability NET_ADMIN\n']);
  const wrong = await cleanup('--mark-intercept', '3');
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /--mark-intercept 3: write one bit/);
});
