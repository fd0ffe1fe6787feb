/** The rule and the routes that deliver marked packets here, compared with what ip(8) shows; nothing of others is touched. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { Namespace } from '../cluster/namespace.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { NetlinkCaller } from './netlink-caller.ts';

const folder = new RunFolder('routing');
let namespace: Namespace;
let caller: NetlinkCaller;

const addresses = {
  4: ['10.96.0.10', '169.254.10.11'],
  6: ['fdcd:6c64:6e73::10', 'fdcd:6c64:6e73::11'],
} as const;
const elsewhere = { 4: '198.51.100.0/24', 6: '2001:db8::/64' } as const;
const rule = 'fwmark 0x10/0x10 table 153';

before(async () => {
  namespace = new Namespace(folder, 'routing');
  caller = new NetlinkCaller(namespace);
  await ip(4, 'link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1');
  await ip(4, 'link', 'set', 'veth0', 'up');
});

beforeEach(async () => {
  for (const family of [4, 6] as const) {
    await namespace.run('ip', [`-${family}`, 'route', 'flush', 'table', '153']);
    while ((await namespace.run('ip', [`-${family}`, 'rule', 'del', 'priority', '8'])).code === 0);
  }
});

after(async () => {
  await caller?.kill();
  await namespace?.close();
  await folder.remove();
});

async function ip(family: 4 | 6, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await namespace.run('ip', [`-${family}`, ...args]);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** Rules of priority 8, in the words of ip(8). */
async function rules(family: 4 | 6): Promise<string[]> {
  const all = JSON.parse(await ip(family, '-j', 'rule')) as Record<string, string | number>[];
  return all
    .filter(({ priority }) => priority === 8)
    .map(({ fwmark, fwmask, iif, table }) => `fwmark ${fwmark}/${fwmask}${iif ? ` iif ${iif}` : ''} table ${table}`);
}

async function routes(family: 4 | 6): Promise<string[]> {
  const { stdout } = await namespace.run('ip', [`-${family}`, '-j', '-d', 'route', 'show', 'table', '153']);
  const all = JSON.parse(stdout.trim() || '[]') as { type: string; dst: string; dev: string; protocol: string }[];
  return all.map(({ type, dst, dev, protocol }) => `${type} ${dst} dev ${dev} proto ${protocol}`).sort();
}

function wanted(some: readonly string[]): string[] {
  return some.map((address) => `local ${address} dev lo proto kernel`).sort();
}

for (const family of [4, 6] as const) {
  const [first] = addresses[family];

  test(`rule and routes are made, once (IPv${family})`, async () => {
    assert.deepEqual(await caller.call('routing', 'ensure', family, addresses[family]), { changed: true });
    assert.deepEqual([await rules(family), await routes(family)], [[rule], wanted(addresses[family])]);
    assert.deepEqual(await caller.call('routing', 'ensure', family, addresses[family]), { changed: false });
    assert.deepEqual([await rules(family), await routes(family)], [[rule], wanted(addresses[family])]);
  });

  test(`the kernel delivers marked packets to addresses that no device has (IPv${family})`, async () => {
    await caller.call('routing', 'ensure', family, [first]);
    assert.match(await ip(family, 'route', 'get', first, 'mark', '0x8010'), /^local .* dev lo .*table 153/);
    const unmarked = await namespace.run('ip', [`-${family}`, 'route', 'get', first]);
    assert.match(unmarked.stderr, /unreachable/);
  });

  test(`what was taken away is put back, and addresses that are wanted no longer go (IPv${family})`, async () => {
    const route = (verb: string, to: string) => ['route', verb, 'local', to, 'dev', 'lo', 'table', '153'];
    const tamper: [what: string, ...commands: string[][]][] = [
      ['the rule', ['rule', 'del', 'priority', '8']],
      ['a route', route('del', first)],
      ['all routes', ['route', 'flush', 'table', '153']],
      ['a route to more than the address', route('del', first), route('add', `${first}/${family === 4 ? 31 : 127}`)],
      ['a rule into another table', ['rule', 'add', 'fwmark', '0x10/0x10', 'table', '77', 'priority', '8']],
    ];
    for (const [what, ...commands] of tamper) {
      await caller.call('routing', 'ensure', family, addresses[family]);
      for (const command of commands) await ip(family, ...command);
      assert.deepEqual(await caller.call('routing', 'ensure', family, addresses[family]), { changed: true }, what);
      assert.deepEqual(await rules(family), [rule], what);
      for (const line of wanted(addresses[family]))
        assert.ok((await routes(family)).includes(line), `${what}: ${line}`);
    }
    await ip(family, 'route', 'flush', 'table', '153');
    await caller.call('routing', 'ensure', family, addresses[family]);
    // Another agent may need what this one does not know of.
    await ip(family, ...route('add', elsewhere[family]));
    const others = addresses[family].slice(1);
    await caller.call('routing', 'ensure', family, [first], others);
    const left = (await routes(family)).map((line) => line.split(' ')[1]);
    assert.deepEqual(left.toSorted(), [first, elsewhere[family]].toSorted());
    await ip(family, ...route('del', elsewhere[family]));
  });

  test(`nothing of ours is left behind, and all of others is (IPv${family})`, async () => {
    const theirs = [
      ['fwmark', '0x20/0x20', 'table', '153', 'priority', '8'],
      ['fwmark', '0x10/0xff', 'table', '153', 'priority', '8'],
      ['fwmark', '0x10/0x10', 'iif', 'veth0', 'table', '77', 'priority', '8'],
      ['not', 'fwmark', '0x10/0x10', 'table', '77', 'priority', '8'],
      ['fwmark', '0x10/0x10', 'table', '153', 'priority', '9'],
    ];
    for (const one of theirs) await ip(family, 'rule', 'add', ...one);
    await ip(family, 'route', 'add', 'local', first, 'dev', 'lo', 'table', '154');
    const before = await ip(family, 'rule');
    await caller.call('routing', 'ensure', family, addresses[family]);
    // Two agents that raced, as kernels that do not refuse the second one would have it.
    await ip(family, 'rule', 'add', 'fwmark', '0x10/0x10', 'table', '153', 'priority', '8', 'protocol', 'static');
    assert.equal((await ip(family, 'rule')).split('\n').length, before.split('\n').length + 2);
    assert.deepEqual(await caller.call('routing', 'ensure', family, addresses[family]), { changed: false });
    assert.equal(await caller.call('routing', 'remove', family), true);
    assert.equal(await ip(family, 'rule'), before);
    assert.deepEqual(await routes(family), []);
    assert.match(await ip(family, 'route', 'show', 'table', '154'), /^local/);
    assert.equal(await caller.call('routing', 'remove', family), false);
    await ip(family, 'route', 'flush', 'table', '154');
    await ip(family, 'rule', 'del', 'priority', '9');
  });

  test(`a table that somebody else uses is left alone (IPv${family})`, async () => {
    await ip(family, 'route', 'add', elsewhere[family], 'dev', 'veth0', 'table', '153');
    const before = await routes(family);
    const ensured = await caller.call('routing', 'ensure', family, addresses[family]);
    assert.ok('reason' in ensured);
    assert.ok(ensured.reason.includes(elsewhere[family]), ensured.reason);
    assert.deepEqual([await rules(family), await routes(family)], [[], before]);
    await caller.call('routing', 'remove', family);
    assert.deepEqual(await routes(family), before);
  });
}

test('IPv4 and IPv6 do not touch each other', async () => {
  for (const family of [4, 6] as const) await caller.call('routing', 'ensure', family, addresses[family]);
  await caller.call('routing', 'remove', 4);
  assert.deepEqual(await caller.call('routing', 'ensure', 6, addresses[6]), { changed: false });
  assert.deepEqual(await rules(4), []);
});
