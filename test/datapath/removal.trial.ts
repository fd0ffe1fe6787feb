/** What is left of the agent when it goes: nothing, and nothing that was there before is missing. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import type { ProxyMode } from './kube-proxy.ts';
import { serviceAddresses } from './lab.ts';
import { type NodeState, nodeState } from './node-state.ts';
import { nothingLost, Results, rightAnswers, underLoad, untracked } from './ordeal.ts';
import { bothKindsAndFamilies, ServedLab } from './served-lab.ts';

const program = resolve(import.meta.dirname, '../../bin/localdns');
let served: ServedLab;
const results = new Results();
/** Of the node as the cluster's own programs have set it up, by kube-proxy's mode. */
const bare = new Map<ProxyMode, NodeState>();

before(async () => {
  served = await ServedLab.start('nftables', {}, async (lab) => {
    bare.set('nftables', await nodeState(lab.node));
  });
});

after(async () => {
  results.print();
  await served?.stop();
});

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(served?.lastWords);
});

test('while it serves, the node has rules and routes of ours, and no address', async () => {
  const now = await nodeState(served.lab.node);
  const differing = Object.keys(now).filter((listing) => differs(now, served.kubeProxy.mode, listing));
  assert.deepEqual(differing.sort(), ['ip -6 route', 'ip -6 rule', 'ip route', 'ip rule', 'nft list ruleset']);
});

test('without the label the node is as it was before, and pods at the Service address have lost nothing', async () => {
  const servers = Object.values(serviceAddresses);
  const outcome = await underLoad(served.lab, { from: served.lab.pods, servers }, async () => {
    const atMs = Date.now();
    await served.lab.label(undefined);
    await eventually('the LocalDnsNode is gone', 5_000, async () => (await served.node()) === undefined);
    return { atMs };
  });
  assert.deepEqual(results.note('removal', 'nftables', outcome, [nothingLost, untracked, rightAnswers]), []);
  await isBare();
});

for (const mode of ['nftables', 'iptables'] as const) {
  test(`after kill -9, cleanup leaves the node as it was (kube-proxy in ${mode} mode)`, async () => {
    const { lab } = served;
    await served.agent.stop();
    await cleanup();
    await lab.setProxyMode(mode);
    await eventually('kube-proxy has come to rest', 10_000, async () => {
      const before = JSON.stringify(await nodeState(lab.node));
      await pause(500);
      return before === JSON.stringify(await nodeState(lab.node));
    });
    bare.set(mode, await nodeState(lab.node));
    served.startAgent();
    await lab.label('default');
    await served.untilIntercepted();
    const load = { from: lab.pods, servers: bothKindsAndFamilies };
    const outcome = await underLoad(lab, load, async () => {
      const atMs = Date.now();
      await served.agent.kill();
      return { atMs, untilMs: Date.now() };
    });
    assert.deepEqual(results.note('kill -9, then cleanup', mode, outcome, [untracked, rightAnswers]), []);
    await cleanup();
    await isBare();
    await cleanup();
    await isBare();
  });
}

async function cleanup(): Promise<void> {
  const { code, stdout, stderr } = await served.lab.node.run(program, ['cleanup']);
  assert.equal(code, 0, `${stdout}${stderr}`);
}

async function isBare(): Promise<void> {
  await eventually('nothing of ours is there', 5_000, async () => {
    return !/localdns|fdcd:|169\.254\.10\.1/.test(JSON.stringify(await nodeState(served.lab.node)));
  });
  assert.deepEqual(await nodeState(served.lab.node), bare.get(served.kubeProxy.mode));
}

function differs(now: NodeState, mode: ProxyMode, listing: string): boolean {
  return JSON.stringify(now[listing]) !== JSON.stringify(bare.get(mode)?.[listing]);
}
