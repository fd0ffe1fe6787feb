import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { play } from './player.ts';
import { parseScript } from './script.ts';

const files = globSync('*/*.scn', { cwd: import.meta.dirname }).sort();

for (const family of new Set(files.map((file) => file.split('/')[0]))) {
  suite(`${family}`, () => {
    for (const file of files.filter((path) => path.startsWith(`${family}/`))) {
      const script = parseScript(readFileSync(join(import.meta.dirname, file), 'utf8'));
      for (const place of script.places) test(`${file} in ${place}`, () => play(script, place));
    }
  });
}
