/** The agent of a real node dies or hangs, in whatever way, while pods ask. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { before, beforeEach, test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import {
  heldMs,
  lapsedMs,
  lostOnlyAtTheEnd,
  lostOnlyBetween,
  lostOnlyWhatTheDyingHeld,
  rightAnswers,
  untracked,
} from '../datapath/goals.ts';
import { MemoryLimit } from '../datapath/memory-limit.ts';
import type { Moments } from '../datapath/ordeal.ts';
import { eventually } from '../tools/eventually.ts';
import { inEachMode, isSmall } from './proof.ts';
import { system } from './served-cluster.ts';

const againMs = 60_000;
const crashLoopMs = isSmall ? 20_000 : 60_000;

inEachMode((proof) => {
  before(() => proof.served.serve());
  beforeEach(() => proof.freshAgent());

  /** What one death costs, whoever brought it about. */
  const dies = async (event: string, deed: () => Promise<Moments>) => {
    const deaths: Moments[] = [];
    await proof.ordeal(event, [lostOnlyWhatTheDyingHeld(deaths), rightAnswers], async () => {
      const moments = await deed();
      deaths.push(moments);
      await servesAgain(event, moments);
      return moments;
    });
  };

  const servesAgain = async (event: string, { untilMs = 0 }: Moments) => {
    await proof.served.untilServed();
    proof.fact(`${event}: an agent answers again after`, `${((Date.now() - untilMs) / 1_000).toFixed(1)} s`);
  };

  const isServed = async () => {
    const [client] = proof.served.clients;
    return client !== undefined && (await proof.served.isServed(client));
  };

  test('kill -9', async () => {
    await dies('kill -9', () => proof.kill(proof.agent()));
  });

  test('SIGSTOP for five seconds', async () => {
    const { pid } = proof.agent();
    // What the agent held when it stopped had been sent before.
    const lostOnlyUntilLapsed = lostOnlyBetween(`lost only before ${lapsedMs} ms`, -heldMs, () => lapsedMs);
    const goals = [lostOnlyUntilLapsed, untracked, rightAnswers];
    await proof.ordeal('SIGSTOP for 5 s', goals, async () => {
      const atMs = Date.now();
      await proof.served.servedNode.run('kill', ['-STOP', String(pid)]);
      await pause(5_000);
      await proof.served.servedNode.run('kill', ['-CONT', String(pid)]);
      await proof.served.untilServed();
      return { atMs };
    });
  });

  test('the memory limit of its container is hit', async () => {
    const { servedNode } = proof.served;
    const agent = proof.agent();
    const limit = MemoryLimit.around(servedNode.process(agent.pid));
    await dies('OOM kill', async () => {
      const atMs = Date.now();
      await limit.runOut(limit.first(), servedNode.network);
      await eventually('it is gone', 5_000, () => !existsSync(servedNode.process(agent.pid)));
      return { atMs, untilMs: Date.now() };
    });
  });

  test('kubectl delete pod --force', async () => {
    const { pod, pid } = proof.agent();
    const { served } = proof;
    await proof.ordeal('kubectl delete pod --force', [lostOnlyAtTheEnd, rightAnswers], async () => {
      const atMs = Date.now();
      await served.cluster.control.kubectlOk('-n', system, 'delete', 'pod', pod, '--force', '--grace-period=0');
      await eventually('it is gone', againMs, () => !existsSync(served.servedNode.process(pid)));
      const untilMs = Date.now();
      await eventually('another one runs', againMs, () => served.agents().some((agent) => agent.pod !== pod));
      await servesAgain('kubectl delete pod --force', { atMs, untilMs });
      return { atMs, untilMs };
    });
  });

  test('it crashes again and again', async () => {
    const deaths: Moments[] = [];
    const event = `crash loop of ${crashLoopMs / 1_000} s`;
    await proof.ordeal(event, [lostOnlyWhatTheDyingHeld(deaths), rightAnswers], async () => {
      const atMs = Date.now();
      while (Date.now() < atMs + crashLoopMs) {
        const [agent] = proof.served.agents();
        // As soon as it has its sockets, which is when its end can cost something.
        if (agent !== undefined && (await isServed())) deaths.push(await proof.kill(agent));
        else await pause(50);
      }
      return { atMs };
    });
    assert.ok(deaths.length > 1, `${deaths.length} deaths`);
    proof.fact(`${event}: deaths`, String(deaths.length));
    await proof.served.replaceAgent();
  });
});
