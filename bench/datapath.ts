/**
 * `npm run bench -- datapath`: what each event costs the queries of three pods, in a lab of network namespaces with the real
 * kube-proxy and CoreDNS, and what the packet rules cost other traffic. Needs root and what `npm run tools` builds.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyingCost, type CostRound, forwardingCost } from '../test/datapath/forwarding-cost.ts';
import { Lab } from '../test/datapath/lab.ts';
import type { Row } from '../test/datapath/results.ts';
import { datapathResults } from './datapath-results.ts';
import { circumstances } from './sample.ts';

/** In both modes of kube-proxy they take seven minutes. */
const eventRounds = 1;
const costRounds = 100;
const applyRounds = 20;
const files = ['deaths', 'hand-over', 'withdrawal', 'world', 'hostile', 'removal', 'node-processes'];
const tests = join(import.meta.dirname, '../test');

export const datapathBench = 'datapath';

export async function benchDatapath(say: (line: string) => void): Promise<void> {
  const rounds: Row[][] = [];
  for (let round = 1; round <= eventRounds; round++) {
    const rows = files.flatMap((file) => rowsOf(file, say));
    say(
      `round ${round}: ${rows.length} events, ${rows.filter(({ failures }) => failures.length > 0).length} missed a goal`,
    );
    rounds.push(rows);
  }
  const lab = await Lab.start('nftables');
  let cost: CostRound[];
  let applyMs: number[];
  try {
    cost = await forwardingCost(lab, costRounds);
    applyMs = applyingCost(lab, applyRounds);
  } finally {
    await lab.stop();
  }
  const taken = { circumstances: circumstances(new Date()), rounds, cost, applyMs };
  datapathResults.write(taken);
  say('bench/results-datapath.md is written');
}

/** The tests themselves are the measurement; one that misses its goal leaves its row too. */
function rowsOf(file: string, say: (line: string) => void): Row[] {
  const folder = mkdtempSync(join(tmpdir(), 'localdns-bench-'));
  const path = join(folder, 'rows');
  writeFileSync(path, '');
  const env = { ...process.env, LOCALDNS_DATAPATH_ROWS: path };
  const args = [join(tests, 'run.ts'), '--nightly', join(tests, `datapath/${file}.test.ts`)];
  const { status } = spawnSync(process.execPath, args, { env, stdio: 'ignore' });
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  rmSync(folder, { recursive: true });
  if (status !== 0) say(`${file}: a test failed`);
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Row);
}
