/** Nobody tells a node anything for two minutes, and its agent starts anew meanwhile. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { lostOnlyWhatTheDyingHeld, rightAnswers } from '../datapath/goals.ts';
import type { Moments } from '../datapath/ordeal.ts';
import { eventually } from '../tools/eventually.ts';
import { inMode } from './proof.ts';
import { system } from './served-cluster.ts';

const outageMs = 120_000;
const againMs = 60_000;
/** kubelet and controllers look again only after half a minute each, and a Lease that nobody gave back has to run out. */
const backMs = 180_000;

inMode('nftables', (proof) => {
  before(() => proof.served.serve());

  test('API server and operator are gone for two minutes: an agent that starts meanwhile serves what it had', async () => {
    const { served } = proof;
    const { control } = served.cluster;
    // An edit of which only the agent's own memory can know then.
    await served.applyProfile({ blockedDomains: [{ domain: 'ads.example', response: 'NxDomain' }] });
    const isBlocked = async () => {
      const { rcode } = await asked('www.ads.example');
      return rcode === 'NXDOMAIN';
    };
    await eventually('the edit is in force', againMs, isBlocked);
    const deaths: Moments[] = [];
    const operators = ['-n', system, 'deployment/localdns-operator'];
    try {
      await proof.ordeal('no API server for 120 s', [lostOnlyWhatTheDyingHeld(deaths), rightAnswers], async () => {
        const atMs = Date.now();
        await control.kubectlOk('scale', ...operators, '--replicas=0');
        await eventually('no operator runs', againMs, () =>
          served.cluster.nodes.every(({ containers }) => containers.every(({ name }) => name !== 'operator')),
        );
        await control.stopApiServer();
        await pause(10_000);
        const death = await proof.kill(proof.agent());
        deaths.push(death);
        await served.untilServed();
        proof.fact(
          'without API server: a killed agent answers again after',
          seconds(Date.now() - (death.untilMs ?? 0)),
        );
        assert.ok(await isBlocked());
        await pause(Math.max(0, atMs + outageMs - Date.now()));
        assert.ok(await isBlocked());
        return { atMs };
      });
    } finally {
      await control.restartApiServer();
    }
    await control.kubectlOk('scale', ...operators, '--replicas=2');
    const startedAt = Date.now();
    await served.applyProfile();
    await eventually('the next edit is in force', backMs, async () => !(await isBlocked()));
    proof.fact('API server back, operators started: an edit is in force after', seconds(Date.now() - startedAt));
  });

  const asked = (name: string) => {
    const [client] = proof.served.networks;
    assert.ok(client);
    return client.ask({ server: '169.254.10.11', name, timeoutMs: 2_000 });
  };
});

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
