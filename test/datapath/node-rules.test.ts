/** What an agent puts into the kernel: put right when somebody changes it, without touching the rest, and taken out whole. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { usualNames } from '../../agent/datapath/names.ts';
import type { FamilyPlan } from '../../agent/datapath/node-rules.ts';
import { Namespace } from '../cluster/namespace.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { NetlinkCaller } from './netlink-caller.ts';
import { nft } from './network.ts';
import { type NodeState, nodeState } from './node-state.ts';

const folder = new RunFolder('node-rules');
const own = '169.254.10.11';
/** As the caller names it. */
const serving = 'localdns-0badcafe';
let node: Namespace;
let agent: NetlinkCaller;
let untouched: NodeState;

before(async () => {
  node = new Namespace(folder, 'node');
  untouched = await nodeState(node);
});

beforeEach(async () => {
  agent = new NetlinkCaller(node);
  await agent.call('rules', 'put', 4, planOf(own));
});

afterEach(async () => {
  await agent.call('rules', 'remove', 4);
  await agent.kill();
  assert.deepEqual(await nodeState(node), untouched);
});

after(async () => {
  await node?.close();
  await folder.remove();
});

function planOf(...served: string[]): FamilyPlan {
  const isV6 = served.some((address) => address.includes(':'));
  const backends = [{ address: isV6 ? 'fd00:244::53' : '10.244.1.53', port: 53 }];
  return {
    ...{ served, tracked: [], clusterDns: [] },
    fallback: { cluster: { addresses: served, backends }, node: { addresses: [], backends: [] }, untracked: served },
  };
}

async function listed(table: string): Promise<string> {
  return (await node.run('nft', ['list', 'table', 'ip', table])).stdout;
}

test('nothing is restored that nobody has changed, after changes of our own either', async () => {
  assert.deepEqual(await agent.call('rules', 'restore', 4), []);
  await agent.call('rules', 'put', 4, planOf(own, '10.96.0.10'));
  assert.deepEqual(await agent.call('rules', 'restore', 4), []);
  await agent.call('rules', 'put', 4, planOf('10.96.0.10'));
  assert.deepEqual(await agent.call('rules', 'restore', 4), []);
  assert.doesNotMatch(await listed('localdns'), /169\.254\.10\.11/);
  assert.match(await listed(serving), /elements = \{ 10\.96\.0\.10 \}/);
});

test('a flushed ruleset costs the fallback table alone, and it comes back as it was; what is owned is not touched', async () => {
  await agent.call('rules', 'sign', own);
  const [fallback, intercepting] = [await listed('localdns'), await listed(serving)];
  nft(node, 'flush ruleset');
  assert.equal(await listed('localdns'), '');
  assert.deepEqual(await agent.call('rules', 'restore', 4), ['table ip localdns']);
  assert.equal(await listed('localdns'), fallback);
  const still = (text: string) => text.replace(/ expires \S+/g, '');
  assert.equal(still(await listed(serving)), still(intercepting));
  assert.deepEqual(await agent.call('rules', 'restore', 4), []);
});

for (const change of [
  'flush chain ip localdns last_words',
  'insert rule ip localdns fallback accept',
  'delete element ip localdns cluster_addresses { 169.254.10.11 }',
  'delete table ip localdns',
]) {
  test(`noticed and undone: ${change}`, async () => {
    const before = await listed('localdns');
    nft(node, change);
    assert.deepEqual(await agent.call('rules', 'restore', 4), ['table ip localdns']);
    assert.equal(await listed('localdns'), before);
  });
}

test('the rule and the routes by which packets are delivered come back', async () => {
  const before = await nodeState(node);
  node.ip('rule', 'del', 'priority', String(usualNames.rulePriority));
  assert.deepEqual(await agent.call('rules', 'restore', 4), ['policy routing']);
  node.ip('route', 'flush', 'table', String(usualNames.routeTable));
  assert.deepEqual(await agent.call('rules', 'restore', 4), ['policy routing']);
  assert.deepEqual(await nodeState(node), before);
});

test('the gate is there while anything is intercepted', async () => {
  const gates = async () =>
    (await node.run('nft', ['list', 'tables'])).stdout.match(/table inet localdns-alive-\S+/g) ?? [];
  assert.equal((await gates()).length, 1);
  await agent.call('rules', 'put', 6, planOf('fd00::11'));
  assert.equal((await gates()).length, 1);
  await agent.call('rules', 'remove', 4);
  assert.equal((await gates()).length, 1);
  await agent.call('rules', 'remove', 6);
  assert.deepEqual(await gates(), []);
  await agent.call('rules', 'put', 4, planOf(own));
  assert.equal((await gates()).length, 1);
});

test('an agent that is not the last one leaves what the other needs', async () => {
  const other = new NetlinkCaller(node, '0x0badf00d');
  try {
    await other.call('rules', 'put', 4, planOf(own, '10.96.0.10'));
    const both = await nodeState(node);
    await agent.call('rules', 'remove', 4);
    const without = { ...both };
    without['nft list ruleset'] = both['nft list ruleset']?.filter((table) => !isOf(table, agent)) ?? [];
    assert.deepEqual(await nodeState(node), without);
    assert.deepEqual(await other.call('rules', 'restore', 4), []);
    // A family in which the other intercepts nothing is nobody's then.
    await agent.call('rules', 'put', 6, planOf('fd00::11'));
    await agent.call('rules', 'remove', 6);
    assert.deepEqual(await nodeState(node), without);
    await other.call('rules', 'remove', 4);
    assert.deepEqual(await nodeState(node), untouched);
  } finally {
    await other.kill();
  }
});

/** Its own table, or its gate. */
function isOf(table: string, { process: { pid } }: NetlinkCaller): boolean {
  return table.startsWith(`table ip ${serving} `) || table.startsWith(`table inet localdns-alive-${pid}-`);
}

test('closed, the agent leaves what outlives it, and nothing that intercepts', async () => {
  const fallback = await listed('localdns');
  await agent.call('rules', 'close');
  assert.equal((await node.run('nft', ['list', 'tables'])).stdout, 'table ip localdns\n');
  assert.equal(await listed('localdns'), fallback);
  await agent.kill();
  // The next agent finds it, and takes it out at its end.
  agent = new NetlinkCaller(node);
  await agent.call('rules', 'put', 4, planOf(own));
});
