/** The page of `npm run bench -- operator`, written from the kept samples. */
import type { Step } from '../test/cluster/large-cluster.ts';
import { ResultsPage } from './page.ts';
import type { Circumstances } from './sample.ts';

export interface OperatorSamples {
  circumstances: Circumstances;
  writesPerSecond: number;
  steps: Step[];
}

const titles: Readonly<Record<string, string>> = {
  start: 'An operator starts, and takes up the nodes that are new',
  change: 'A profile is edited',
  handover: 'The operator is told to end, and one that stood by acts',
  outage: 'The API server is killed and started anew',
  rest: 'Nothing happens but heartbeats',
};

export const operatorResults = new ResultsPage<OperatorSamples>('operator', report);

function report({ circumstances: taken, writesPerSecond, steps }: OperatorSamples): string {
  return [
    '# What an operator costs',
    '',
    'Written by `npm run bench -- operator`; not to be edited. Every reading is in `bench/samples/operator/`.',
    '',
    'Real etcd, kube-apiserver and operator on one machine, which they share with the programs that play the kubelets and the agents. Nodes',
    'are as large as real ones, with their heartbeats. Of a hundred agents about 90 are steady; the others are slow, lie about what they have',
    'applied, stop serving for a moment, or are away for good. A profile has 50 blocked domains and 20 hosts; an edit goes to one node, and',
    `then to the others in batches of 10 %. The operator may write ${writesPerSecond} times a second (\`--kube-api-qps\`). CPU is that of its whole`,
    'process. Planning is the part of it in which the operator decides: it selects, renders, rolls out, compares that with what stands on',
    'the nodes, and judges how profiles fare; processor time of its thread (`localdns_operator_planning_cpu_seconds_total`). The rest is what',
    'it takes to talk to the API server: a request and its answer for each write, and every word of every agent, which comes with the whole',
    'configuration of its node. Memory is VmRSS, the highest of a reading each 250 ms, with the options of the chart and the heap that Node',
    'allows itself below the memory limit of the chart (192 MiB). Of writes those of `LocalDnsNode` objects, and the most',
    'that one of them was written; those that the API server refused stand apart, and the Lease is left out. After an API server that was',
    'killed the time ends when the operator follows everything again and from then on asks, looks and computes nothing for 3 s. Goals for 5,000 nodes: an edit is',
    'planned and rendered in less than 5 s of CPU, memory at most 300 MiB, each node written once.',
    '',
    ...Object.entries(titles).flatMap(([name, title]) =>
      section(
        title,
        steps.filter((step) => step.name === name),
      ),
    ),
    `Commit ${taken.commit}; Node ${taken.node}; ${taken.machine}, load ${taken.load}; ${taken.takenAt.slice(0, 10)}.`,
    '',
  ].join('\n');
}

function section(title: string, steps: readonly Step[]): string[] {
  return [
    `## ${title}`,
    '',
    '| nodes | time | CPU | of it planning | memory | lists | writes of nodes | most of one | all other writes | refused | most in a second |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
    ...steps.map(row),
    '',
  ];
}

function row({ nodes, seconds, cpuSeconds, plans, planSeconds, memory, lists, ...step }: Step): string {
  const entries = Object.entries(step.writes);
  const sum = (of: readonly (readonly [string, number])[]): number => of.reduce((all, [, count]) => all + count, 0);
  const refused = entries.filter(([what]) => what.includes(': '));
  const ofNodes = step.writes['patch localdnsnodes'] ?? 0;
  return `| ${[
    nodes.toLocaleString('en'),
    `${seconds.toFixed(1)} s`,
    `${cpuSeconds.toFixed(2)} s`,
    `${planSeconds.toFixed(2)} s in ${plans} looks`,
    memory.length === 0 ? '-' : `${Math.max(...memory).toFixed(0)} MiB`,
    lists,
    ofNodes,
    step.mostPerObject['patch localdnsnodes'] ?? 0,
    sum(entries) - sum(refused) - ofNodes,
    sum(refused),
    Math.max(0, ...step.writesPerSecond),
  ].join(' | ')} |`;
}
