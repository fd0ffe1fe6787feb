/** What the agent's tables cost the node for traffic that is none of theirs: processor time per forwarded small packet. */

import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { usualNames } from '../../agent/datapath/names.ts';
import { fallbackTable } from '../../agent/datapath/ruleset.ts';
import { clusterListeners, type Lab, nodeListeners, serviceAddresses } from './lab.ts';
import { addresses, nft } from './network.ts';
import { servingText } from './serving-text.ts';

/** One round: the same packets in each variant, nanoseconds of processor time for each. */
export interface CostRound {
  without: number;
  with: number;
  /** With one chain in which nothing stands, where the first of the tables' chains is: what cannot be had for less. */
  bare: number;
  /** Dropped where they enter the node: what sending costs, which is no part of forwarding. */
  sending: number;
}

const discardPort = '9';
const table = 'localdns-cost';
/** A tenth of a second: shorter than most of what else happens on a machine. */
const packets = 20_000;

const drop = (name: string, device: string) => `table netdev ${name} {
  chain arriving {
    type filter hook ingress device "${device}" priority 0;
    udp dport ${discardPort} drop
  }
}`;

const serving = {
  v4: [serviceAddresses.v4, clusterListeners.v4, nodeListeners.v4, addresses.nodeResolver.v4],
  dns: [addresses.nearDns.v4, addresses.farDns.v4],
};

/** The tables as an agent makes them; without an owner, since no agent runs. */
const tables = [
  servingText(4, table),
  `add element ip ${table} served { ${serving.v4.join(', ')} }\n`,
  `add element ip ${table} clusterdns { ${serving.dns.join(', ')} }\n`,
  fallbackTable(4, usualNames),
].join('');
const bareChain = 'table ip bare { chain prerouting { type filter hook prerouting priority raw; }; }';
const noTables = `delete table ip ${table}\ndelete table ip ${usualNames.table}\n`;

/** Rounds of the variants, in an order that changes from round to round. */
export async function forwardingCost(lab: Lab, rounds: number): Promise<CostRound[]> {
  const [pod] = lab.pods;
  if (pod === undefined) throw new Error('the lab has no pod');
  // What arrives at the other end is no part of the node's work.
  nft(lab.cluster.namespace, drop('sink', 'node'));
  const script = `${import.meta.dirname}/flood.ts`;
  const args = ['-c', '1', process.execPath, script, addresses.farDns.v4, discardPort];
  const flooder = pod.exec('taskset', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  if (flooder.stdin === null || flooder.stdout === null) throw new Error('the flooder has no streams');
  const lines = createInterface({ input: flooder.stdout });
  const flood = async (): Promise<number> => {
    flooder.stdin?.write(`${packets}\n`);
    const [line] = (await once(lines, 'line')) as [string];
    return (JSON.parse(line) as { cpu: number }).cpu;
  };
  const variants: Record<keyof CostRound, [string, string]> = {
    without: ['', ''],
    with: [tables, noTables],
    bare: [bareChain, 'delete table ip bare'],
    sending: [drop('floor', 'pod0'), 'delete table netdev floor'],
  };
  const order: (keyof CostRound)[] = ['without', 'with', 'bare', 'sending'];
  await flood();
  const measured: CostRound[] = [];
  for (let round = 0; round < rounds; round++) {
    const costs: CostRound = { without: 0, with: 0, bare: 0, sending: 0 };
    for (const variant of round % 2 === 0 ? order : order.toReversed()) {
      const [set, unset] = variants[variant];
      if (set !== '') nft(lab.node, set);
      costs[variant] = await flood();
      if (unset !== '') nft(lab.node, unset);
    }
    measured.push(costs);
  }
  lines.close();
  flooder.kill();
  nft(lab.cluster.namespace, 'delete table netdev sink');
  return measured;
}

/** Milliseconds that the tables of both families take to be applied, in one transaction by nft(8), its own start included. */
export function applyingCost(lab: Lab, rounds: number): number[] {
  const both = `${tables}${servingText(6, table)}${fallbackTable(6, usualNames)}`;
  const none = `${noTables}delete table ip6 ${table}\ndelete table ip6 ${usualNames.table}\n`;
  return Array.from({ length: rounds }, () => {
    const startedAt = performance.now();
    nft(lab.node, both);
    const ms = performance.now() - startedAt;
    nft(lab.node, none);
    return ms;
  });
}

export interface Interval {
  median: number;
  low: number;
  high: number;
}

/** By how many percent forwarding became dearer: the median of the rounds, with a 95 % interval by resampling them. */
export function dearer(
  rounds: readonly CostRound[],
  by: 'with' | 'bare' = 'with',
  random: () => number = Math.random,
): Interval {
  const forwarding = median(rounds.map((round) => round.without - round.sending));
  const percents = rounds.map((round) => (100 * (round[by] - round.without)) / forwarding);
  const resampled = Array.from({ length: 2_000 }, () =>
    median(percents.map(() => percents[Math.floor(random() * percents.length)] ?? 0)),
  ).sort((a, b) => a - b);
  return {
    median: median(percents),
    low: resampled[Math.floor(resampled.length * 0.025)] ?? Number.NaN,
    high: resampled[Math.floor(resampled.length * 0.975)] ?? Number.NaN,
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low = Number.NaN, high = Number.NaN] = [
    sorted[Math.floor((sorted.length - 1) / 2)],
    sorted[Math.ceil((sorted.length - 1) / 2)],
  ];
  return (low + high) / 2;
}
