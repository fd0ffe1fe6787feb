/**
 * `npm run bench -- pools`: a real CoreDNS under the TCP connections of 5,000 nodes, each with the agent's own pool. Needs what
 * `npm run tools` builds.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../agent/clock.ts';
import { byRendezvous } from '../agent/forward/rendezvous.ts';
import { TcpPools } from '../agent/forward/tcp-pool.ts';
import { promised } from '../agent/forward/transport.ts';
import { nameFromText } from '../agent/wire/name.ts';
import { writeOwnQuery } from '../agent/wire/upstream-query.ts';
import { CoreDns } from './coredns.ts';
import { type Load, type Phase, poolsResults, type Spread } from './pools-results.ts';
import { circumstances } from './sample.ts';

export const poolsBench = 'pools';

const port = 5399;
const address = '127.0.0.1';
const nodeCount = 5_000;
/** Each node asks once in five seconds, so that its connection stays open: it would close after six. */
const perSecond = 1_000;
const measureMs = 10_000;
const settleMs = 2_000;
const timeoutMs = 2_000;
const slowRuns = 5;
const fastPerRun = 1_000;
const zones = {
  '.': 'template IN A {\n    answer "{{ .Name }} 60 IN A 192.0.2.1"\n  }',
  'slow.test': 'erratic {\n    drop 0\n    delay 1 1s\n  }',
};

/** A node's connections to cluster DNS. */
class SimulatedNode {
  readonly #pools = new TcpPools(systemClock);
  readonly #number: number;
  #asked = 0;

  constructor(number: number) {
    this.#number = number;
  }

  /** How long the answer took. */
  async ask(zone = 'bench.test'): Promise<number> {
    this.#asked += 1;
    const sinceMs = performance.now();
    const asked = question(`q${this.#asked}.n${this.#number}.${zone}`);
    await promised((asker) => this.#pools.ask({ address, port }, asked, timeoutMs, asker));
    return performance.now() - sinceMs;
  }

  close(): void {
    this.#pools.close();
  }
}

function question(text: string): Buffer {
  const name = Buffer.from(nameFromText(text), 'latin1');
  return writeOwnQuery(Buffer.concat([name, Buffer.from([0, 1, 0, 1])]));
}

export async function benchPools(say: (line: string) => void): Promise<void> {
  const one = new SimulatedNode(0);
  const server = await CoreDns.start(port, zones, () => one.ask().then(() => true));
  const phases: Phase[] = [];
  const note = (phase: Phase) => {
    phases.push(phase);
    say(`${phase.name}: ${phase.connections} connections, ${phase.memory.toFixed(1)} MiB`);
  };
  const still = (name: string): Phase => ({
    name,
    connections: server.connections,
    memory: server.memory,
    latenciesMs: [],
    pauseMs: 0,
    processorMs: undefined,
  });
  const nodes = Array.from({ length: nodeCount }, (_, number) => new SimulatedNode(number + 1));
  try {
    await load([one], perSecond, settleMs);
    note({ ...(await measured(server, [one])), name: 'one node' });
    // The first query of each opens its connection.
    await load(nodes, perSecond, (nodeCount / perSecond) * 1_000);
    note({ ...(await measured(server, nodes)), name: '5,000 nodes, each with little to ask' });
    await secondConnections(nodes);
    note(still('5,000 nodes, each with a slow query out'));
    await delay(8_000);
    note(still('eight seconds later, without queries'));
    await delay(settleMs);
    const slow = await slowAmongFast(say);
    const taken = { circumstances: circumstances(new Date()), phases, slow, spreads: spreads() };
    poolsResults.write(taken);
    say('bench/results-pools.md is written');
  } finally {
    for (const node of [one, ...nodes]) node.close();
    await server.stop();
  }
}

/** Open loop: every query leaves when its time has come, the nodes by turns. */
async function load(nodes: readonly SimulatedNode[], rate: number, forMs: number): Promise<Load> {
  const startedAtMs = performance.now();
  let [awakeAtMs, pauseMs] = [startedAtMs, 0];
  const total = Math.round((rate * forMs) / 1_000);
  const answers: Promise<number>[] = [];
  while (answers.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAtMs) / 1_000) * rate) + 1);
    while (answers.length < due) {
      const node = nodes[answers.length % nodes.length];
      if (node !== undefined) answers.push(node.ask());
    }
    await delay(1);
    pauseMs = Math.max(pauseMs, performance.now() - awakeAtMs);
    awakeAtMs = performance.now();
  }
  const latenciesMs = (await Promise.all(answers)).map(hundredths);
  return { latenciesMs, pauseMs: hundredths(pauseMs) };
}

function hundredths(ms: number): number {
  return Math.round(ms * 100) / 100;
}

async function measured(server: CoreDns, nodes: readonly SimulatedNode[]): Promise<Omit<Phase, 'name'>> {
  const before = server.processorMs;
  const taken = await load(nodes, perSecond, measureMs);
  return {
    connections: server.connections,
    memory: server.memory,
    ...taken,
    processorMs: server.processorMs - before,
  };
}

/** While a slow query is out, the next one opens a second connection. */
async function secondConnections(nodes: readonly SimulatedNode[]): Promise<void> {
  const slow: Promise<unknown>[] = [];
  const fast: Promise<unknown>[] = [];
  // In groups, so that what is asked second is asked while the first is out.
  for (let at = 0; at < nodes.length; at += 500) {
    const group = nodes.slice(at, at + 500);
    slow.push(...group.map((node) => node.ask('slow.test').catch(() => {})));
    await delay(100);
    fast.push(...group.map((node) => node.ask()));
    await delay(100);
  }
  await Promise.all([...slow, ...fast]);
}

/** One answer of a second among a thousand fast ones, of one node and over a new pool each time. */
async function slowAmongFast(say: (line: string) => void): Promise<Load[]> {
  const runs: Load[] = [];
  for (let run = 0; run < slowRuns; run += 1) {
    const node = new SimulatedNode(nodeCount + 1 + run);
    await node.ask();
    const slow = node.ask('slow.test').catch(() => {});
    const fast = await load([node], 2_000, (fastPerRun / 2_000) * 1_000);
    await slow;
    node.close();
    runs.push(fast);
    say(`one slow answer among ${fastPerRun}: slowest ${Math.max(...fast.latenciesMs)} ms, paused ${fast.pauseMs} ms`);
  }
  return runs;
}

/** How many nodes ask each endpoint; not measured but counted. */
function spreads(): Spread[] {
  return [2, 3, 5, 10, 50].map((endpoints) => {
    const servers = Array.from({ length: endpoints }, (_, index) => `10.244.${index}.53:53`);
    const asked = { first: new Map<string, number>(), three: new Map<string, number>() };
    for (let node = 0; node < nodeCount; node += 1) {
      const order = byRendezvous(`node-${node}`, servers).slice(0, 3);
      for (const [place, server] of order.entries()) {
        asked.three.set(server, (asked.three.get(server) ?? 0) + 1);
        if (place === 0) asked.first.set(server, (asked.first.get(server) ?? 0) + 1);
      }
    }
    return { endpoints, first: [...asked.first.values()], three: [...asked.three.values()] };
  });
}
