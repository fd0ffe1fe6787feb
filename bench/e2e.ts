/**
 * `npm run bench -- e2e`: the proofs on real nodes, each with what it cost the pods that asked meanwhile. Needs what the e2e tier needs,
 * and takes about a quarter of an hour.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Fact, Row } from '../test/datapath/results.ts';
import type { Totals } from '../test/tools/reporter.ts';
import { e2eResults } from './e2e-results.ts';
import { circumstances } from './sample.ts';

export const e2eBench = 'e2e';

/** The tests themselves are the measurement; one that misses its goal leaves its row too, and the page names it. */
export async function benchE2e(say: (line: string) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'localdns-bench-'));
  try {
    const path = join(folder, 'rows');
    writeFileSync(path, '');
    const outcome = join(folder, 'outcome');
    const env = { ...process.env, LOCALDNS_DATAPATH_ROWS: path, LOCALDNS_TEST_OUTCOME: outcome };
    const { status } = spawnSync(process.execPath, [join(import.meta.dirname, '../test/run.ts'), e2eBench], {
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const lines = readFileSync(path, 'utf8').split('\n');
    const noted = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Fact | Row);
    e2eResults.write({
      circumstances: circumstances(new Date()),
      outcome: existsSync(outcome) ? (JSON.parse(readFileSync(outcome, 'utf8')) as Totals) : null,
      rows: noted.filter((one) => 'event' in one),
      facts: noted.filter((one) => 'what' in one),
    });
    say(`bench/results-e2e.md is written${status === 0 ? '' : ', though a test failed'}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
