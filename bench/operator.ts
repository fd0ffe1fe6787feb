/**
 * `npm run bench -- operator`: a real API server with 100, 1,000 and 5,000 nodes, and what an operator makes of them. Needs what `npm run
 * tools` builds, and root.
 */
import { LargeCluster, type Step } from '../test/cluster/large-cluster.ts';
import { operatorResults } from './operator-results.ts';
import { circumstances } from './sample.ts';

export const operatorBench = 'operator';

const sizes = [100, 1_000, 5_000];
const writesPerSecond = 200;
const restSeconds = 10;

export async function benchOperator(say: (line: string) => void): Promise<void> {
  const steps: Step[] = [];
  const cluster = await LargeCluster.start({ writesPerSecond });
  try {
    for (const nodes of sizes) {
      await cluster.grow(nodes);
      for (const take of [
        () => cluster.takeUp(),
        () => cluster.change(),
        () => cluster.handOver(),
        () => cluster.outage(),
        () => cluster.rest(restSeconds),
      ]) {
        const step = await take();
        steps.push(step);
        const { name, seconds, cpuSeconds, memory } = step;
        say(`${nodes} nodes, ${name}: ${seconds} s, CPU ${cpuSeconds} s, at most ${Math.max(...memory)} MiB`);
      }
      await cluster.endOperator();
    }
  } finally {
    await cluster.stop();
  }
  operatorResults.write({ circumstances: circumstances(new Date()), writesPerSecond, steps });
  say('bench/results-operator.md is written');
}
