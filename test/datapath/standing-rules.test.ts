/** What stands under names of before: known for that of an agent that lives, and taken away but for what other names have, too. */
import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, test } from 'node:test';
import { type DatapathNames, usualNames } from '../../agent/datapath/names.ts';
import { Namespace } from '../cluster/namespace.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { leaveRules, leftStart, ownAddresses } from './left-rules.ts';
import { NetlinkCaller } from './netlink-caller.ts';
import { nft } from './network.ts';
import { type NodeState, nodeState } from './node-state.ts';

const folder = new RunFolder('standing');
/** As the caller names its tables. */
const itsStart = 0x0badcafe;
const left = { names: usualNames, starts: [leftStart] };

let node: Namespace;
let caller: NetlinkCaller;
let bare: NodeState;
const nodes: Namespace[] = [];

beforeEach(async () => {
  node = new Namespace(folder, 'node');
  nodes.push(node);
  bare = await nodeState(node);
  caller = new NetlinkCaller(node);
});

afterEach(() => caller.kill());

after(async () => {
  for (const each of nodes) await each.close();
  await folder.remove();
});

test('an agent lives whose table has an owner; of one without nobody knows', async () => {
  const living = (...starts: number[]) => caller.call('standing', 'living', { names: usualNames, starts });
  assert.deepEqual(await living(itsStart), { starts: [], owned: false });
  const nobody = { addresses: [], backends: [] };
  const fallback = { cluster: nobody, node: nobody, untracked: [] };
  await caller.call('rules', 'put', 6, { served: [ownAddresses[6]], tracked: [], clusterDns: [], fallback });
  assert.deepEqual(await living(1, itsStart), { starts: [itsStart], owned: true });
  nft(node, 'table ip localdns-00000001 { }');
  assert.deepEqual(await living(1), { starts: [1], owned: false });
  assert.deepEqual(await living(1, itsStart), { starts: [1, itsStart], owned: true });
  assert.deepEqual(await caller.call('standing', 'living', { names: { ...usualNames, table: 'foo' }, starts: [1] }), {
    starts: [],
    owned: false,
  });
});

test('all of it goes where no other names stay, in both families', async () => {
  leaveRules(node);
  await caller.call('standing', 'remove', left, []);
  assert.deepEqual(await nodeState(node), bare);
  await caller.call('standing', 'remove', left, []);
});

for (const [shared, kept, stays] of [
  ['the table', { ...usualNames, rulePriority: 4, routeTable: 200 }, ['table ip localdns', 'table ip6 localdns']],
  ['the routing table', { ...usualNames, table: 'foo', rulePriority: 4 }, ['local 169.254.10.11', 'local fdcd:']],
  ['all but the table', { ...usualNames, table: 'foo' }, ['8: from all', 'local 169.254.10.11', 'local fdcd:']],
  ['nothing', { ...usualNames, table: 'foo', rulePriority: 4, routeTable: 200 }, []],
] as const satisfies [string, DatapathNames, string[]][]) {
  test(`names that stay have ${shared}: that stays, and the rest goes`, async () => {
    leaveRules(node);
    await caller.call('standing', 'remove', left, [kept]);
    const things = Object.entries(await nodeState(node)).flatMap(([listing, now]) =>
      now.filter((thing) => !bare[listing]?.includes(thing)).map((thing) => thing.replace(/\s+/g, ' ')),
    );
    // A listing may tell of one thing twice.
    const found = new Set(things.map((thing) => stays.find((start) => thing.startsWith(start)) ?? thing));
    assert.deepEqual([...found].sort(), [...stays].sort());
  });
}

test('the rule of other names into another routing table stays', async () => {
  leaveRules(node);
  const rule = ['priority', '8', 'fwmark', '0x10/0x10', 'lookup'];
  node.ip('rule', 'add', ...rule, '200');
  await caller.call('standing', 'remove', left, [{ ...usualNames, routeTable: 200, table: 'foo' }]);
  const rules = (await node.run('ip', ['rule'])).stdout;
  assert.match(rules, /fwmark 0x10\/0x10 lookup 200/);
  assert.doesNotMatch(rules, /lookup 153/);
  assert.equal((await node.run('ip', ['route', 'show', 'table', '153'])).stdout, '');
});

test('a table of the name that is another program’s by now stays', async () => {
  nft(node, 'table ip localdns { set s { type ipv4_addr; }; }');
  const before = await nodeState(node);
  await caller.call('standing', 'remove', left, []);
  assert.deepEqual(await nodeState(node), before);
});
