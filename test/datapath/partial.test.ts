/** An agent on a node where not all that it wants can be intercepted: the rest is, and it says so. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, describe, test } from 'node:test';
import { Daemon } from '../cluster/daemon.ts';
import { Namespace } from '../cluster/namespace.ts';
import { eventually } from '../tools/eventually.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { trackedDns } from './node-state.ts';

describe('a node with an address of its own among those that are wanted', () => {
  const folder = new RunFolder('partial');
  const node = new Namespace(folder, 'node');
  const resolver = '192.0.2.53';
  let agent: Daemon | undefined;

  after(async () => {
    await agent?.stop();
    await node.close();
    await folder.remove();
  });

  async function metric(name: string): Promise<number> {
    const { body } = await node.page({ url: 'http://127.0.0.1:9353/metrics' });
    const lines = body.split('\n').filter((line) => line.startsWith(name));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  test('an address on an interface is left alone, the others are intercepted, and the metric is no more than the condition', async () => {
    const profile = join(folder.path, 'profile.yaml');
    const spec = 'spec: { listeners: { node: { addresses: [169.254.77.1], tracked: true } } }';
    writeFileSync(
      profile,
      `apiVersion: localdns.dev/v1alpha1\nkind: LocalDnsProfile\nmetadata: { name: p }\n${spec}\n`,
    );
    node.ip('link', 'add', 'eth9', 'type', 'veth', 'peer', 'name', 'eth9-peer');
    node.ip('address', 'add', `${resolver}/32`, 'dev', 'eth9');
    const command = resolve(import.meta.dirname, '../../bin/localdns');
    const args = ['agent', '--profile', profile, '--cluster-dns', '192.0.2.9', '--node-dns', resolver];
    const running = new Daemon(folder, node, { name: 'agent', command, args });
    agent = running;
    const isServing = () => running.log.includes('"msg":"serving"');
    await eventually('the agent serves', 10_000, async () => isServing());
    // Two beats later it knows that its own address is answered.
    await eventually('heartbeats', 5_000, async () => (await metric('localdns_heartbeats_total')) >= 6);
    assert.equal(await metric('localdns_heartbeats_missed_total'), 0);
    assert.equal(await metric('localdns_intercepting'), 0);
    assert.match(running.log, /"intercepting":false,"reason":"AddressTaken","msg":"192\.0\.2\.53 is on interface eth9/);
    assert.doesNotMatch(running.log, /"intercepting":true/);
    // A listener that is tracked is so for its clients: heartbeats would fill the table.
    const ours = (await trackedDns(node)).filter((connection) => Object.values(connection).includes('169.254.77.1'));
    assert.deepEqual(ours, []);
  });
});
