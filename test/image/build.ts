/**
 * The image, built by its Dockerfile as anybody builds it; only that its two bases are made here, of Debian's packages and this
 * machine's npm, for no registry of images is asked. Without a daemon.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { findProgram, toolsFolder } from '../tools/find.ts';
import { takeLock } from '../tools/lock.ts';

const root = resolve(import.meta.dirname, '../..');
const release = 'bookworm';
const authorities = '/etc/ssl/certs/ca-certificates.crt';
/** With what is in the bases: another number makes them anew. */
const bases = { debian: 'localhost/localdns-debian:1', node: 'localhost/localdns-node:1' };
const minuteMs = 60_000;
const limitMs = 10 * minuteMs;

/** The name under which {@link buildImage} keeps the image, and under which it is in the archive. */
export const imageName = 'localhost/localdns:test';

/** By the names under which pods start them. */
export const imagePrograms = ['localdns', 'nft', 'node', 'test'] as const;

/**
 * @param archive the path of an archive as `docker save` writes one
 * @returns the images in the store that the steps of the build have made, or found made
 */
export async function buildImage(version: string, archive: string): Promise<ReadonlySet<string>> {
  const folder = join(toolsFolder(), 'image');
  mkdirSync(folder, { recursive: true });
  const unlock = await takeLock(join(folder, '.lock'), { withinMs: limitMs, waiting: () => {} });
  try {
    if (!buildah('images', '--format', '{{.Name}}:{{.Tag}}').includes(bases.node)) makeBases(folder);
    const args = { NODE_BASE: bases.node, DEBIAN_BASE: bases.debian, VERSION: version };
    const said = buildah(
      ...['bud', '--layers', '--isolation', 'chroot', '--pull-never', '--tag', imageName],
      ...Object.entries(args).map(([name, value]) => `--build-arg=${name}=${value}`),
      root,
    );
    rmSync(archive, { force: true });
    buildah('push', '--quiet', imageName, `docker-archive:${archive}:${imageName}`);
    return dropOthers(said);
  } finally {
    unlock();
  }
}

export function imagesInStore(): { id: string; names: string[] }[] {
  const listed = JSON.parse(buildah('images', '--all', '--json')) as { id: string; names: string[] | null }[];
  return listed.map(({ id, names }) => ({ id, names: names ?? [] }));
}

/**
 * Each step leaves an image, by which the next build goes faster: half a gigabyte each, of which only the last build's are ever found again.
 *
 * @param said by the build
 */
function dropOthers(said: string): ReadonlySet<string> {
  const told = [...said.matchAll(/^--> (?:Using cache )?([0-9a-f]{11,64})$/gm)].map(([, id = '']) => id);
  if (told.length === 0) throw new Error(`buildah named no image of its steps:\n${said.slice(-2_000)}`);
  const isUsed = (id: string) => told.some((start) => id.startsWith(start));
  const unused = imagesInStore().filter(({ id, names }) => names.length === 0 && !isUsed(id));
  // The youngest first: none goes before what was made from it. What a container still has in use goes another time.
  for (const { id } of unused) {
    try {
      buildah('rmi', id);
    } catch {}
  }
  return new Set(imagesInStore().flatMap(({ id }) => (isUsed(id) ? [id] : [])));
}

/** Runs a command on the image's files, with the devices of this machine and a network of its own; returns what it printed. */
export function runInImage(command: readonly string[]): string {
  const script = 'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
  return withFiles((root) => run('unshare', ['--net', '--mount', 'sh', '-c', script, root, ...command]));
}

/** What the image says to its programs. */
export function imageEnvironment(): Record<string, string> {
  const { OCIv1 } = JSON.parse(buildah('inspect', '--type', 'image', imageName)) as {
    OCIv1: { config: { Env: string[] } };
  };
  return Object.fromEntries(OCIv1.config.Env.map((each) => each.split(/=(.*)/, 2)));
}

/** Calls with the folder in which the image's files are mounted. */
export function withFiles<Result>(use: (folder: string) => Result): Result {
  return inContainer(imageName, (container) => {
    const folder = buildah('mount', container).trim();
    try {
      return use(folder);
    } finally {
      buildah('umount', container);
    }
  });
}

function makeBases(folder: string): void {
  const debian = join(folder, 'debian.tar');
  run('mmdebstrap', ['--variant=minbase', '--include=ca-certificates', release, debian]);
  inContainer('scratch', (container) => {
    buildah('add', '--quiet', container, debian, '/');
    buildah('commit', '--quiet', container, bases.debian);
    // Whoever stands between this machine and the registry of packages is trusted in the build as he is here.
    if (existsSync(authorities)) {
      buildah('add', '--quiet', container, authorities, authorities);
      buildah('config', '--env', `NODE_EXTRA_CA_CERTS=${authorities}`, container);
    }
    const npm = dirname(dirname(realpathSync(findProgram('npm') ?? 'npm')));
    buildah('add', '--quiet', container, realpathSync(findProgram('node') ?? 'node'), '/usr/bin/node');
    buildah('add', '--quiet', container, npm, '/usr/lib/node_modules/npm');
    buildah(
      'run',
      '--isolation',
      'chroot',
      container,
      'ln',
      '-s',
      '../lib/node_modules/npm/bin/npm-cli.js',
      '/usr/bin/npm',
    );
    buildah('commit', '--quiet', container, bases.node);
  });
  rmSync(debian);
}

function inContainer<Result>(image: string, use: (container: string) => Result): Result {
  const container = buildah('from', '--pull-never', image).trim();
  try {
    return use(container);
  } finally {
    buildah('rm', container);
  }
}

function buildah(...args: string[]): string {
  const store = join(toolsFolder(), 'image', 'store');
  return run('buildah', ['--root', store, '--runroot', join(store, 'run'), ...args]);
}

function run(command: string, args: readonly string[]): string {
  const options = { encoding: 'utf8', timeout: limitMs, maxBuffer: 1 << 26 } as const;
  const { status, stdout, stderr, error } = spawnSync(findProgram(command) ?? command, args, options);
  if (status === 0) return stdout;
  throw new Error(
    `${command} ${args.slice(0, 8).join(' ')}: ${error?.message ?? `${stdout}\n${stderr}`.slice(-4_000)}`,
  );
}
