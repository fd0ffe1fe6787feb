/** The agent is replaced, while three pods ask at both kinds of address over both transports. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import {
  connectionsSurvive,
  fast,
  lostOnlyCrossing,
  lostOnlyWhatWasHeld,
  nothingLost,
  rightAnswers,
  untracked,
} from './goals.ts';
import { nodeName } from './lab.ts';
import { OtherVersion } from './other-version.ts';
import { bothKindsAndFamilies } from './served-lab.ts';
import { inEachMode, nightly } from './trial.ts';

const steady = [nothingLost, fast, untracked, rightAnswers];
const afterDeath = [lostOnlyWhatWasHeld, fast, untracked, rightAnswers];

const otherNames = [
  ...['--nft-table=node-dns', '--mark-intercept=0x100', '--mark-own=0x200', '--mark-gate=0x400'],
  ...['--route-table=1153', '--rule-priority=5'],
];

inEachMode((trial) => {
  let successors = 0;

  beforeEach(() => trial.serving());

  const startSuccessor = async (isThere = /"msg":"serving"/) => {
    trial.served.startAgent({ name: `agent-n1-successor-${++successors}` });
    await eventually('the second agent is there', 15_000, () => isThere.test(trial.agent.log));
  };

  test('an upgrade: a second agent takes over, and the first is told to end', async () => {
    const first = trial.agent;
    await trial.ordeal(
      'hand-over',
      steady,
      async () => {
        await startSuccessor();
        assert.equal(await first.stop(), 0, first.lastWords);
        return undefined;
      },
      { servers: bothKindsAndFamilies },
    );
    await trial.served.untilIntercepted();
  });

  test('an upgrade to other names in the kernel and back: the second agent changes them once the first has ended', async () => {
    for (const [event, args, table] of [
      ['other names', otherNames, 'node-dns'],
      ['back to the usual names', [], 'localdns'],
    ] as const) {
      const first = trial.agent;
      await trial.ordeal(
        `hand-over, ${event}`,
        [lostOnlyCrossing, fast, untracked, rightAnswers],
        async () => {
          trial.served.startAgent({ name: `agent-n1-successor-${++successors}`, args });
          await eventually('the second agent is there', 15_000, () => /"msg":"serving"/.test(trial.agent.log));
          assert.equal(await first.stop(), 0, first.lastWords);
          await eventually('one name alone', 10_000, async () => (await tableNames()).join() === table);
          return undefined;
        },
        { servers: bothKindsAndFamilies },
      );
      await trial.served.untilIntercepted();
      assert.doesNotMatch(trial.agent.log, /LoopFound|Dropped|Taken/);
    }
  });

  /** Of what outlives an agent. */
  const tableNames = async () => {
    const { stdout } = await trial.lab.node.run('nft', ['list', 'tables']);
    return [...new Set([...stdout.matchAll(/^table ip6? (localdns|node-dns)$/gm)].map(([, name]) => name))];
  };

  nightly('a crash in the middle of a hand-over: the old agent dies as soon as the new one serves', async () => {
    const first = trial.agent;
    await trial.ordeal('hand-over, old agent killed', afterDeath, async () => {
      await startSuccessor();
      const atMs = Date.now();
      await first.kill();
      return { atMs, untilMs: Date.now() };
    });
    await trial.served.untilIntercepted();
  });

  for (const [moment, isThere] of [
    ['before it serves', /"msg":"cluster DNS endpoints"/],
    ['as soon as it serves', /"msg":"serving"/],
  ] as const) {
    test(`a crash in the middle of a hand-over: the new agent dies ${moment}`, async () => {
      const first = trial.agent;
      try {
        await trial.ordeal(`hand-over, new agent killed ${moment}`, afterDeath, async () => {
          await startSuccessor(isThere);
          return await trial.kill();
        });
      } finally {
        trial.served.agent = first;
      }
      await trial.served.untilIntercepted();
    });
  }

  nightly('two agents by mistake: they serve together, and whichever ends, nothing is lost', async () => {
    const first = trial.agent;
    try {
      await trial.ordeal('two agents, the newer ends', steady, async () => {
        await startSuccessor();
        await pause(2_500);
        assert.equal(await trial.agent.stop(), 0, trial.agent.lastWords);
        return undefined;
      });
    } finally {
      trial.served.agent = first;
    }
    await trial.served.untilIntercepted();
    assert.equal(await trial.served.isIntercepting(), true);
  });

  nightly(
    'a downgrade: what the agent of another version hands over is not understood, and nothing is lost',
    async () => {
      await trial.servingAnew();
      const first = trial.agent;
      const other = await OtherVersion.insteadOf(trial.lab.localdns.stateFolder(nodeName));
      try {
        await trial.ordeal('downgrade', steady, async () => {
          await startSuccessor();
          assert.equal(await first.stop(), 0, first.lastWords);
          return undefined;
        });
        assert.ok(other.asked > 0, 'the snapshot was asked for');
        assert.match(trial.agent.log, /"msg":"cache snapshot not used"/);
      } finally {
        other.close();
      }
      await trial.served.untilIntercepted();
    },
  );

  nightly('connections that cluster DNS has when two agents start go on', async () => {
    await trial.agent.kill();
    const load = { servers: bothKindsAndFamilies, transports: ['tcp'] } as const;
    await trial.ordeal(
      'connections of cluster DNS at a hand-over',
      [nothingLost, connectionsSurvive],
      async () => {
        trial.served.startAgent();
        await trial.served.untilIntercepted();
        const first = trial.agent;
        await startSuccessor();
        await first.stop();
        return undefined;
      },
      load,
    );
  });
});
