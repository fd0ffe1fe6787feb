import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, lstatSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { RunFolder } from '../tools/run-folder.ts';
import { buildImage, imageEnvironment, imagePrograms, imagesInStore, runInImage, withFiles } from './build.ts';

const manifest = JSON.parse(readFileSync(resolve(import.meta.dirname, '../../package.json'), 'utf8')) as {
  version: string;
};
const maxMebibytes = 160;
const maxAgentMebibytes = 3;
const program = 'usr/lib/localdns';

interface Listed {
  packages: { name: string; versionInfo: string; externalRefs: { referenceLocator: string }[] }[];
}

suite('the image', () => {
  const folder = new RunFolder('image');
  let used: ReadonlySet<string>;

  before(async () => {
    used = await buildImage(manifest.version, join(folder.path, 'localdns.tar'));
  });

  after(() => folder.remove());

  test('runs each program with the pinned Node, on which koffi loads', () => {
    const localdns = (...args: string[]) => runInImage(['localdns', ...args]);
    equal(localdns('version').trim(), manifest.version);
    match(localdns('agent', '--help'), /--state-dir/);
    match(localdns('operator', '--help'), /--kubeconfig/);
    match(runInImage(['node', '--version']), /^v26\./);
    const load =
      "console.log(typeof require('/usr/lib/localdns/node_modules/koffi').load(null).func('int getpid()')())";
    equal(runInImage(['node', '--eval', load]).trim(), 'number');
  });

  test('is no more than it needs, and no larger than was promised', () => {
    withFiles((root) => {
      const files = globSync('**', { cwd: root }).filter((path) => lstatSync(join(root, path)).isFile());
      const mebibytes = (paths: string[]) =>
        paths.reduce((sum, path) => sum + statSync(join(root, path)).size, 0) / 2 ** 20;
      const all = mebibytes(files);
      console.log(`| the image | ${all.toFixed(1)} MiB in ${files.length} files |`);
      ok(all <= maxMebibytes, `${all} MiB`);
      const found = globSync('{usr/,}{s,}bin/*', { cwd: root }).map((path) => basename(path));
      deepEqual(found.sort(), [...imagePrograms].sort());
      deepEqual(
        files.filter((path) => /\.(test|fake|ts)\b/.test(path)),
        [],
      );
      ok(existsSync(join(root, 'etc/ssl/certs/ca-certificates.crt')));
      deepEqual(
        files.filter((path) => (statSync(join(root, path)).mode & 0o6000) !== 0),
        [],
      );
    });
  });

  test('what an agent loads of the bundle is small', () => {
    withFiles((root) => {
      const loaded = new Set<string>();
      const visit = (name: string): void => {
        if (loaded.has(name)) return;
        loaded.add(name);
        const text = readFileSync(join(root, program, name), 'utf8');
        for (const [, next = ''] of text.matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g)) visit(next);
      };
      visit('localdns.js');
      visit('agent-node-control.js');
      for (const entry of globSync('agent-*.js', { cwd: join(root, program) })) visit(entry);
      const mebibytes = [...loaded].reduce((sum, name) => sum + statSync(join(root, program, name)).size, 0) / 2 ** 20;
      console.log(`| what an agent loads of the bundle | ${mebibytes.toFixed(2)} MiB in ${loaded.size} files |`);
      ok(mebibytes <= maxAgentMebibytes, `${mebibytes} MiB`);
    });
  });

  test('an agent takes what was compiled ahead, all of it, from a root that nobody can write to, and writes nothing', () => {
    withFiles((root) => {
      const script = `
        set -e
        ip link set lo up
        mount --bind "$0" "$0"
        mount --rbind /dev "$0/dev"
        mount -t proc proc "$0/proc"
        mount -t tmpfs tmpfs "$0/var/lib/localdns"
        mount -t tmpfs tmpfs "$0/run/localdns"
        mount -o remount,ro,bind "$0"
        chroot "$0" /usr/bin/localdns agent --node-name n --node-dns 127.0.0.1 > "$0/run/localdns/said" 2>&1 & agent=$!
        until grep -q '"msg":"metrics and health"' "$0/run/localdns/said"; do kill -0 $agent; sleep 0.1; done
        kill $agent
        wait $agent
        cat "$0/run/localdns/said"`;
      const { status, stdout } = spawnSync('unshare', ['--net', '--mount', 'sh', '-c', script, root], {
        encoding: 'utf8',
        // The heap as the chart has it.
        env: { ...imageEnvironment(), NODE_DEBUG_NATIVE: 'COMPILE_CACHE', NODE_OPTIONS: '--max-old-space-size=160' },
        timeout: 60_000,
      });
      equal(status, 0, stdout);
      const taken = [
        ...stdout.matchAll(/V8 code cache for \S+ (?:file:\/\/)?\/usr\/lib\/localdns\/(\S+) was accepted/g),
      ];
      const names = taken.map(([, name]) => name);
      for (const name of ['localdns.js', 'agent-node-control.js', 'node_modules/koffi/index.cjs']) {
        ok(names.includes(name), name);
      }
      doesNotMatch(stdout, /was rejected|no such file|writing cache|[Ww]arning/);
    });
  });

  test('the store keeps nothing of earlier builds', () => {
    deepEqual(
      imagesInStore()
        .filter(({ names, id }) => names.length === 0 && !used.has(id))
        .map(({ id }) => id),
      [],
    );
  });

  test('says what it is made of, and brings the licences along', () => {
    withFiles((root) => {
      const { packages } = JSON.parse(readFileSync(join(root, 'usr/share/sbom/localdns.spdx.json'), 'utf8')) as Listed;
      const urls = packages.map(({ externalRefs }) => externalRefs[0]?.referenceLocator ?? '');
      for (const kind of [
        'pkg:generic/node@26.',
        'pkg:npm/koffi@',
        'pkg:npm/%40kubernetes/client-node@',
        'pkg:deb/debian/nftables@',
        'pkg:deb/debian/libc6@',
      ]) {
        ok(
          urls.some((url) => url.startsWith(kind)),
          kind,
        );
      }
      ok(packages.every(({ versionInfo }) => versionInfo !== ''));
      const licences = readFileSync(join(root, program, 'LICENSES.txt'), 'utf8');
      for (const { name, externalRefs } of packages) {
        const url = externalRefs[0]?.referenceLocator ?? '';
        if (url.startsWith('pkg:npm/')) ok(licences.includes(`${name} `), name);
        if (url.startsWith('pkg:deb/')) ok(existsSync(join(root, 'usr/share/doc', name, 'copyright')), name);
      }
      const texts = globSync('usr/share/doc/*/copyright', { cwd: root }).flatMap(
        (path) => readFileSync(join(root, path), 'utf8').match(/usr\/share\/common-licenses\/[\w.-]*\w/g) ?? [],
      );
      ok(texts.length > 0);
      for (const text of new Set(texts)) ok(statSync(join(root, text)).size > 1_000, text);
      for (const own of [`${program}/LICENSE`, 'usr/share/doc/node/LICENSE']) ok(existsSync(join(root, own)), own);
    });
  });

  test('writes rules into a kernel, from a root that nobody can write to', () => {
    withFiles((root) => {
      const script = `mount --bind ${root} ${root} && mount -o remount,ro,bind ${root} && chroot ${root} /usr/sbin/nft -f - && chroot ${root} /usr/sbin/nft list tables && chroot ${root} /usr/bin/test -d /run/localdns`;
      const { status, stdout, stderr } = spawnSync('unshare', ['--net', '--mount', 'sh', '-c', script], {
        encoding: 'utf8',
        input: 'table inet localdns {\n chain in {\n type filter hook input priority 0;\n }\n}\n',
        timeout: 30_000,
      });
      deepEqual({ status, stdout, stderr }, { status: 0, stdout: 'table inet localdns\n', stderr: '' });
    });
  });
});
