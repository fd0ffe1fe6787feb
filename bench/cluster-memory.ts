import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { profileLabel } from '../api/v1alpha1/labels.ts';
import { clusterListener, promptlyMs, Scene } from '../test/cluster/scene.ts';
import { eventually } from '../test/tools/eventually.ts';
import { tiers } from '../test/tools/tiers.ts';
import { bundle, variants } from './agent-process.ts';
import { chartOptions } from './flags.ts';
import type { Bench } from './sample.ts';

const names = 10_000;
const perSecond = 2_500;
/** By then an agent has given back to the kernel what it does not use. */
const settleMs = 35_000;
const variant = 'bundled, in a cluster';

export const clusterMemory: Bench = {
  name: 'cluster-memory',
  title: 'Memory in a cluster',
  method: `As below, of an agent that has its configuration from a real API server, follows it, and reports to it; with the options of Node that the chart gives it. ${names.toLocaleString('en')} new names are asked, ${perSecond.toLocaleString('en')} a second, and answered by CoreDNS; ${settleMs / 1000} s after that they are still cached. One process.`,
  needs: tiers.find(({ name }) => name === 'cluster')?.needs ?? [],
  async run(say) {
    bundle();
    const scene = await Scene.start();
    try {
      await scene.applyProfile({});
      await scene.label('n1', profileLabel, 'default');
      await eventually('the node has its configuration', 30_000, () => scene.applied());
      await scene.agent.stop();
      const chart = join(import.meta.dirname, '../charts/localdns/templates/agent/daemonset.yaml');
      const env = { NODE_OPTIONS: chartOptions(readFileSync(chart, 'utf8')) };
      scene.restartAgent({ name: 'agent-bundled', program: variants.bundled, env });
      const answers = () => scene.addressOf(clusterListener, 'first.bench.example', 1_000);
      await eventually('the bundled agent answers', 30_000, answers);
      await delay(promptlyMs);
      const serving = residentMebibytes(scene.agent.pid);
      const load = { server: clusterListener, names: ['*.services.bench.example'], perSecond };
      const running = await scene.cluster.namespace.startLoad({ ...load, maxSeconds: names / perSecond });
      await delay((names / perSecond) * 1_000);
      const { answered } = await running.stop();
      if (answered < names * 0.99) throw new Error(`${answered} of ${names} names were answered`);
      const filled = residentMebibytes(scene.agent.pid);
      await delay(settleMs);
      const measured = { serving, filled, settled: residentMebibytes(scene.agent.pid) };
      say(`${variant}: ${JSON.stringify(measured)}`);
      return Object.entries(measured).map(([quantity, value]) => ({
        ...{ variant, quantity, unit: 'MiB' as const },
        readings: [Math.round(value * 10) / 10],
      }));
    } finally {
      await scene.stop();
    }
  },
};

function residentMebibytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}
