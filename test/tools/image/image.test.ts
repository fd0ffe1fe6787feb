import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventually } from '../eventually.ts';
import { findProgram } from '../find.ts';
import { writeImage } from './image.ts';
import { pauseProgram } from './pause.ts';

const folder = mkdtempSync(join(tmpdir(), 'localdns-image-'));
after(() => rmSync(folder, { recursive: true }));
const withoutTar = findProgram('tar') === undefined && 'this machine has no tar';

interface Descriptor {
  digest: string;
  size: number;
  annotations?: Record<string, string>;
}

test('an image is unpacked as it was packed, and every part of it is found by its digest', { skip: withoutTar }, () => {
  const source = join(folder, 'source');
  // Longer than one piece, and no whole number of blocks.
  const large = Buffer.alloc((1 << 20) + 700, 'x');
  writeFileSync(source, large);
  const long = `${'folder/'.repeat(20)}file`;
  const { path, octets } = writeImage(
    join(folder, 'image.tar'),
    'example.test/image:1',
    { Entrypoint: ['/bin/large'] },
    [
      { path: 'bin/large', mode: 0o755, source },
      { path: 'bin/link', target: 'large' },
      { path: long, mode: 0o600, content: 'long' },
      { path: 'empty', mode: 0o755 },
    ],
  );
  const image = unpack(path, 'image');
  const blob = ({ digest, size }: Descriptor): Buffer => {
    const content = readFileSync(join(image, 'blobs', digest.replace(':', '/')));
    assert.equal(`sha256:${createHash('sha256').update(content).digest('hex')}`, digest);
    assert.equal(content.length, size);
    return content;
  };
  const index = JSON.parse(readFileSync(join(image, 'index.json'), 'utf8')) as { manifests: [Descriptor] };
  assert.equal(index.manifests[0].annotations?.['io.containerd.image.name'], 'example.test/image:1');
  const manifest = JSON.parse(blob(index.manifests[0]).toString()) as { config: Descriptor; layers: [Descriptor] };
  const config = JSON.parse(blob(manifest.config).toString()) as { config: object; rootfs: { diff_ids: string[] } };
  assert.deepEqual(config.config, { Entrypoint: ['/bin/large'] });
  assert.deepEqual(config.rootfs.diff_ids, [manifest.layers[0].digest]);
  writeFileSync(join(folder, 'layer.tar'), blob(manifest.layers[0]));
  assert.equal(octets, manifest.layers[0].size);
  const root = unpack(join(folder, 'layer.tar'), 'root');
  assert.ok(readFileSync(join(root, 'bin/large')).equals(large));
  assert.equal(statSync(join(root, 'bin/large')).mode & 0o777, 0o755);
  assert.equal(readlinkSync(join(root, 'bin/link')), 'large');
  assert.equal(readFileSync(join(root, long), 'utf8'), 'long');
  assert.ok(statSync(join(root, 'empty')).isDirectory());
});

test('the same files make the same image', () => {
  const make = (name: string) => {
    const { path } = writeImage(join(folder, name), 'example.test/image:1', {}, [
      { path: 'a', mode: 0o644, content: 'a' },
    ]);
    return readFileSync(path);
  };
  assert.ok(make('one').equals(make('two')));
});

test('a name that is too long for the archive is refused', () => {
  const file = { path: 'x'.repeat(101), mode: 0o644, content: '' };
  assert.throws(() => writeImage(join(folder, 'long'), 'example.test/image:1', {}, [file]), /too long/);
});

test('the program that pauses does so until it is killed', { skip: process.platform !== 'linux' }, async () => {
  const path = join(folder, 'pause');
  writeFileSync(path, pauseProgram(), { mode: 0o755 });
  const child = spawn(path);
  await eventually('it sleeps, in the one call that it makes', 5_000, () => {
    const call = readFileSync(`/proc/${child.pid}/syscall`, 'utf8');
    // pause(2) on x64, ppoll(2) on arm64
    return /^(34|73) /.test(call);
  });
  assert.equal(child.exitCode, null);
  child.kill('SIGTERM');
  const [, signal] = await once(child, 'exit');
  assert.equal(signal, 'SIGTERM');
});

function unpack(archive: string, name: string): string {
  const to = join(folder, name);
  execFileSync('sh', ['-c', 'mkdir "$2" && tar -C "$2" -xf "$1"', 'sh', archive, to], { stdio: 'pipe' });
  return to;
}
