/** The gate marks the queries of the node's own processes, and goes with the process that opened it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gateTable } from '../../agent/datapath/gate.ts';
import { Namespace } from '../cluster/namespace.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { NetlinkCaller } from './netlink-caller.ts';

const folder = new RunFolder('gate');
const gate = gateTable('localdns', 4711, 0xabcdef);
const bit = 0x40;
let namespace: Namespace;
let callers: NetlinkCaller[] = [];

before(() => {
  namespace = new Namespace(folder, 'gate');
});

after(async () => {
  for (const caller of callers) await caller.kill();
  await namespace?.close();
  await folder.remove();
});

function newCaller(): NetlinkCaller {
  const caller = new NetlinkCaller(namespace);
  callers = [...callers, caller];
  return caller;
}

async function open(name = gate): Promise<NetlinkCaller> {
  const caller = newCaller();
  const opened = await caller.call('gates', 'open', name, bit);
  assert.ok(!('reason' in opened), JSON.stringify(opened));
  return caller;
}

async function nft(args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await namespace.run('nft', args, input === undefined ? {} : { input });
  assert.equal(code, 0, stderr);
  return stdout;
}

async function tables(): Promise<string[]> {
  return (await nft(['list', 'tables'])).split('\n').filter((line) => line !== '');
}

/** What the kernel holds, expression by expression, without names and numbers that differ from table to table. */
async function expressions(table: string): Promise<string[]> {
  const listed = await nft(['--debug=netlink', 'list', 'table', 'inet', table]);
  return listed.split('\n').filter((line) => /^ +\[/.test(line));
}

test('the table reads as if a person had written it', async () => {
  const caller = await open();
  const listed = await nft(['list', 'table', 'inet', gate]);
  assert.match(listed, /flags owner/);
  assert.match(listed, /type filter hook output priority (raw - 1|-301); policy accept;/);
  await nft(
    ['-f', '-'],
    `table inet theirs {
      chain queries { type filter hook output priority -301
        udp dport 53 meta mark set meta mark | 0x40
        tcp dport 53 meta mark set meta mark | 0x40
      }
    }
`,
  );
  const ours = await expressions(gate);
  assert.equal(ours.length, 14);
  assert.deepEqual(ours, await expressions('theirs'));
  await nft(['delete', 'table', 'inet', 'theirs']);
  await caller.kill();
});

test('the bit joins those of others, on DNS queries over both transports and both families, and on nothing else', async () => {
  const caller = await open();
  await nft(
    ['-f', '-'],
    `table inet watch {
      counter udp4 { }
      counter udp6 { }
      counter tcp4 { }
      counter tcp6 { }
      counter others { }
      chain before { type filter hook output priority -302; meta mark set 0x8004; }
      chain behind { type filter hook output priority -299
        meta mark 0x8044 ip daddr 127.0.0.1 udp dport 53 counter name udp4 accept
        meta mark 0x8044 ip6 daddr ::1 udp dport 53 counter name udp6 accept
        meta mark 0x8044 ip daddr 127.0.0.1 tcp dport 53 counter name tcp4 accept
        meta mark 0x8044 ip6 daddr ::1 tcp dport 53 counter name tcp6 accept
        meta mark != 0x8004 counter name others
      }
    }
`,
  );
  const send = `
    const { createSocket } = require('node:dgram');
    const { connect } = require('node:net');
    for (const [host, type] of [['127.0.0.1', 'udp4'], ['::1', 'udp6']]) {
      for (const port of [53, 54]) {
        connect(port, host).on('error', () => undefined);
        const socket = createSocket(type).on('error', () => undefined);
        socket.send('x', port, host, () => socket.close());
      }
    }`;
  const { code } = await namespace.run(process.execPath, ['-e', send]);
  assert.equal(code, 0);
  const { nftables } = JSON.parse(await nft(['-j', 'list', 'table', 'inet', 'watch'])) as {
    nftables: { counter?: { name: string; packets: number } }[];
  };
  const counted = nftables.flatMap(({ counter }) => (counter === undefined ? [] : [[counter.name, counter.packets]]));
  assert.deepEqual(Object.fromEntries(counted), { udp4: 1, udp6: 1, tcp4: 1, tcp6: 1, others: 0 });
  await nft(['delete', 'table', 'inet', 'watch']);
  await caller.kill();
});

test('the kernel removes the table when the process is killed', async () => {
  const caller = await open();
  assert.deepEqual(await tables(), [`table inet ${gate}`]);
  const killedAt = performance.now();
  await caller.kill();
  const tookMs = performance.now() - killedAt;
  // No waiting: by the time that the parent of the process hears of its end, the table has to be gone.
  assert.deepEqual(await tables(), []);
  console.log(`gone within ${tookMs.toFixed(1)} ms after the signal, the process's own end included`);
});

test('two gates stand side by side, each until it is closed', async () => {
  const second = gateTable('localdns', 4711, 0xabcdee);
  const [one, two] = [await open(), await open(second)];
  // The name of a table that belongs to somebody else.
  await assert.rejects(one.call('gates', 'open', second, bit), { code: 'EPERM' });
  assert.deepEqual(await tables(), [`table inet ${gate}`, `table inet ${second}`]);
  await one.call('gates', 'close', gate);
  assert.deepEqual(await tables(), [`table inet ${second}`]);
  await two.call('gates', 'close', second);
  assert.deepEqual(await tables(), []);
  await Promise.all([one.kill(), two.kill()]);
});

test('nobody else can change or remove it, not even with all the rest', async () => {
  const caller = await open();
  const { stderr } = await namespace.run('nft', ['delete', 'table', 'inet', gate]);
  assert.match(stderr, /Operation not permitted/);
  await nft(['flush', 'ruleset']);
  assert.deepEqual(await tables(), [`table inet ${gate}`]);
  await caller.kill();
});
