/**
 * The same queries to unbound and to the agent, both in front of the same upstream server: where they differ, either we are wrong,
 * or the list of differences says why not.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { packetsOfRun, Random, seedOfRun } from '../fuzz/random.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { startAgent } from './agent.ts';
import { Asker } from './asker.ts';
import { type Difference, differences, fateOf, told } from './comparison.ts';
import { explanations } from './explanations.ts';
import type { Program } from './program.ts';
import { anyQuestion } from './questions.ts';
import { startAuthority, startForwarder } from './unbound.ts';
import { zones } from './zones.ts';

const queries = packetsOfRun(5_000, 60_000);
const atOnce = 48;

/** Bounds that do not get in the way: unbound has others. */
const block = {
  cacheDurationInSeconds: 86_400,
  negativeCacheDurationInSeconds: 3_600,
  serveStale: 'Disable',
  forwardDestination: 'ClusterCoreDNS',
};

let folder: RunFolder;
let programs: { authority: Program; unbound: Program; agent: Program };

before(async () => {
  folder = new RunFolder('peers');
  const authority = await startAuthority(folder, zones);
  const unbound = await startForwarder(folder, authority.port);
  const spec = { kubeDNSOverrides: { '.': block, 'cluster.local': { ...block, protocol: 'ForceTCP' } } };
  programs = { authority, unbound, agent: await startAgent(folder, authority.port, { spec }) };
});

after(() => folder?.remove());

test(`${queries} queries: unbound and the agent agree, or it is known why not`, async (t) => {
  const random = new Random(seedOfRun());
  t.diagnostic(`FUZZ_SEED=${random.seed}`);
  const [peer, ours] = await Promise.all([Asker.open(programs.unbound.port), Asker.open(programs.agent.port)]);
  const unexplained: Difference[] = [];
  const used = new Map<string, number>();
  let agreed = 0;
  let next = 0;
  const lane = async () => {
    while (next < queries) {
      const question = anyQuestion(random, next & 0xffff);
      next += 1;
      const ask = (asker: Asker) => asker.ask(question.packet, question.overTcp);
      const [theirs, own] = await Promise.all([ask(peer), ask(ours)]);
      const found = differences(question, fateOf(theirs), fateOf(own));
      if (found.length === 0) agreed += 1;
      for (const difference of found) {
        const known = explanations.find(({ explains }) => explains(difference));
        if (known === undefined) unexplained.push(difference);
        else used.set(known.because, (used.get(known.because) ?? 0) + 1);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: atOnce }, lane));
  } finally {
    peer.close();
    ours.close();
  }
  t.diagnostic(`${agreed} of ${queries} answers are the same`);
  for (const [because, count] of used) t.diagnostic(`${count} × ${because}`);
  assert.equal(unexplained.length, 0, unexplained.slice(0, 40).map(told).join('\n'));
  const idle = explanations.filter(({ because, isRare }) => !used.has(because) && !isRare);
  assert.deepEqual(
    idle.map(({ because }) => because),
    [],
    'differences that do not exist any more',
  );
});
