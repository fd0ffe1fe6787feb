/** What sockets of an agent still send when its own table has gone leaves no connection behind that the node would track. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { type Family, families, nftFamily } from '../../agent/datapath/family.ts';
import { usualNames } from '../../agent/datapath/names.ts';
import { fallbacks, fallbackTable } from '../../agent/datapath/ruleset.ts';
import { Namespace } from '../cluster/namespace.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { nft } from './network.ts';
import { forgetConnections, trackedDns } from './node-state.ts';

const folder = new RunFolder('last-words');
const untracked = { 4: '169.254.10.11', 6: 'fdcd:6c64:6e73::11' } as const;
const tracked = { 4: '169.254.10.10', 6: 'fdcd:6c64:6e73::10' } as const;
let node: Namespace;

before(() => {
  node = new Namespace(folder, 'node');
  const nobody = { addresses: [], backends: [] };
  for (const family of families) {
    const ip = nftFamily[family];
    for (const address of [untracked[family], tracked[family]]) node.addAddress(address);
    nft(node, fallbackTable(family, usualNames));
    nft(node, fallbacks(family, usualNames, { cluster: nobody, node: nobody, untracked: [untracked[family]] }));
    // Queries that nobody tracks, as while an agent lived.
    const chain = (hook: string) => `chain ${hook} { type filter hook ${hook} priority raw; th dport 53 notrack; }`;
    nft(node, `table ${ip} living { ${chain('output')}; ${chain('prerouting')}; }`);
  }
});

after(async () => {
  await node?.close();
  await folder.remove();
});

/** A server on both transports whose socket is of the agent's kind, or of anybody's. */
const serve = `
  const { createSocket } = require('node:dgram');
  const { createServer } = require('node:net');
  const { openSocket } = require('${resolve(import.meta.dirname, '../../agent/listen/sockets.ts')}');
  const [address, kind] = process.argv.slice(1);
  const at = { address, port: 53, transparent: true };
  const [udp, tcp] = [createSocket(address.includes(':') ? 'udp6' : 'udp4'), createServer((socket) => socket.pipe(socket))];
  udp.on('message', (message, { port, address }) => udp.send(message, port, address));
  udp.bind(kind === 'agent' ? { fd: openSocket(at, 'UDP') } : { address, port: 53 });
  tcp.listen(kind === 'agent' ? { fd: openSocket(at, 'TCP') } : { host: address, port: 53 }, () => console.log('open'));`;

/** Asks over both, and tells when the connection has ended. */
const ask = `
  const { createSocket } = require('node:dgram');
  const { connect } = require('node:net');
  const [address] = process.argv.slice(1);
  const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  udp.send('x', 53, address);
  udp.once('message', () => {
    udp.close();
    const tcp = connect(53, address, () => tcp.write('x'));
    tcp.once('data', () => console.log('answered'));
    tcp.on('error', () => undefined).once('close', () => console.log('ended'));
  });`;

/** The connections that are tracked after a server at this address has answered and been killed. */
async function afterTheEndOf(address: string, kind: 'agent' | 'anybody') {
  await forgetConnections(node);
  const run = (script: string, ...args: string[]) =>
    node.exec(process.execPath, ['-e', script, address, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said = async (child: ReturnType<typeof run>, word: string) => {
    const [text] = child.stdout === null ? [] : await once(child.stdout, 'data');
    assert.equal(String(text).trim(), word);
  };
  const server = run(serve, kind);
  await said(server, 'open');
  const client = run(ask);
  await said(client, 'answered');
  const ended = said(client, 'ended');
  server.kill('SIGKILL');
  await ended;
  return (await trackedDns(node)).map(({ protocol, source }) => `${protocol} ${source}`).sort();
}

for (const family of families as readonly Family[]) {
  test(`IPv${family}: neither answers nor the end of a connection are tracked`, async () => {
    assert.deepEqual(await afterTheEndOf(untracked[family], 'agent'), []);
  });

  test(`IPv${family}: an address that shall be tracked is, and so is what another program sends`, async () => {
    const both = (address: string) => [`tcp ${address}`, `udp ${address}`];
    assert.deepEqual(await afterTheEndOf(tracked[family], 'agent'), both(tracked[family]));
    assert.deepEqual(await afterTheEndOf(untracked[family], 'anybody'), both(untracked[family]));
  });
}
