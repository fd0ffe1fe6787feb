/** The world around the agent changes, while three pods ask at both kinds of address over both transports. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { eventually } from '../tools/eventually.ts';
import {
  connectionsSurvive,
  fast,
  fastAfter,
  lapsedMs,
  lostOnlyUntilLapsed,
  nothingLost,
  rightAnswers,
  untracked,
} from './goals.ts';
import { addresses, nft } from './network.ts';
import { bothKindsAndFamilies } from './served-lab.ts';
import { inEachMode, nightly } from './trial.ts';

const steady = [nothingLost, fast, connectionsSurvive, untracked, rightAnswers];
const dualStack = { servers: bothKindsAndFamilies };

inEachMode((trial) => {
  test('the configuration changes', () =>
    trial.ordeal(
      'configuration change',
      steady,
      async () => {
        const old = (await trial.served.node())?.spec.revision;
        await trial.lab.applyProfile({ kubeDNSOverrides: { 'corp.example': { cacheDurationInSeconds: 5 } } });
        await eventually('the change is in force', 5_000, async () => {
          const { spec, status } = (await trial.served.node()) ?? {};
          return spec?.revision !== old && status?.appliedRevision === spec?.revision;
        });
        return undefined;
      },
      dualStack,
    ));

  test('an endpoint of cluster DNS comes or goes: elements of sets change, and no rule', async () => {
    const { lab } = trial;
    const monitor = lab.node.exec('nft', ['monitor'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const changes: string[] = [];
    monitor.stdout?.setEncoding('utf8').on('data', (text: string) => changes.push(...text.split('\n')));
    await trial.ordeal(
      'endpoint change',
      steady,
      async () => {
        await lab.publish(addresses.farDns);
        await eventually('the fallback leads to the other endpoint alone', 5_000, async () => {
          const { stdout } = await lab.node.run('nft', ['list', 'map', 'ip', 'localdns', 'cluster_backends']);
          return stdout.includes(addresses.farDns.v4) && !stdout.includes(addresses.nearDns.v4);
        });
        await lab.publish(addresses.nearDns, addresses.farDns);
        await pause(300);
      },
      dualStack,
    );
    monitor.kill();
    const ours = changes.filter((line) => /^(add|delete|insert|replace|destroy) .*\blocaldns/.test(line));
    assert.ok(
      ours.some((line) => /^add element /.test(line)),
      changes.join('\n'),
    );
    assert.deepEqual(
      ours.filter((line) => !/^(add|delete|destroy) element /.test(line)),
      [],
    );
  });

  nightly('one of two pods of cluster DNS falls silent', async () => {
    try {
      await trial.ordeal('one CoreDNS silent', [nothingLost, connectionsSurvive, untracked, rightAnswers], async () => {
        trial.lab.farDns.hang();
        await pause(2_000);
      });
    } finally {
      trial.lab.farDns.wake();
    }
  });

  test('all of cluster DNS is silent for five seconds: stale answers', async () => {
    const names = ['a', 'b', 'c', 'd'].map((label) => `${label}.brief.example`);
    const all = [trial.lab.nearDns, trial.lab.farDns];
    try {
      await trial.ordeal(
        'both CoreDNS silent for 5 s',
        steady,
        async () => {
          for (const dns of all) dns.hang();
          await pause(5_000);
          for (const dns of all) dns.wake();
        },
        { names, beforeMs: 1_500 },
      );
    } finally {
      for (const dns of all) dns.wake();
    }
  });

  nightly('the API server is gone for three seconds', async () => {
    try {
      await trial.ordeal('API server gone', steady, async () => {
        await trial.lab.cluster.stopApiServer();
        await pause(3_000);
      });
    } finally {
      await trial.lab.cluster.restartApiServer();
    }
  });

  test('somebody deletes the rules that lead to the agent’s routes', async () => {
    const { lab } = trial;
    // Heartbeats need the same rules: without them interception lapses, if nobody has noticed before.
    const goals = [lostOnlyUntilLapsed, fastAfter(lapsedMs), untracked, rightAnswers];
    await trial.ordeal(
      'ip rule deleted',
      goals,
      async () => {
        for (const family of ['-4', '-6']) lab.node.ip(family, 'rule', 'del', 'lookup', '153');
        await eventually('they are there again', 5_000, async () => {
          const rules = await Promise.all(['-4', '-6'].map((family) => lab.node.run('ip', [family, 'rule'])));
          return rules.every(({ stdout }) => stdout.includes('lookup 153'));
        });
        await pause(500);
      },
      dualStack,
    );
    await trial.served.untilIntercepted();
  });

  test('somebody flushes all packet rules', async () => {
    const { lab } = trial;
    try {
      await trial.ordeal(
        'nft flush ruleset',
        steady,
        async () => {
          nft(lab.node, 'flush ruleset');
          await eventually('the fallback is there again', 5_000, async () => {
            return (await lab.node.run('nft', ['list', 'map', 'ip', 'localdns', 'cluster_backends'])).code === 0;
          });
          await pause(1_500);
        },
        dualStack,
      );
    } finally {
      // kube-proxy itself notices only after some time.
      await lab.restartKubeProxy();
    }
  });
});
