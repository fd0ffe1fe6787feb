/**
 * Runs inside a network namespace: one agent's serving side, which answers `CH TXT id.server` with its name. Several of them
 * hold sockets on the same addresses. One call a message; its answer carries the same number.
 */
import { randomBytes } from 'node:crypto';
import { Builder } from '../../agent/build.ts';
import { ResponseCache } from '../../agent/cache/response-cache.ts';
import { systemClock } from '../../agent/clock.ts';
import { Swap } from '../../agent/config/swap.ts';
import { Heartbeat } from '../../agent/datapath/heartbeat.ts';
import { exchange, loopbackTransport, networkTransport } from '../../agent/forward/transport.ts';
import { Tallies } from '../../agent/tallies.ts';
import type { NodeConfig, ServerBlockConfig } from '../../api/v1alpha1/node-config.ts';

const [name = '', interceptMark = '0'] = process.argv.slice(2);
const clock = systemClock;
const startKey = randomBytes(32);
const tallies = new Tallies(() => {});
const transport = networkTransport(clock);
const builder = new Builder(name, new ResponseCache(1 << 20), transport, clock, tallies, Math.random, startKey);
const log = {
  query: () => true,
  failure: () => {},
  exceptionOfSearchPath: () => {},
  privateAnswer: () => {},
  exception: (error: unknown) => console.error(error),
};
const openTransport = () => loopbackTransport(clock, Number(interceptMark));
const swap = new Swap(builder, clock, transport, tallies, log, { startKey, openTransport });

const heartbeat = new Heartbeat(startKey, Number(interceptMark));
const answerMs = 450;

const rootBlock: ServerBlockConfig = {
  zone: '.',
  queryLogging: 'Error',
  protocol: 'PreferUDP',
  forwardDestination: 'VnetDNS',
  forwardPolicy: 'Sequential',
  maxConcurrent: 0,
  cacheDurationInSeconds: 3600,
  negativeCacheDurationInSeconds: 60,
  serveStaleDurationInSeconds: 3600,
  serveStale: 'Disable',
};

const duties = {
  /** The sentence is the reason why it is not open. */
  async open(addresses: string[]): Promise<string | undefined> {
    const config: NodeConfig = {
      formatVersion: 1,
      clusterDomain: 'cluster.local',
      clusterDNS: { namespace: '', service: '', addresses: [] },
      listeners: [{ name: 'node', addresses, intercept: true, tracked: false, serverBlocks: [rootBlock] }],
      upstreams: [],
    };
    const listen = { node: addresses.map((address) => ({ address, port: 53, transparent: true })) };
    try {
      await swap.apply({ config, listen, destinations: { clusterDns: [], nodeDns: [] } });
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  },
  /** The sentence is the reason why what comes to the addresses is not led here. */
  lead: (again: boolean) => (again ? swap.steer(true) : swap.querySelf()),
  listening: async () => swap.listening,
  pulses: async (addresses: string[]) => [...(await heartbeat.ask(addresses, answerMs)).values()],
  close: () => swap.close(),
  /** What of our own leaves with a mark. */
  async ask({ mark, overTcp, address }: { mark: number; overTcp: boolean; address: string }): Promise<void> {
    const marked = networkTransport(clock, mark);
    await exchange(marked, { address, port: 53 }, overTcp, Buffer.alloc(28), 100).catch(() => {});
    marked.close();
  },
};

export type HolderDuties = typeof duties;

process.on('message', ({ number, duty, argument }: { number: number; duty: keyof HolderDuties; argument: never }) => {
  void duties[duty](argument).then((result: unknown) => process.send?.({ number, result }));
});
process.on('disconnect', () => process.exit());
