import { deepEqual, match } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { eventually } from '../../test/tools/eventually.ts';
import { parseResolvConf, ResolvConf, resolvConfPath } from './resolv-conf.ts';

const withinMs = 5_000;
const folder = mkdtempSync(join(tmpdir(), 'localdns-resolv-'));
after(() => rmSync(folder, { recursive: true }));

suite('resolv.conf', () => {
  test('lists its nameserver lines in order, each once', () => {
    const text = `# nameserver 192.0.2.66
; nameserver 192.0.2.67
search example.com
nameserver 192.0.2.1
  nameserver\t2001:DB8:0::1   # with a remark
nameserver 192.0.2.1
options ndots:5
nameserver 192.0.2.2`;
    deepEqual(parseResolvConf(text), ['192.0.2.1:53', '[2001:db8::1]:53', '192.0.2.2:53']);
  });

  test('may hold lines that name no server', () => {
    deepEqual(
      parseResolvConf('nameserver\nnameserver dns.example\nnameserver fe80::1%eth0\nnameservers 192.0.2.1'),
      [],
    );
    deepEqual(parseResolvConf(''), []);
  });

  test("is systemd-resolved's own list where the standard one names only its stub", async () => {
    const pathFor = (text: string | undefined) => {
      const path = join(folder, 'standard');
      rmSync(path, { force: true });
      if (text !== undefined) writeFileSync(path, text);
      return resolvConfPath(path);
    };
    const resolved = '/run/systemd/resolve/resolv.conf';
    const standard = join(folder, 'standard');
    deepEqual(await pathFor('nameserver 127.0.0.53\noptions edns0'), resolved);
    deepEqual(await pathFor('nameserver 127.0.0.53\nnameserver 127.0.0.54'), resolved);
    deepEqual(await pathFor('nameserver 127.0.0.53\nnameserver 192.0.2.1'), standard);
    deepEqual(await pathFor('nameserver 127.0.0.1'), standard);
    deepEqual(await pathFor(''), standard);
    deepEqual(await pathFor(undefined), standard);
  });
});

suite("the node's resolvers", () => {
  async function follow(text: string | undefined, own: string[] = [], copy = '') {
    const path = join(mkdtempSync(join(folder, 'node-')), 'resolv.conf');
    if (text !== undefined) writeFileSync(path, text);
    const instead = join(folder, 'instead');
    writeFileSync(instead, copy);
    const lists: (readonly string[])[] = [];
    const troubles: string[] = [];
    let looks = 0;
    const resolvConf = new ResolvConf(
      path,
      (server) => {
        looks += 1;
        return own.includes(server);
      },
      (servers) => lists.push(servers),
      (trouble) => troubles.push(trouble),
      instead,
    );
    await resolvConf.start();
    const edit = async (contents: string | undefined) => {
      const before = looks + troubles.length;
      if (contents === undefined) rmSync(path);
      else writeFileSync(path, contents);
      await eventually('the edit is noticed', withinMs, () => looks + troubles.length > before);
    };
    return { lists, troubles, edit, stop: () => resolvConf.stop() };
  }

  test('follow an edit, and keep what was known when it leaves nothing usable', async () => {
    const { lists, troubles, edit, stop } = await follow('nameserver 192.0.2.1\n', ['169.254.10.10:53']);
    await edit('nameserver 169.254.10.10\n');
    match(troubles[0] ?? '', /names no resolver but the agent itself$/);
    await edit('nameserver 169.254.10.10\nnameserver 192.0.2.2\n');
    await edit(undefined);
    match(troubles[1] ?? '', /cannot be read$/);
    deepEqual(lists, [['192.0.2.1:53'], ['192.0.2.2:53']]);
    stop();
  });

  test('are those of the copy until the file can be read, and of the copy no more from then on', async () => {
    const copy = 'nameserver 169.254.10.10\nnameserver 192.0.2.7\n';
    const { lists, troubles, edit, stop } = await follow(undefined, ['169.254.10.10:53'], copy);
    match(troubles[0] ?? '', /resolv\.conf cannot be read: until it can, .*instead stands in for it, .*copy/);
    deepEqual([lists, troubles.length], [[['192.0.2.7:53']], 1]);
    await edit('nameserver 192.0.2.1\n');
    await edit(undefined);
    match(troubles[1] ?? '', /resolv\.conf cannot be read$/);
    deepEqual(lists, [['192.0.2.7:53'], ['192.0.2.1:53']]);
    stop();
  });

  test('are none where neither can be used', async () => {
    const { lists, troubles, stop } = await follow(undefined, ['169.254.10.10:53'], 'nameserver 169.254.10.10\n');
    match(troubles[0] ?? '', /resolv\.conf cannot be read$/);
    deepEqual(lists, []);
    stop();
  });

  test('that stay the same while the file changes are no news', async () => {
    const { lists, troubles, edit, stop } = await follow('nameserver 192.0.2.1\n');
    await edit('');
    await edit('search example.com\nnameserver 192.0.2.1\n');
    await edit('# nothing\n');
    deepEqual([lists.length, troubles.length], [1, 2]);
    stop();
  });
});
