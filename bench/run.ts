/** `npm run bench [-- NAME…]`: measures, keeps every reading in bench/samples/, and writes bench/results.md from them. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { lacking } from '../test/tools/find.ts';
import { clusterMemory } from './cluster-memory.ts';
import { benchDatapath, datapathBench } from './datapath.ts';
import { benchE2e, e2eBench } from './e2e.ts';
import { benchEngine, engineBench } from './engine.ts';
import { entryMemory } from './entry-memory.ts';
import { memory } from './memory.ts';
import { benchOperator, operatorBench } from './operator.ts';
import { benchPools, poolsBench } from './pools.ts';
import { writeResults } from './results.ts';
import { type Bench, takeSample } from './sample.ts';
import { benchSpeed, speedBench } from './speed.ts';
import { start } from './start.ts';

const benches: readonly Bench[] = [start, memory, clusterMemory, entryMemory];

/** They need built tools, other servers, or root, and write a page of their own: only where they are asked for. */
const ownPages: Record<string, (say: (line: string) => void) => Promise<void>> = {
  [datapathBench]: benchDatapath,
  [e2eBench]: benchE2e,
  [engineBench]: benchEngine,
  [operatorBench]: benchOperator,
  [poolsBench]: benchPools,
};

async function main(): Promise<number> {
  const wanted = process.argv.slice(2);
  const names = [speedBench, ...benches.map(({ name }) => name), ...Object.keys(ownPages)];
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) {
    console.error(`no bench ${unknown.join(', ')}; there are ${names.join(', ')}`);
    return 2;
  }
  for (const [name, run] of Object.entries(ownPages)) {
    if (wanted.includes(name)) await run((line) => console.log(`  ${line}`));
  }
  if (wanted.length > 0 && wanted.every((name) => name in ownPages)) {
    formatSamples();
    return 0;
  }
  if (wanted.length === 0 || wanted.includes(speedBench)) await benchSpeed((line) => console.log(`  ${line}`));
  for (const bench of benches) {
    if (wanted.length > 0 && !wanted.includes(bench.name)) continue;
    console.log(`\n${bench.title}`);
    const lacks = lacking(bench.needs ?? []);
    // What was measured elsewhere stays on the page, with where that was.
    if (lacks.length > 0) console.log(`  not measured: ${lacks.map(({ message }) => message).join('; ')}`);
    if (lacks.length > 0) continue;
    const series = await bench.run((line) => console.log(`  ${line}`));
    takeSample(bench, series, new Date());
  }
  writeResults();
  formatSamples();
  console.log('\nbench/results.md is written');
  return 0;
}

/** The samples are kept in the repository, where every JSON file has one form. */
function formatSamples(): void {
  execFileSync(join(import.meta.dirname, '../node_modules/.bin/biome'), ['format', '--write', 'bench/samples'], {
    cwd: join(import.meta.dirname, '..'),
  });
}

process.exitCode = await main();
