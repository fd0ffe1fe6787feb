import { setTimeout as delay } from 'node:timers/promises';
import { AgentProcess, bundle, type Variant, variants } from './agent-process.ts';
import { Authority } from './authority.ts';
import { DnsClient } from './dns-client.ts';
import type { Bench, Series } from './sample.ts';

const runs = 2;
const cachedNames = 10_000;
/** By then an agent has given back to the kernel what it does not use. */
const settleMs = 35_000;

export const memory: Bench = {
  name: 'memory',
  title: 'Memory with 10,000 cached names',
  method: `Resident memory of the agent (VmRSS of the whole process): once it serves; after ${cachedNames.toLocaleString('en')} names were asked and answered by an authority on loopback; and ${settleMs / 1000} s after a second round, which the cache alone answered. Peak is VmHWM at the end.`,
  async run(say) {
    bundle();
    const series: Series[] = [];
    for (const variant of Object.keys(variants) as Variant[]) {
      const readings: Record<string, number[]> = {};
      for (let run = 0; run < runs; run++) {
        const measured = await measure(variant);
        for (const [quantity, value] of Object.entries(measured)) {
          readings[quantity] = [...(readings[quantity] ?? []), Math.round(value * 10) / 10];
        }
        say(`${variant}: ${JSON.stringify(measured)}`);
      }
      for (const [quantity, values] of Object.entries(readings)) {
        series.push({ variant, quantity, unit: 'MiB', readings: values });
      }
    }
    return series;
  },
};

async function measure(variant: Variant): Promise<Record<string, number>> {
  const authority = await Authority.start();
  const agent = await AgentProcess.start(variant, authority.address);
  const client = new DnsClient(agent.port);
  try {
    await agent.serving();
    const serving = agent.memory().rss;
    const names = Array.from({ length: cachedNames }, (_, at) => randomName(at));
    await client.askAll(names, 64);
    const filled = agent.memory().rss;
    const askedBefore = authority.asked;
    await client.askAll(names, 64);
    if (authority.asked !== askedBefore) throw new Error(`${authority.asked - askedBefore} names were not cached`);
    await delay(settleMs);
    const { rss, peak } = agent.memory();
    return { serving, filled, settled: rss, peak };
  } finally {
    client.close();
    await agent.stop();
    authority.stop();
  }
}

/** As long as names of the field are, and different in every run. */
function randomName(at: number): string {
  const label = Math.random().toString(36).slice(2, 12);
  return `${label}-${at}.${at % 97}.services.bench.example`;
}
