/** Tar archives in the form of POSIX.1-1988 (ustar), with fixed owners and times: the same input gives the same octets. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const block = 512;
const chunkOctets = 1 << 20;

export type TarEntry =
  | { path: string; mode: number; content: Buffer | string }
  /** A file of this machine; links are followed. */
  | { path: string; mode: number; source: string }
  | { path: string; target: string }
  | { path: string; mode: number };

/** The archive piece by piece: images hold files of a hundred MiB. */
export function* tar(entries: Iterable<TarEntry>): Generator<Buffer> {
  for (const entry of entries) {
    if ('source' in entry) yield* fileOf(entry.path, entry.mode, entry.source);
    else if ('content' in entry) {
      const content = Buffer.from(entry.content);
      yield header(entry.path, entry.mode, '0', content.length);
      yield content;
      yield padding(content.length);
    } else if ('target' in entry) yield header(entry.path, 0o777, '2', 0, entry.target);
    else yield header(`${entry.path}/`, entry.mode, '5', 0);
  }
  yield Buffer.alloc(2 * block);
}

function* fileOf(path: string, mode: number, source: string): Generator<Buffer> {
  const file = openSync(source, 'r');
  try {
    const { size } = fstatSync(file);
    yield header(path, mode, '0', size);
    let left = size;
    while (left > 0) {
      const chunk = Buffer.allocUnsafe(Math.min(chunkOctets, left));
      const count = readSync(file, chunk);
      if (count === 0) throw new Error(`${source} became shorter while it was read`);
      left -= count;
      yield chunk.subarray(0, count);
    }
    yield padding(size);
  } finally {
    closeSync(file);
  }
}

function padding(octets: number): Buffer {
  return Buffer.alloc((block - (octets % block)) % block);
}

function header(path: string, mode: number, type: '0' | '2' | '5', octets: number, target = ''): Buffer {
  const [prefix, name] = split(path);
  if (Buffer.byteLength(target) > 100) throw new Error(`too long for a tar archive: ${target}`);
  const made = Buffer.alloc(block);
  const octal = (value: number, at: number, width: number) =>
    made.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1');
  made.write(name, 0);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(octets, 124, 12);
  octal(0, 136, 12);
  made.write(type, 156);
  made.write(target, 157);
  made.write('ustar\0' + '00', 257, 'latin1');
  made.write(prefix, 345);
  // The sum of all octets, with blanks where it will stand.
  made.fill(' ', 148, 156);
  made.write(
    `${made
      .reduce((sum, octet) => sum + octet, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
    'latin1',
  );
  return made;
}

/** A long path stands in two fields, of which the first ends where a folder does. */
function split(path: string): [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= 100) return ['', path];
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)];
    if (Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155 && name !== '') return [prefix, name];
  }
  throw new Error(`too long for a tar archive: ${path}`);
}
