import { AgentProcess, bundle, type Variant, variants } from './agent-process.ts';
import { Authority } from './authority.ts';
import { DnsClient } from './dns-client.ts';
import type { Bench, Series } from './sample.ts';

const runs = 10;

export const start: Bench = {
  name: 'start',
  title: 'Cold start',
  method:
    'From the start of the process to the first answer over UDP, for a cluster name that the agent fetches over TCP from an authority on loopback. A client asks every 2 ms from the start on. Bundled as in the image, with what is compiled ahead. Files are in the page cache.',
  async run(say) {
    bundle();
    const series: Series[] = [];
    for (const variant of Object.keys(variants) as Variant[]) {
      const readings: number[] = [];
      // The first one only fills the page cache.
      for (let run = 0; run <= runs; run++) {
        const elapsedMs = await firstAnswerMs(variant);
        if (run > 0) readings.push(Math.round(elapsedMs * 10) / 10);
        say(`${variant}: ${elapsedMs.toFixed(0)} ms`);
      }
      series.push({ variant, quantity: 'first answer', unit: 'ms', readings });
    }
    return series;
  },
};

async function firstAnswerMs(variant: Variant): Promise<number> {
  const authority = await Authority.start();
  const agent = await AgentProcess.start(variant, authority.address);
  const client = new DnsClient(agent.port);
  try {
    const ended = agent.serving().then(() => new Promise<never>(() => {}));
    // SERVFAIL and REFUSED are answers too, but not the one that a person waits for.
    const answered = client.ask('kubernetes.default.svc.cluster.local', { repeatMs: 2, limitMs: 30_000 });
    const rcode = await Promise.race([answered, ended]);
    const elapsedMs = performance.now() - agent.startedAtMs;
    if (rcode !== 'NOERROR') throw new Error(`the first answer was ${rcode}`);
    return elapsedMs;
  } finally {
    client.close();
    await agent.stop();
    authority.stop();
  }
}
