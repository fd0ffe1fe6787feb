/** An agent is given other names of tables, marks and routes than the one before it had: interception goes on, and nothing is left. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Daemon } from '../cluster/daemon.ts';
import { Namespace } from '../cluster/namespace.ts';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { addresses, attach, makeRouter, podAddresses } from './network.ts';
import { type NodeState, nodeState } from './node-state.ts';
import { answeredByAgent } from './served-lab.ts';
import { Traffic } from './traffic.ts';

const program = resolve(import.meta.dirname, '../../bin/localdns');
const own = '169.254.10.11';
const resolver = addresses.nodeResolver.v4;
const allOther = [
  ...['--nft-table=foo', '--mark-intercept=0x100', '--mark-own=0x200', '--mark-gate=0x400'],
  ...['--route-table=200', '--rule-priority=4'],
];
/** As the chart's values have it. */
const example = ['--rule-priority=4', '--mark-intercept=0x100'];
/** What the first one says by one bit the second one says by another. */
const sameBits = ['--mark-intercept=0x20', '--mark-own=0x40', '--mark-gate=0x10'];

/** Two beats of the agent, and time for its query that finds loops. */
const watchedMs = 1_500;

const folder = new RunFolder('names');
let node: Namespace;
let pod: Namespace;
let world: Namespace;
let dns: Daemon;
let bare: NodeState;
let state: string;
let agents: Daemon[] = [];
let traffic: Traffic | undefined;

/** Cluster DNS and the node's resolver at once; its answers are all alike. */
const answering = `
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (query, { port, address }) => {
    let end = 12;
    while (query[end] !== 0) end += query[end] + 1;
    const question = query.subarray(12, end + 5);
    const header = Buffer.from([query[0], query[1], 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
    socket.send(Buffer.concat([header, question, record]), port, address);
  });
  socket.bind(53);`;

before(async () => {
  [node, pod, world] = [new Namespace(folder, 'node'), new Namespace(folder, 'pod'), new Namespace(folder, 'world')];
  makeRouter(node);
  attach(pod, node, 'pod0', podAddresses(0), addresses.podGateway);
  attach(node, world, 'node', addresses.node, addresses.nodeResolver);
  world.ip('route', 'add', podAddresses(0).v4, 'via', addresses.node.v4);
  dns = new Daemon(folder, world, { name: 'dns', command: process.execPath, args: ['-e', answering] });
  const listeners = 'listeners: { cluster: { addresses: [169.254.10.11] }, node: { addresses: [169.254.10.10] } }';
  const profile = `apiVersion: localdns.dev/v1alpha1\nkind: LocalDnsProfile\nmetadata: { name: p }\nspec: { ${listeners} }\n`;
  writeFileSync(join(folder.path, 'profile.yaml'), profile);
  bare = await nodeState(node);
});

beforeEach(() => {
  state = mkdtempSync(join(folder.path, 'state-'));
});

afterEach(async (context) => {
  if ('passed' in context && !context.passed) for (const agent of agents) console.log(agent.lastWords);
  await traffic?.stop();
  traffic = undefined;
  for (const agent of agents) await agent.stop();
  agents = [];
  await node.run(program, ['cleanup', '--state-dir', state]);
});

after(async () => {
  await dns?.stop();
  for (const each of [node, pod, world]) await each?.close();
  await folder.remove();
});

function start(name: string, ...options: string[]): Daemon {
  const at = ['--profile', join(folder.path, 'profile.yaml'), '--state-dir', state, '--node-name', name];
  const servers = ['--cluster-dns', resolver, '--node-dns', resolver, '--metrics', '127.0.0.1:0'];
  const agent = new Daemon(folder, node, { name, command: program, args: ['agent', ...at, ...servers, ...options] });
  agents.push(agent);
  return agent;
}

async function intercepts(agent: Daemon): Promise<void> {
  await eventually(`${agent.name} intercepts`, 15_000, () => {
    agent.assertRunning();
    return /"intercepting":true/.test(agent.log);
  });
}

/** At its own address, and in the resolver's place. */
async function answers({ name }: Daemon): Promise<void> {
  for (const server of [own, resolver]) {
    const isAnswered = () => answeredByAgent(pod, server, 'udp', name);
    await eventually(`${name} answers at ${server}`, 10_000, isAnswered);
  }
}

/** What of the kernel is under which names. */
async function standing(): Promise<{ tables: string[]; rules: string[]; routes: number[] }> {
  const said = async (command: string, ...args: string[]) => (await node.run(command, args)).stdout;
  const tables = [...(await said('nft', 'list', 'tables')).matchAll(/^table \S+ (localdns|foo)\S*$/gm)];
  const rules = [...(await said('ip', 'rule')).matchAll(/^\d+:\s.* fwmark (\S+) lookup \d+.*$/gm)];
  const routes = await Promise.all(['153', '200'].map((table) => said('ip', 'route', 'show', 'table', table)));
  return {
    tables: [...new Set(tables.map(([, name = '']) => name))].sort(),
    rules: rules.map(([, mark = '']) => mark).sort(),
    routes: routes.map((text) => text.split('\n').filter(Boolean).length),
  };
}

const ofUsualNames = { tables: ['localdns'], rules: ['0x10/0x10'], routes: [3, 0] };
const ofOtherNames = { tables: ['foo'], rules: ['0x100/0x100'], routes: [0, 3] };
const isOf = (wanted: object) => async () => JSON.stringify(await standing()) === JSON.stringify(wanted);

/** The first one's rules are taken for nobody else's, and no alarm is raised by them. */
function saysNothingFalse({ log }: Daemon): void {
  assert.doesNotMatch(log, /Taken|Shadowed|LoopFound|Dropped|another program|"intercepting":false/);
}

for (const [how, end, options, after] of [
  ['is told to end', (agent: Daemon) => agent.stop(), allOther, ofOtherNames],
  [
    'is told to end',
    (agent: Daemon) => agent.stop(),
    ['--nft-table=foo', '--rule-priority=4'],
    { ...ofUsualNames, tables: ['foo'] },
  ],
  ['is killed', (agent: Daemon) => agent.kill(), example, { ...ofUsualNames, rules: ['0x100/0x100'] }],
] as const) {
  test(`beside an agent that lives it works under that one's names, and under its own once that one ${how}: ${options.join(' ')}`, async () => {
    const first = start('first');
    await intercepts(first);
    traffic = await Traffic.start({ from: [pod], servers: [own, resolver], transports: ['udp'], perSecond: 100 });
    const second = start('second', ...options);
    await intercepts(second);
    await answers(second);
    await pause(watchedMs);
    assert.deepEqual(await standing(), ofUsualNames);
    await end(first);
    await eventually('the names are changed', 10_000, isOf(after));
    await answers(second);
    await pause(watchedMs);
    saysNothingFalse(second);
    const { lost, sent } = await traffic.stop();
    traffic = undefined;
    assert.ok(sent > 300, `${sent}`);
    assert.deepEqual(lost, []);
    const kept = JSON.parse(readFileSync(join(state, 'names.json'), 'utf8')) as { names: { rulePriority: number } }[];
    assert.deepEqual(
      kept.map(({ names }) => names.rulePriority),
      [4],
    );
    await second.stop();
    assert.deepEqual(await nodeState(node), bare);
    assert.equal(existsSync(join(state, 'names.json')), false);
  });
}

for (const [which, options] of [
  ['all of them', allOther],
  ['mark and priority', example],
  ['the routing table alone', ['--route-table=200']],
  ['what each bit means', sameBits],
] as const) {
  test(`what a killed agent left under other names serves until it goes: ${which}`, async () => {
    const first = start('first');
    await intercepts(first);
    await first.kill();
    traffic = await Traffic.start({ from: [pod], servers: [own, resolver], transports: ['udp'], perSecond: 100 });
    const second = start('second', ...options);
    await intercepts(second);
    await answers(second);
    await pause(watchedMs);
    saysNothingFalse(second);
    const { lost } = await traffic.stop();
    traffic = undefined;
    assert.deepEqual(lost, []);
    assert.equal((await standing()).rules.length, 1);
    await second.stop();
    assert.deepEqual(await nodeState(node), bare);
  });
}

test('bits that mean something else beside an agent that lives lead no query of the agent to itself', async () => {
  const first = start('first');
  await intercepts(first);
  const second = start('second', '--nft-table=foo', ...sameBits);
  await intercepts(second);
  await first.stop();
  await eventually('the names are changed', 10_000, async () => (await standing()).rules.join() === '0x20/0x20');
  await answers(second);
  await pause(watchedMs);
  saysNothingFalse(second);
  await second.stop();
  assert.deepEqual(await nodeState(node), bare);
});

test('an agent that shall use nothing of the kernel takes away what one before it left there', async () => {
  const first = start('first');
  await intercepts(first);
  await first.kill();
  assert.deepEqual(await standing(), ofUsualNames);
  start('second', '--no-datapath', '--listen-cluster', '127.0.0.1:0', '--listen-node', '127.0.0.1:0');
  await eventually('nothing is left', 10_000, isOf({ tables: [], rules: [], routes: [0, 0] }));
});

test('cleanup finds the names of a killed agent in its state folder', async () => {
  const first = start('first', ...allOther);
  await intercepts(first);
  await first.kill();
  assert.deepEqual(await standing(), ofOtherNames);
  const { code, stderr } = await node.run(program, ['cleanup', '--state-dir', state]);
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(await nodeState(node), bare);
  assert.equal(existsSync(join(state, 'names.json')), false);
});
