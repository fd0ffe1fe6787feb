/**
 * `image-root.ts PROGRAM ROOT`, inside a Debian container: makes the folder ROOT into the whole file system of the image. Of Debian
 * it takes what node, nft and test need to run, with their licences; PROGRAM is the folder of the bundle.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { compileAhead } from './compile-cache.ts';
import { type Software, spdx } from './software-list.ts';

/** `test` is what the kubelet runs to see whether an agent is ready. */
const programs = ['/usr/bin/node', '/usr/sbin/nft', '/usr/bin/test'];
const data = ['/etc/ssl/certs/ca-certificates.crt', '/usr/share/doc/node/LICENSE'];
/** Of those that are opened by no name in a program. */
const morePackages = ['ca-certificates'];
const folders = [
  'dev',
  'etc',
  'host/etc',
  'host/run/systemd/resolve',
  'proc',
  'run/localdns',
  'sys',
  'var/lib/localdns',
];
const written: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/:/\nnonroot:x:65532:65532:nonroot:/:/\n',
  'etc/group': 'root:x:0:\nnonroot:x:65532:\n',
  'etc/nsswitch.conf': 'hosts: files dns\n',
};

const [program = '', root = ''] = process.argv.slice(2);

/** What the loader maps when it runs, by the paths at which it looks. */
function librariesOf(file: string): string[] {
  const said = execFileSync('ldd', [file], { encoding: 'utf8' });
  return [...said.matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path);
}

function copy(path: string): void {
  const to = join(root, path);
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(realpathSync(path), to);
  chmodSync(to, statSync(path).mode);
}

/** The Debian package of a file; undefined for what came from elsewhere. */
function packageOf(path: string): string | undefined {
  // dpkg knows a file by the path under which its package has it: before or after the merge of / and /usr.
  for (const each of [path, realpathSync(path), realpathSync(path).replace(/^\/usr\//, '/')]) {
    try {
      return execFileSync('dpkg', ['-S', each], { encoding: 'utf8', stdio: 'pipe' }).split(/[:,]/)[0];
    } catch {}
  }
  return undefined;
}

/** dpkg prints the name, a tab, and the version. */
function versionOf(name: string): string {
  return execFileSync('dpkg-query', ['--show', name], { encoding: 'utf8' }).split(/[\t\n]/)[1] ?? '';
}

/** Most of them say where Debian keeps the text, and not the text: those come along. */
function copyLicence(name: string): void {
  const path = `/usr/share/doc/${name}/copyright`;
  if (!existsSync(path)) throw new Error(`${name} comes without its licence`);
  copy(path);
  const texts = readFileSync(path, 'utf8').match(/\/usr\/share\/common-licenses\/[\w.-]*\w/g) ?? [];
  for (const text of new Set(texts)) copy(text);
}

function bytesIn(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    return sum + (entry.isDirectory() ? bytesIn(path) : statSync(path).size);
  }, 0);
}

for (const folder of folders) mkdirSync(join(root, folder), { recursive: true });
mkdirSync(join(root, 'tmp'), { recursive: true });
chmodSync(join(root, 'tmp'), 0o1777);
for (const [path, text] of Object.entries(written)) writeFileSync(join(root, path), text);
// There is no shell that could start it.
const entry = join(program, 'localdns.js');
writeFileSync(entry, `#!/usr/bin/node\n${readFileSync(entry, 'utf8')}`);
chmodSync(entry, 0o755);
// Here its files have the paths and the contents that they will have.
await compileAhead(program);
cpSync(program, join(root, program), { recursive: true });
mkdirSync(join(root, 'usr/bin'), { recursive: true });
symlinkSync(entry, join(root, 'usr/bin/localdns'));

const addons = readdirSync(program, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.node'));
const loaded = [...programs, ...addons.map((path) => join(program, path))].flatMap(librariesOf);
const files = [...new Set([...programs, ...loaded, ...data])];
for (const file of files) copy(file);

const debian = [...new Set([...files.flatMap((file) => packageOf(file) ?? []), ...morePackages])].sort();
for (const name of debian) copyLicence(name);
const { name, version } = JSON.parse(readFileSync(join(program, 'package.json'), 'utf8')) as Record<string, string>;
const bundled = JSON.parse(readFileSync(join(program, 'software.json'), 'utf8')) as Software[];
const software: Software[] = [
  { kind: 'generic', name: 'node', version: process.versions.node, license: 'MIT' },
  ...bundled,
  ...debian.map((each): Software => ({ kind: 'deb', name: each, version: versionOf(each) })),
];
mkdirSync(join(root, 'usr/share/sbom'), { recursive: true });
const document = spdx({ name: name ?? '', version: version ?? '', created: new Date().toISOString(), software });
writeFileSync(join(root, 'usr/share/sbom/localdns.spdx.json'), `${JSON.stringify(document, null, 1)}\n`);
console.log(
  `${(bytesIn(root) / 2 ** 20).toFixed(1)} MiB: Node, ${bundled.length} npm packages, ${debian.length} of Debian`,
);
