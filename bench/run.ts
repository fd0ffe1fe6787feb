/** `npm run bench [-- NAME…]`: measures, keeps every reading in bench/samples/, and writes bench/results.md from them. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { memory } from './memory.ts';
import { writeResults } from './results.ts';
import { type Bench, takeSample } from './sample.ts';
import { start } from './start.ts';

const benches: readonly Bench[] = [start, memory];

async function main(): Promise<number> {
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !benches.some((bench) => bench.name === name));
  if (unknown.length > 0) {
    console.error(`no bench ${unknown.join(', ')}; there are ${benches.map(({ name }) => name).join(', ')}`);
    return 2;
  }
  for (const bench of benches) {
    if (wanted.length > 0 && !wanted.includes(bench.name)) continue;
    console.log(`\n${bench.title}`);
    const series = await bench.run((line) => console.log(`  ${line}`));
    takeSample(bench, series, new Date());
  }
  writeResults();
  // The samples are kept in the repository, where every JSON file has one form.
  execFileSync(join(import.meta.dirname, '../node_modules/.bin/biome'), ['format', '--write', 'bench/samples'], {
    cwd: join(import.meta.dirname, '..'),
  });
  console.log('\nbench/results.md is written');
  return 0;
}

process.exitCode = await main();
