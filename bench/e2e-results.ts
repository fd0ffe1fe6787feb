/** The page of `npm run bench -- e2e`, written from the kept samples, and the figures in docs/how-it-fails.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Fact, Row } from '../test/datapath/results.ts';
import type { Totals } from '../test/tools/reporter.ts';
import { eventsTable } from './datapath-results.ts';
import { ResultsPage } from './page.ts';
import type { Circumstances } from './sample.ts';

export interface Samples {
  circumstances: Circumstances;
  rows: Row[];
  facts: Fact[];
  /** Null where the run was cut off before it had counted. */
  outcome: Totals | null;
}

const guide = resolve(import.meta.dirname, '../docs/how-it-fails.md');
const marked = /(<!-- figures: [^\n]* -->\n).*?(<!-- end of figures -->)/s;

export const e2eResults = new ResultsPage<Samples>('e2e', report);

function report(samples: Samples): string {
  const text = readFileSync(guide, 'utf8');
  writeFileSync(
    guide,
    text.replace(marked, (_, begin, end) => `${begin}${figures(samples)}${end}`),
  );
  return page(samples);
}

/** What people ask first: how many queries an event costs, and how long one may take. */
export function figures({ circumstances: taken, rows, facts, outcome }: Samples): string {
  return [
    '',
    '| event | kube-proxy | queries | lost | slowest answer |',
    '|---|---|---|---|---|',
    ...rows.map(({ event, proxy, sent, lost, worstMs }) => {
      return `| ${event} | ${proxy} | ${sent} | ${lost} | ${worstMs.toFixed(0)} ms |`;
    }),
    '',
    '| | kube-proxy | |',
    '|---|---|---|',
    ...facts.map(({ what, proxy, value }) => `| ${what} | ${proxy} | ${value} |`),
    '',
    outcomeWords(outcome),
    '',
    `${taken.machine}; commit ${taken.commit}, ${taken.takenAt.slice(0, 10)}.`,
    '',
  ].join('\n');
}

/** Of the facts that end with a profile that is Programmed. */
const soak =
  'Until a profile is Programmed: with `rollout.canary.soakSeconds: 1`. By default it is 60, and takes a minute more.';

/** A figure is worth less where the test that took it has failed: whoever reads it has to know. */
export function outcomeWords(outcome: Totals | null): string {
  if (outcome === null) return 'The run was cut off: tests that are not here did not come to their turn.';
  const { passed, failed, skipped, failures } = outcome;
  const counted = `Of the tests that took this ${passed} passed, ${failed} failed and ${skipped} did not run.`;
  if (failed === 0) return counted;
  const named = failures.length === 0 ? 'one without a name' : failures.map((name) => `“${name}”`).join(', ');
  return `${counted} Failed: ${named}.`;
}

export function page({ circumstances: taken, rows, facts, outcome }: Samples): string {
  return [
    '# What an event costs the pods of a real node',
    '',
    'Written by `npm run bench -- e2e`; not to be edited. Every lost and slow query is in `bench/samples/e2e/`.',
    '',
    'A cluster of two nodes with containerd, kubelet and kube-proxy, on two processors together with all else; LocalDNS installed by its',
    'chart, with the image of its Dockerfile; CoreDNS as pods. Two pods of one node ask 320 times a second each, over UDP and TCP, at the',
    'cluster DNS Service address, and where an agent serves at its link-local address. The load is open-loop: each query is sent when its',
    'time has come, once, and waits 2 s for its answer. Times are in milliseconds after the event, which lasts until the node is served',
    'again; `past the node` is the slowest answer to a client that asks a resolver outside: what the machine itself did meanwhile.',
    '',
    ...eventsTable(rows),
    '',
    '| what | kube-proxy | took |',
    '|---|---|---|',
    ...facts.map(({ what, proxy, value }) => `| ${what} | ${proxy} | ${value} |`),
    '',
    soak,
    '',
    outcomeWords(outcome),
    '',
    `Commit ${taken.commit}; Node ${taken.node}; ${taken.machine}, load ${taken.load}; ${taken.takenAt.slice(0, 10)}.`,
    '',
  ].join('\n');
}
