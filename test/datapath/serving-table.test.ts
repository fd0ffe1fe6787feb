/** The serving table is what its text says, is whole or nothing to every packet, and is nobody's but its process's. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Family, families, nftFamily } from '../../agent/datapath/family.ts';
import { Namespace } from '../cluster/namespace.ts';
import { eventually } from '../tools/eventually.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { NetlinkCaller } from './netlink-caller.ts';
import { servingText } from './serving-text.ts';

const folder = new RunFolder('serving-table');
const addresses = {
  4: ['10.96.0.10', '169.254.10.11', '10.244.1.53'],
  6: ['fd00:96::10', 'fdcd:6c64:6e73::11', 'fd00:244::53'],
} as const;
let namespace: Namespace;
let caller: NetlinkCaller;

before(() => {
  namespace = new Namespace(folder, 'serving');
  caller = new NetlinkCaller(namespace);
});

after(async () => {
  await caller?.kill();
  await namespace?.close();
  await folder.remove();
});

async function nft(args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await namespace.run('nft', args, input === undefined ? {} : { input });
  assert.equal(code, 0, stderr);
  return stdout;
}

/** As text, without what tells one table from another. The JSON of owned tables is not to be had of nft 1.0.6. */
async function listed(family: Family, table: string): Promise<string> {
  const text = await nft(['list', 'table', nftFamily[family], table]);
  return text
    .replace(/^table (\S+) \S+ \{.*$/m, 'table $1 {')
    .replace(/^\tflags owner\n\n/m, '')
    .replace(/ expires [0-9a-z]+/g, '');
}

/** What the kernel holds, expression by expression. */
async function expressions(family: Family, table: string): Promise<string[]> {
  const text = await nft(['--debug=netlink', 'list', 'table', nftFamily[family], table]);
  return text.split('\n').filter((line) => /^ +\[/.test(line));
}

async function tables(): Promise<string[]> {
  return (await nft(['list', 'tables'])).split('\n').filter((line) => line !== '');
}

for (const family of families) {
  const ip = nftFamily[family];
  const [own, tracked, dns] = addresses[family];

  for (const mayOwn of [true, false]) {
    test(`the table of family ${ip} is what the text says, ${mayOwn ? 'owned' : 'and where it cannot be owned'}`, async () => {
      const { owned, tookMs } = await caller.call('serving', 'open', family, 'ours', { mayOwn });
      console.log(`made in ${tookMs.toFixed(1)} ms`);
      assert.equal(owned, mayOwn);
      const flags = /^\tflags owner$/m.test(await nft(['list', 'table', ip, 'ours']));
      assert.equal(flags, mayOwn);
      await nft(['-f', '-'], servingText(family, 'theirs', { gated: mayOwn }));
      assert.equal(await listed(family, 'ours'), await listed(family, 'theirs'));
      const held = await expressions(family, 'ours');
      assert.ok(held.length > 100, String(held.length));
      assert.deepEqual(held, await expressions(family, 'theirs'));
      await caller.call('serving', 'setAddresses', 'ours', {
        served: [own, tracked],
        tracked: [tracked],
        clusterDns: [dns],
      });
      await caller.call('serving', 'giveLifeSigns', 'ours', {
        alive: [{ address: own, milliseconds: 61_000 }],
        holding: [own, tracked].map((address) => ({ address, milliseconds: 62_000 })),
      });
      await nft(
        ['-f', '-'],
        `add element ${ip} theirs served { ${own}, ${tracked} }
        add element ${ip} theirs tracked { ${tracked} }
        add element ${ip} theirs itself { ${tracked} : ${tracked} }
        add element ${ip} theirs clusterdns { ${dns} }
        add element ${ip} theirs alive { ${own} timeout 61s }
        add element ${ip} theirs holding { ${own} timeout 62s, ${tracked} timeout 62s }`,
      );
      assert.equal(await listed(family, 'ours'), await listed(family, 'theirs'));
      await caller.call('serving', 'setAddresses', 'ours', { served: [tracked], tracked: [], clusterDns: [] });
      await caller.call('serving', 'giveLifeSigns', 'ours', { alive: [], holding: [] });
      await nft(
        ['-f', '-'],
        `delete element ${ip} theirs served { ${own} }
        flush set ${ip} theirs tracked
        flush map ${ip} theirs itself
        flush set ${ip} theirs clusterdns
        flush set ${ip} theirs alive
        flush set ${ip} theirs holding`,
      );
      assert.equal(await listed(family, 'ours'), await listed(family, 'theirs'));
      await nft(['delete', 'table', ip, 'theirs']);
      assert.equal(await caller.call('serving', 'isThere', 'ours'), true);
      await caller.call('serving', 'close', 'ours');
      assert.deepEqual(await tables(), []);
    });
  }
}

test('nobody else can change, delete or flush what is owned', async () => {
  await caller.call('serving', 'open', 4, 'ours');
  for (const command of [
    ['delete', 'table', 'ip', 'ours'],
    ['flush', 'chain', 'ip', 'ours', 'from_pods'],
    ['add', 'element', 'ip', 'ours', 'alive', '{ 192.0.2.1 }'],
  ]) {
    const { stderr } = await namespace.run('nft', command);
    assert.match(stderr, /Operation not permitted/);
  }
  await nft(['add', 'table', 'ip', 'theirs']);
  const image = await caller.call('serving', 'image', 'ours');
  await nft(['flush', 'ruleset']);
  assert.deepEqual(await tables(), ['table ip ours']);
  assert.deepEqual(await caller.call('serving', 'image', 'ours'), image);
  assert.ok((image ?? []).length > 40);
  await caller.call('serving', 'close', 'ours');
});

test('an owned table is gone as soon as its process is, and another process cannot make one of its name before', async () => {
  const owner = new NetlinkCaller(namespace);
  await owner.call('serving', 'open', 6, 'ours');
  await assert.rejects(caller.call('serving', 'open', 6, 'ours'), { code: 'EPERM' });
  await owner.kill();
  // No waiting: by the time that the parent of the process hears of its end, the table has to be gone.
  assert.deepEqual(await tables(), []);
});

test('one that is not owned replaces what was left over, is seen to be gone, and goes when it is closed', async () => {
  await nft(['-f', '-'], 'table ip ours { chain take { accept; }; chain strange { drop; }; }');
  await caller.call('serving', 'open', 4, 'ours', { mayOwn: false });
  assert.doesNotMatch(await listed(4, 'ours'), /strange/);
  await nft(['delete', 'table', 'ip', 'ours']);
  assert.equal(await caller.call('serving', 'isThere', 'ours'), false);
  assert.equal(await caller.call('serving', 'image', 'ours'), undefined);
  await assert.rejects(caller.call('serving', 'counters', 'ours'), { code: 'ENOENT' });
  await assert.rejects(caller.call('serving', 'giveLifeSigns', 'ours', { alive: [], holding: [] }), { code: 'ENOENT' });
  await caller.call('serving', 'close', 'ours');
  await caller.call('serving', 'open', 4, 'ours', { mayOwn: false });
  await caller.call('serving', 'close', 'ours');
  assert.deepEqual(await tables(), []);
});

test('the image of a table shows each change of chains, rules and sets, and none where the same is made anew', async () => {
  await caller.call('serving', 'open', 4, 'ours', { mayOwn: false });
  await caller.call('serving', 'setAddresses', 'ours', { served: ['192.0.2.1'], tracked: [], clusterDns: [] });
  const image = await caller.call('serving', 'image', 'ours');
  const again = async (script: string): Promise<void> => {
    await nft(['-f', '-'], script);
    assert.notDeepEqual(await caller.call('serving', 'image', 'ours'), image, script);
    await caller.call('serving', 'open', 4, 'ours', { mayOwn: false });
    await caller.call('serving', 'setAddresses', 'ours', { served: ['192.0.2.1'], tracked: [], clusterDns: [] });
    assert.deepEqual(await caller.call('serving', 'image', 'ours'), image, script);
  };
  await again('flush chain ip ours take');
  await again('insert rule ip ours from_pods return');
  await again('add chain ip ours input { policy drop; }');
  await again('add element ip ours served { 192.0.2.2 }');
  await again('flush set ip ours served');
  await again('flush set ip ours served; add element ip ours served { 192.0.2.2 }');
  await again('delete table ip ours; table ip ours { }');
  const counted = 'oifname != "lo" counter name answered';
  const answers = [
    counted,
    'oifname "lo" notrack return',
    'ip saddr != @tracked notrack',
    'ip saddr @tracked ct zone set 153',
  ].map((rule) => `add rule ip ours answers ${rule}`);
  await nft(['-f', '-'], ['flush chain ip ours answers', ...answers].join('; '));
  assert.deepEqual(await caller.call('serving', 'image', 'ours'), image, 'the same under other numbers');
  // These come and go by themselves.
  await caller.call('serving', 'giveLifeSigns', 'ours', {
    alive: [{ address: '192.0.2.1', milliseconds: 60_000 }],
    holding: [],
  });
  await nft(['add', 'element', 'ip', 'ours', 'proved', '{ 192.0.2.9 . udp . 10.96.0.10 timeout 60s }']);
  assert.deepEqual(await caller.call('serving', 'image', 'ours'), image);
  await caller.call('serving', 'close', 'ours');
});

test('whoever failed is tried again; whoever is doubted is forgotten, with the connections', async () => {
  await caller.call('serving', 'open', 4, 'ours', { mayOwn: false });
  for (const set of ['proved', 'trying']) {
    await nft(['add', 'element', 'ip', 'ours', set, '{ 192.0.2.9 . udp . 10.96.0.10 timeout 60s }']);
    assert.match(await nft(['list', 'set', 'ip', 'ours', set]), /192\.0\.2\.9/);
  }
  await nft(['add', 'element', 'ip', 'ours', 'flows', '{ 192.0.2.9 . 40000 . 10.96.0.10 timeout 60s }']);
  await caller.call('serving', 'tryAgain', 'ours');
  const has = async (set: string) => (await nft(['list', 'set', 'ip', 'ours', set])).includes('192.0.2.9');
  assert.deepEqual(await Promise.all(['proved', 'trying', 'flows'].map(has)), [true, false, true]);
  await nft(['add', 'element', 'ip', 'ours', 'trying', '{ 192.0.2.9 . udp . 10.96.0.10 timeout 60s }']);
  await caller.call('serving', 'doubtEverybody', 'ours');
  assert.doesNotMatch(await listed(4, 'ours'), /192\.0\.2\.9/);
  await caller.call('serving', 'close', 'ours');
});

test('of a transaction that is refused nothing is in force, and the next one is not held up', async () => {
  const at = { family: 'ip', table: 'ours' } as const;
  await caller.call('serving', 'open', 4, 'ours', { mayOwn: false });
  await caller.call('serving', 'setAddresses', 'ours', { served: ['192.0.2.3'], tracked: [], clusterDns: [] });
  const key = Buffer.from([192, 0, 2, 4]);
  // A set that is not there, and a key that is no address.
  for (const bad of [{ nowhere: [{ key }] }, { served: [{ key: Buffer.alloc(99) }] }]) {
    await assert.rejects(caller.call('tables', 'replace', at, { served: [], ...bad }), /the kernel refused it/);
    assert.match(await listed(4, 'ours'), /set served \{\n\t\ttype ipv4_addr\n\t\telements = \{ 192\.0\.2\.3 \}/);
  }
  await caller.call('tables', 'replace', at, { served: [] });
  assert.doesNotMatch(await listed(4, 'ours'), /elements/);
  const many = Array.from({ length: 5_000 }, (_, n) => `10.1.${n >> 8}.${n & 255}`);
  await caller.call('serving', 'setAddresses', 'ours', { served: many, tracked: [], clusterDns: [] });
  assert.equal([...(await listed(4, 'ours')).matchAll(/10\.1\.\d+\.\d+/g)].length, 5_000);
  await caller.call('serving', 'close', 'ours');
});

test('no packet ever finds the set empty while life signs are renewed', async () => {
  await caller.call('serving', 'open', 4, 'ours', { mayOwn: false });
  const signs = { alive: [{ address: '127.0.0.2', milliseconds: 60_000 }], holding: [] };
  await caller.call('serving', 'giveLifeSigns', 'ours', signs);
  await nft(
    ['-f', '-'],
    `table ip ours {
      counter hit { }
      counter miss { }
      chain seen {
        type filter hook output priority 0; policy accept;
        udp dport 9 ip daddr @alive counter name hit accept
        udp dport 9 counter name miss
      }
    }
`,
  );
  const flood = `
    const socket = require('node:dgram').createSocket('udp4').on('error', () => undefined);
    const send = () => socket.send('x', 9, '127.0.0.2', () => setImmediate(send));
    for (let count = 0; count < 20; count += 1) send();`;
  const sender = namespace.exec(process.execPath, ['-e', flood], { stdio: 'inherit' });
  let renewals = 0;
  try {
    await eventually('thousands of packets during thousands of renewals', 60_000, async () => {
      const { tookMs, cpuMs } = await caller.call('serving', 'renew', 500, 'ours', signs);
      renewals += 500;
      const { hit = 0 } = await caller.call('serving', 'counters', 'ours');
      if (renewals < 5_000 || hit < 20_000) return false;
      console.log(
        `${renewals} renewals, ${hit} packets; one took ${tookMs.toFixed(3)} ms, of CPU ${cpuMs.toFixed(3)} ms`,
      );
      return true;
    });
  } finally {
    sender.kill('SIGKILL');
  }
  assert.equal((await caller.call('serving', 'counters', 'ours')).miss, 0);
  await caller.call('serving', 'close', 'ours');
});

test('a renewal makes the time begin anew', async () => {
  await caller.call('serving', 'open', 4, 'ours');
  const leftMs = async () => {
    const [, seconds = 0, milliseconds = 0] =
      /192\.0\.2\.9 timeout 1m expires (?:1m)?(?:(\d+)s)?(?:(\d+)ms)?/.exec(
        await nft(['list', 'set', 'ip', 'ours', 'alive']),
      ) ?? [];
    return Number(seconds) * 1_000 + Number(milliseconds);
  };
  const signs = { alive: [{ address: '192.0.2.9', milliseconds: 60_000 }], holding: [] };
  await caller.call('serving', 'giveLifeSigns', 'ours', signs);
  const before = await eventually('time passes', 5_000, async () => {
    const now = await leftMs();
    return now < 59_000 && now;
  });
  await caller.call('serving', 'giveLifeSigns', 'ours', signs);
  assert.ok((await leftMs()) > before + 500);
  await caller.call('serving', 'close', 'ours');
});

test('counters of a table that is gone are told from those of one that has none', async () => {
  await assert.rejects(caller.call('tables', 'packets', 4, 'nowhere'), { code: 'ENOENT' });
  await nft(['add', 'table', 'ip', 'empty']);
  assert.deepEqual(await caller.call('tables', 'packets', 4, 'empty'), {});
  await caller.call('serving', 'open', 4, 'ours');
  const counters = await caller.call('serving', 'counters', 'ours');
  assert.deepEqual([...new Set(Object.values(counters))], [0]);
  assert.equal(Object.keys(counters).length, 11);
  await caller.call('serving', 'close', 'ours');
  await nft(['delete', 'table', 'ip', 'empty']);
});
