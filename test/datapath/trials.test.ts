/** Nobody is intercepted whose packets do not get through: each way is tried with one packet, and what was lost leaves no trace. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { Namespace } from '../cluster/namespace.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { NetlinkCaller } from './netlink-caller.ts';
import { addresses, attach, makeRouter, nft, podAddresses } from './network.ts';

const folder = new RunFolder('trials');
const own = '169.254.10.11';
const pod = podAddresses(0).v4;
/** As the caller names it. */
const serving = 'localdns-0badcafe';
let node: Namespace;
let client: Namespace;
let agent: NetlinkCaller;

before(async () => {
  node = new Namespace(folder, 'node');
  client = new Namespace(folder, 'pod');
  makeRouter(node);
  attach(client, node, 'pod0', podAddresses(0), addresses.podGateway);
  agent = new NetlinkCaller(node);
  await agent.call('rules', 'put', 4, {
    ...{ served: [own], tracked: [], clusterDns: [] },
    fallback: { cluster: { addresses: [], backends: [] }, node: { addresses: [], backends: [] }, untracked: [own] },
  });
  const serve = `
    const { openSocket } = require('${resolve(import.meta.dirname, '../../agent/listen/sockets.ts')}');
    const fd = openSocket({ address: '${own}', port: 53, transparent: true }, 'TCP');
    require('node:net').createServer((socket) => socket.end('answered')).listen({ fd }, () => console.log('open'));`;
  const server = node.exec(process.execPath, ['-e', serve], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (server.stdout !== null) await once(server.stdout, 'data');
  await agent.call('rules', 'sign', own);
});

after(async () => {
  await agent?.kill();
  await client?.close();
  await node?.close();
  await folder.remove();
});

/** What comes back over a new connection. */
async function connect(): Promise<string> {
  const ask = `
    const socket = require('node:net').connect(53, '${own}').setTimeout(500, () => socket.destroy());
    socket.on('error', () => undefined).pipe(process.stdout);`;
  return (await client.run(process.execPath, ['-e', ask])).stdout;
}

async function elements(set: string): Promise<string> {
  const { stdout } = await node.run('nft', ['list', 'set', 'ip', serving, set]);
  return /elements = \{([^}]*)\}/.exec(stdout)?.[1] ?? '';
}

test('a connection whose first packet is dropped at INPUT is none of ours: what the client repeats goes elsewhere', async () => {
  nft(node, 'table inet firewall { chain input { type filter hook input priority filter; iifname "pod0" drop; }; }');
  assert.equal(await connect(), '');
  assert.match(await elements('trying'), new RegExp(`${pod} \\. tcp \\. ${own}`));
  assert.equal(await elements('flows'), '');
  assert.equal(await elements('proved'), '');
  nft(node, 'delete table inet firewall');
});

test('one whose first packet comes through is ours from then on', async () => {
  await agent.call('rules', 'doubtEverybody', 4);
  assert.equal(await connect(), 'answered');
  assert.match(await elements('flows'), new RegExp(`${pod} \\. \\d+ \\. ${own}`));
  assert.match(await elements('proved'), new RegExp(`${pod} \\. tcp \\. ${own}`));
  assert.equal(await connect(), 'answered', 'the next one is not on trial');
});
