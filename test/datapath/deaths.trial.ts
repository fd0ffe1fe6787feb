/** The agent dies, hangs, and is replaced, while three pods ask at both kinds of address over both transports. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import { MemoryLimit } from './memory-limit.ts';
import {
  connectionsSurvive,
  fast,
  fastAfter,
  type Goal,
  lostOnlyBetween,
  lostOnlyWhatWasHeld,
  type Moments,
  nothingLost,
  Results,
  rightAnswers,
  underLoad,
  untracked,
} from './ordeal.ts';
import { bothKinds, bothKindsAndFamilies, ServedLab } from './served-lab.ts';
import { cachedNames } from './traffic.ts';

let served: ServedLab;
const results = new Results();
/** How long interception may go on after an agent hangs: `alive` times out after 1.5 s. */
const lapsedMs = 1_600;

before(async () => {
  const startedAt = performance.now();
  served = await ServedLab.start('nftables');
  console.log(`served after ${Math.round(performance.now() - startedAt)} ms`);
});

after(async () => {
  results.print();
  await served?.stop();
});

afterEach(async (context) => {
  if ('passed' in context && !context.passed) console.log(served?.lastWords);
});

/** Whatever the test before has left: an agent serves. */
async function serving(): Promise<void> {
  if (!served.agent.isRunning) served.startAgent();
  await served.untilIntercepted();
}

async function ordeal(
  event: string,
  goals: readonly Goal[],
  deed: () => Promise<Moments>,
  options: { afterMs?: number; servers?: readonly string[]; names?: readonly string[] } = {},
): Promise<void> {
  await serving();
  const load = { from: served.lab.pods, servers: bothKinds, ...options };
  const outcome = await underLoad(served.lab, load, deed);
  assert.ok(outcome.sent > 900, `three pods ask 320 times a second each, not ${outcome.sent} in all`);
  assert.deepEqual(results.note(event, served.kubeProxy.mode, outcome, goals), []);
}

async function kill(): Promise<Moments> {
  const atMs = Date.now();
  await served.agent.kill();
  return { atMs, untilMs: Date.now() };
}

test('nothing happens', () =>
  ordeal('nothing', [nothingLost, fast, untracked, connectionsSurvive, rightAnswers], async () => {
    const atMs = Date.now();
    await pause(1_000);
    return { atMs };
  }));

const afterDeath = [lostOnlyWhatWasHeld, fast, untracked, rightAnswers];

test('kill -9', () => ordeal('kill -9', afterDeath, kill));

test('kill -9, in both families', () =>
  ordeal('kill -9, IPv4 and IPv6', afterDeath, kill, { servers: bothKindsAndFamilies }));

test('SIGSTOP for five seconds, then SIGCONT', () => {
  const goals = [
    lostOnlyBetween(`lost only what was sent before ${lapsedMs} ms`, -100, () => lapsedMs),
    fastAfter(lapsedMs),
    untracked,
    rightAnswers,
  ];
  return ordeal('SIGSTOP for 5 s', goals, async () => {
    const atMs = Date.now();
    served.agent.signal('SIGSTOP');
    await pause(5_000);
    served.agent.signal('SIGCONT');
    return { atMs };
  });
});

test('memory runs out', async () => {
  await served.agent.stop();
  served.startAgent();
  const limit = MemoryLimit.of(served.agent.pid);
  await serving();
  try {
    await ordeal('OOM kill', afterDeath, async () => {
      const hog = limit.runOut(served.agent.pid, served.lab.node);
      // The kernel says only afterwards whom it has killed, and when is not told: the process is seen to be gone.
      await eventually('the kernel has killed the agent', 5_000, () => !served.agent.isRunning);
      const untilMs = Date.now();
      hog.stop();
      assert.equal(served.agent.ending, 'SIGKILL');
      return { atMs: untilMs - 60, untilMs };
    });
  } finally {
    await limit.remove();
  }
});

test('an upgrade: a second agent takes over, and the first is told to end', async () => {
  await ordeal('hand-over', [nothingLost, fast, untracked, rightAnswers], async () => {
    const atMs = Date.now();
    const first = served.agent;
    served.startAgent({ name: 'agent-n1-successor' });
    await eventually('the second agent serves', 15_000, () => /"msg":"serving"/.test(served.agent.log));
    assert.equal(await first.stop(), 0, first.lastWords);
    return { atMs };
  });
  await served.untilIntercepted();
});

test('a crash in the middle of a hand-over: the old agent dies as soon as the new one serves', async () => {
  await ordeal('hand-over, old agent killed', [lostOnlyWhatWasHeld, fast, untracked, rightAnswers], async () => {
    const first = served.agent;
    served.startAgent({ name: 'agent-n1-again' });
    await eventually('the new agent serves', 15_000, () => /"msg":"serving"/.test(served.agent.log));
    const atMs = Date.now();
    await first.kill();
    return { atMs, untilMs: Date.now() };
  });
  await served.untilIntercepted();
});

test('a crash in the middle of a hand-over: the new agent dies as soon as it serves', async () => {
  const first = served.agent;
  await ordeal('hand-over, new agent killed', [lostOnlyWhatWasHeld, fast, untracked, rightAnswers], async () => {
    served.startAgent({ name: 'agent-n1-stillborn' });
    await eventually('the new agent serves', 15_000, () => /"msg":"serving"/.test(served.agent.log));
    const moments = await kill();
    served.agent = first;
    return moments;
  });
  served.agent = first;
  await served.untilIntercepted(first);
});

test('kill -9, and a new agent a moment later', () =>
  ordeal(
    'kill -9, restarted at once',
    afterDeath,
    async () => {
      const moments = await kill();
      served.startAgent();
      await served.untilIntercepted();
      return moments;
    },
    { names: cachedNames },
  ));
