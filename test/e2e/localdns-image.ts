import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { imageName } from '../image/build.ts';
import type { Image } from '../tools/image/image.ts';

const builder = join(import.meta.dirname, '../image/build.ts');

/** The image of LocalDNS, built by its Dockerfile, as an archive; in a process of its own, for other things can go on meanwhile. */
export async function localDnsImage(folder: string): Promise<Image> {
  const path = join(folder, 'localdns.tar');
  const script = `const { buildImage } = await import(${JSON.stringify(builder)}); await buildImage('0.0.0-test', process.argv[1]);`;
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script, path]);
  return { name: imageName, path, octets: statSync(path).size };
}
