/** What we write by netlink is what nft(8) would write, and packets see all of it or nothing. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { addressKey, backend, numberKey } from '../../agent/datapath/set-element.ts';
import { Namespace } from '../cluster/namespace.ts';
import { eventually } from '../tools/eventually.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { NetlinkCaller } from './netlink-caller.ts';

const folder = new RunFolder('netlink');
let namespace: Namespace;
let caller: NetlinkCaller;

const address = { 4: '10.96.0.10', 6: 'fdcd:6c64:6e73::10' } as const;
const families = [4, 6] as const;

function tables(family: string): string {
  return ['ours', 'theirs']
    .map(
      (table) => `table ${family} ${table} {
  counter hit { }
  counter miss { }
  set alive { typeof ${family} daddr; flags timeout; }
  set large { typeof ${family} saddr; }
  set owner { typeof meta mark; flags timeout; }
  map backends { typeof numgen random mod 16 : ${family} daddr . th dport; }
}
`,
    )
    .join('');
}

async function nft(script: string): Promise<void> {
  const { code, stderr } = await namespace.run('nft', ['-f', '-'], { input: script });
  assert.equal(code, 0, stderr);
}

/** The elements of a set as nft prints them, in its own words. */
async function listed(family: 4 | 6, table: string, set: string): Promise<unknown> {
  const { stdout, stderr } = await namespace.run('nft', ['-j', 'list', 'table', nameOf(family), table]);
  const { nftables } = JSON.parse(stdout || `{"nftables":"${stderr}"}`) as {
    nftables: { set?: { name: string; elem: unknown }; map?: { name: string; elem: unknown } }[];
  };
  const found = nftables.map((object) => object.set ?? object.map).find((object) => object?.name === set);
  // What is left of a time differs from one look to the next.
  return JSON.parse(JSON.stringify(found?.elem ?? [], (name, value) => (name === 'expires' ? undefined : value)));
}

function nameOf(family: 4 | 6): 'ip' | 'ip6' {
  return family === 4 ? 'ip' : 'ip6';
}

before(async () => {
  namespace = new Namespace(folder, 'netlink');
  caller = new NetlinkCaller(namespace);
  await nft(tables('ip') + tables('ip6'));
});

after(async () => {
  await caller?.kill();
  await namespace?.close();
  await folder.remove();
});

for (const family of families) {
  test(`elements look as if nft had written them (IPv${family})`, async () => {
    const to = family === 4 ? '10.244.1.5' : 'fd00:10:244::5';
    await nft(`add element ${nameOf(family)} theirs alive { ${address[family]} timeout 60s }
      add element ${nameOf(family)} theirs owner { 0xdeadbeef timeout 61s }
      add element ${nameOf(family)} theirs backends { 0 : ${to} . 53, 15 : ${to} . 5353 }`);
    await caller.call('tables', 'replaceElements', family, 'ours', [
      { set: 'alive', flush: true, elements: [{ key: addressKey(address[family]), timeoutMs: 60_000 }] },
      { set: 'owner', flush: false, elements: [{ key: numberKey(0xdeadbeef), timeoutMs: 61_000 }] },
      {
        set: 'backends',
        flush: true,
        elements: [
          { key: numberKey(0), data: backend(to, 53) },
          { key: numberKey(15), data: backend(to, 5353) },
        ],
      },
    ]);
    for (const set of ['alive', 'owner', 'backends']) {
      const theirs = await listed(family, 'theirs', set);
      assert.notDeepEqual(theirs, []);
      assert.deepEqual(await listed(family, 'ours', set), theirs);
    }
    const [alive] = await caller.call('tables', 'elements', family, 'theirs', 'alive');
    assert.deepEqual(Buffer.from(alive?.key ?? []), addressKey(address[family]));
    assert.ok(alive?.remainingMs !== undefined && alive.remainingMs > 50_000 && alive.remainingMs <= 60_000);
    const backends = await caller.call('tables', 'elements', family, 'theirs', 'backends');
    assert.deepEqual(backends.map(({ key, data }) => [key.readUInt32LE(), Buffer.from(data ?? [])]).sort(), [
      [0, backend(to, 53)],
      [15, backend(to, 5353)],
    ]);
  });
}

test('an element is there or not; a set that is not there is something else', async () => {
  const has = (set: string, key: string, table = 'theirs') =>
    caller.call('tables', 'hasElement', 4, table, set, addressKey(key));
  await nft('add element ip theirs alive { 192.0.2.1 timeout 60s }');
  assert.equal(await has('alive', '192.0.2.1'), true);
  assert.equal(await has('alive', '192.0.2.2'), false);
  await assert.rejects(has('nowhere', '192.0.2.1'), { code: 'ENOENT' });
  await assert.rejects(has('alive', '192.0.2.1', 'nowhere'), { code: 'ENOENT' });
});

test('a table that is gone is told apart, whatever is asked of it', async () => {
  const change = { set: 'alive', flush: true, elements: [] };
  await assert.rejects(caller.call('tables', 'replaceElements', 4, 'nowhere', [change]), { code: 'ENOENT' });
  await assert.rejects(caller.call('tables', 'counters', 4, 'nowhere'), { code: 'ENOENT' });
  await assert.rejects(caller.call('tables', 'elements', 4, 'nowhere', 'alive'), { code: 'ENOENT' });
  await nft('add table ip empty');
  assert.equal((await caller.call('tables', 'counters', 4, 'empty')).size, 0);
});

test('a renewal makes the time begin anew', async () => {
  const renew = () =>
    caller.call('tables', 'replaceElements', 4, 'ours', [
      { set: 'alive', flush: true, elements: [{ key: addressKey('192.0.2.9'), timeoutMs: 60_000 }] },
    ]);
  const remainingMs = async () => (await caller.call('tables', 'elements', 4, 'ours', 'alive'))[0]?.remainingMs ?? 0;
  await renew();
  const before = await eventually('time passes', 5_000, async () => {
    const now = await remainingMs();
    return now < 59_800 && now;
  });
  await renew();
  assert.ok((await remainingMs()) > before + 100);
});

test('of a transaction that is refused nothing is in force, and the next one is not held up', async () => {
  const fill = { set: 'large', flush: true, elements: [{ key: addressKey('192.0.2.3') }] };
  await caller.call('tables', 'replaceElements', 4, 'ours', [fill]);
  const bad = [
    { set: 'large', flush: true, elements: [] },
    { set: 'nowhere', flush: false, elements: [{ key: addressKey('192.0.2.3') }] },
    { set: 'large', flush: false, elements: [{ key: Buffer.alloc(99) }] },
  ];
  await assert.rejects(caller.call('tables', 'replaceElements', 4, 'ours', bad), { code: 'ENOENT' });
  assert.deepEqual(await listed(4, 'ours', 'large'), ['192.0.2.3']);
  await caller.call('tables', 'replaceElements', 4, 'ours', [{ ...fill, elements: [] }]);
  assert.deepEqual(await listed(4, 'ours', 'large'), []);
});

test('thousands of elements go in as one transaction, and come back', async () => {
  const elements = Array.from({ length: 5000 }, (_, n) => ({ key: addressKey(`10.1.${n >> 8}.${n & 255}`) }));
  const before = await caller.call('tables', 'generation');
  await caller.call('tables', 'replaceElements', 4, 'ours', [{ set: 'large', flush: true, elements }]);
  assert.equal(await caller.call('tables', 'generation'), before + 1);
  const back = await caller.call('tables', 'elements', 4, 'ours', 'large');
  const keys = (list: { key: Buffer }[]) => list.map(({ key }) => Buffer.from(key).toString('hex')).sort();
  assert.deepEqual(keys(back), keys(elements));
});

test('the generation moves with every change by anybody, and not when an element runs out of time', async () => {
  const before = await caller.call('tables', 'generation');
  const key = addressKey('192.0.2.200');
  await caller.call('tables', 'replaceElements', 4, 'ours', [
    { set: 'alive', flush: true, elements: [{ key, timeoutMs: 50 }] },
  ]);
  await eventually(
    'it runs out',
    5_000,
    async () => !(await caller.call('tables', 'hasElement', 4, 'ours', 'alive', key)),
  );
  assert.equal(await caller.call('tables', 'generation'), before + 1);
  await nft('add table ip6 somebody');
  assert.equal(await caller.call('tables', 'generation'), before + 2);
});

test('no packet ever finds the set empty while it is renewed', async () => {
  await nft(`add chain ip ours seen { type filter hook output priority 0; }
    add rule ip ours seen udp dport 9 ip daddr @alive counter name hit accept
    add rule ip ours seen udp dport 9 counter name miss`);
  const key = addressKey('127.0.0.2');
  const change = { set: 'alive', flush: true, elements: [{ key, timeoutMs: 60_000 }] };
  await caller.call('tables', 'replaceElements', 4, 'ours', [change]);
  const flood = `
    const socket = require('node:dgram').createSocket('udp4').on('error', () => undefined);
    const send = () => socket.send('x', 9, '127.0.0.2', () => setImmediate(send));
    for (let count = 0; count < 20; count += 1) send();`;
  const sender = namespace.exec(process.execPath, ['-e', flood], { stdio: 'inherit' });
  try {
    let renewals = 0;
    await eventually('thousands of packets during thousands of renewals', 60_000, async () => {
      const { cpuMsEach, tookMsEach } = await caller.call('tables', 'renew', 500, 4, 'ours', [change]);
      renewals += 500;
      const hits = (await caller.call('tables', 'counters', 4, 'ours')).get('hit')?.packets ?? 0;
      if (renewals < 5_000 || hits < 20_000) return false;
      console.log(
        `${renewals} renewals, ${hits} packets; a renewal took ${tookMsEach.toFixed(3)} ms, of CPU ${cpuMsEach.toFixed(3)} ms`,
      );
      return true;
    });
  } finally {
    sender.kill('SIGKILL');
  }
  const counters = await caller.call('tables', 'counters', 4, 'ours');
  assert.equal(counters.get('miss')?.packets, 0);
  assert.ok((counters.get('hit')?.bytes ?? 0) >= 29 * (counters.get('hit')?.packets ?? 0));
});
