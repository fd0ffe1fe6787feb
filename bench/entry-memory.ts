import { setTimeout as delay } from 'node:timers/promises';
import { startEveryName } from '../test/peers/coredns.ts';
import type { Program } from '../test/peers/program.ts';
import { RunFolder } from '../test/tools/run-folder.ts';
import { bundle } from './agent-process.ts';
import { startContenders } from './contenders.ts';
import { Load, newNames } from './dnsperf.ts';
import type { Bench, Series } from './sample.ts';

const runs = 2;
const few = 20_000;
const many = 80_000;
/** By then an agent has given back to the kernel what it does not use. */
const settleMs = 35_000;
const servers = ['LocalDNS', 'unbound', 'dnsmasq'];

export const entryMemory: Bench = {
  name: 'entry-memory',
  title: 'Memory of one cached name',
  method: `Resident memory of a server with room for ${many.toLocaleString('en')} names that were asked for once, less that of one with room for ${few.toLocaleString('en')}, by the difference; ${settleMs / 1000} s after the last question. Each name has one address, and some 40 octets.`,
  async run(say) {
    bundle();
    const readings = new Map<string, number[]>();
    for (let run = 1; run <= runs; run += 1) {
      const [small, large] = [await residentWith(few), await residentWith(many)];
      for (const [server, mebibytes] of large) {
        const octets = ((mebibytes - (small.get(server) ?? Number.NaN)) * 2 ** 20) / (many - few);
        say(`${server}: ${octets.toFixed(0)} octets a name`);
        readings.set(server, [...(readings.get(server) ?? []), Math.round(octets)]);
      }
    }
    return [...readings].map(
      ([variant, values]): Series => ({ variant, quantity: 'of one name', unit: 'octets', readings: values }),
    );
  },
};

async function residentWith(names: number): Promise<Map<string, number>> {
  const folder = new RunFolder('bench');
  const running = new Map<string, Program>();
  try {
    const upstream = await startEveryName(folder);
    await startContenders(folder, upstream.port, running, { wanted: servers, room: names });
    const file = newNames(folder, names);
    for (const [server, { port }] of running) {
      const { answered } = await new Load(folder, port, file, ['-q', '50']).ended();
      if (answered < names * 0.999) throw new Error(`${server} answered ${answered} of ${names}`);
    }
    await delay(settleMs);
    await upstream.stop();
    return new Map([...running].map(([server, program]) => [server, program.residentMebibytes()]));
  } finally {
    for (const program of running.values()) await program.stop();
    await folder.remove();
  }
}
