/** One nft that lives as long as its agent: what it makes is whole or nothing, and nobody's but its own. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Namespace } from '../cluster/namespace.ts';
import { eventually } from '../tools/eventually.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { NetlinkCaller } from './netlink-caller.ts';

const folder = new RunFolder('nft-session');
let namespace: Namespace;
let caller: NetlinkCaller;

const table = `table ip ours {
  flags owner
  counter hit { }
  counter miss { }
  set alive { type ipv4_addr; flags timeout; }
  set large { type ipv4_addr; }
  chain seen {
    type filter hook output priority 0; policy accept;
    udp dport 9 ip daddr @alive counter name hit accept
    udp dport 9 counter name miss
  }
}
`;

before(async () => {
  namespace = new Namespace(folder, 'nft');
  caller = new NetlinkCaller(namespace);
  await caller.call('session', 'run', table);
});

after(async () => {
  await caller?.kill();
  await namespace?.close();
  await folder.remove();
});

async function nft(...args: string[]): Promise<string> {
  const { stdout, stderr } = await namespace.run('nft', args);
  return stdout + stderr;
}

test('a script of many lines is one transaction: what is refused leaves nothing, and says why', async () => {
  await caller.call('session', 'run', 'add element ip ours large { 192.0.2.3 }');
  const bad = `flush set ip ours large
    add element ip ours nowhere { 192.0.2.4 }`;
  await assert.rejects(caller.call('session', 'run', bad), { message: 'No such file or directory' });
  await assert.rejects(caller.call('session', 'run', 'no command at all'), { message: /^syntax error/ });
  assert.match(await nft('list', 'set', 'ip', 'ours', 'large'), /elements = \{ 192\.0\.2\.3 \}/);
  await caller.call('session', 'run', 'flush set ip ours large');
  assert.doesNotMatch(await nft('list', 'set', 'ip', 'ours', 'large'), /elements/);
});

test('a listing comes back as objects; what is not there is refused', async () => {
  const listed = (await caller.call('session', 'list', 'set ip ours large')) as { set: { name: string } }[];
  assert.deepEqual(
    listed.map(({ set }) => set.name),
    ['large'],
  );
  await assert.rejects(caller.call('session', 'list', 'table ip nowhere'), { message: 'No such file or directory' });
});

test('nobody else can change or flush what it owns', async () => {
  assert.match(await nft('delete', 'table', 'ip', 'ours'), /Operation not permitted/);
  await nft('add', 'table', 'ip', 'theirs');
  await nft('flush', 'ruleset');
  assert.doesNotMatch(await nft('list', 'tables'), /theirs/);
  assert.match(await nft('list', 'table', 'ip', 'ours'), /chain seen/);
});

test('no packet ever finds the set empty while life signs are renewed', async () => {
  const renewal = 'flush set ip ours alive\nadd element ip ours alive { 127.0.0.2 timeout 60s }';
  await caller.call('session', 'run', renewal);
  const flood = `
    const socket = require('node:dgram').createSocket('udp4').on('error', () => undefined);
    const send = () => socket.send('x', 9, '127.0.0.2', () => setImmediate(send));
    for (let count = 0; count < 20; count += 1) send();`;
  const sender = namespace.exec(process.execPath, ['-e', flood], { stdio: 'inherit' });
  let renewals = 0;
  try {
    await eventually('thousands of packets during hundreds of renewals', 60_000, async () => {
      await caller.call('session', 'repeat', 200, renewal);
      renewals += 200;
      const { hit = 0 } = await caller.call('counters', 'packets', 4, 'ours');
      return renewals >= 1_000 && hit >= 20_000;
    });
  } finally {
    sender.kill('SIGKILL');
  }
  assert.equal((await caller.call('counters', 'packets', 4, 'ours')).miss, 0);
});

test('counters of a table that is gone are told from those of one that has none', async () => {
  await assert.rejects(caller.call('counters', 'packets', 4, 'nowhere'), { code: 'ENOENT' });
  await nft('add', 'table', 'ip', 'empty');
  assert.deepEqual(await caller.call('counters', 'packets', 4, 'empty'), {});
});

test('one that is killed tells its agent, and its table is gone; so is that of an agent that is killed', async () => {
  const gone = () =>
    eventually('the table goes', 5_000, async () => !/table ip ours/.test(await nft('list', 'tables')));
  process.kill((await caller.call('session', 'pid')) ?? 0, 'SIGKILL');
  await gone();
  await eventually('the agent is told', 5_000, async () => (await caller.call('session', 'ended')).length === 1);
  await assert.rejects(caller.call('session', 'run', table), { message: /nft has ended/ });
  const another = new NetlinkCaller(namespace);
  await another.call('session', 'run', table);
  await another.kill();
  await gone();
});
