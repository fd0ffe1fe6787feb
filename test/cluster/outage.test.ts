/** The parts die, one after the other; the agent's answers go on, and everything comes right again without help. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { profileLabel } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import { answerOf, clusterListener, corporate, kubernetes, nodeListener, pause, Scene, withOnprem } from './scene.ts';

/** Whoever retries may be in the middle of its longest pause, which is 30 s. */
const convergedWithinMs = 45_000;
let scene: Scene;

before(async () => {
  // Whoever is killed gives nothing back: the next one waits for the Lease to run out.
  scene = await Scene.start(['--lease-duration=3', '--lease-renew-deadline=2', '--lease-retry=0.5']);
  await scene.applyProfile(withOnprem);
  await scene.label('n1', profileLabel, 'default');
  await eventually('the agent serves', 10_000, () => scene.applied());
  assert.equal(await scene.addressOf(clusterListener, corporate), answerOf.onprem);
});

after(() => scene?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(scene?.lastWords);
});

test('killed and restarted, the operator brings about what was asked for meanwhile', async () => {
  const load = await askSteadily(kubernetes.name);
  await scene.operator.kill();
  await scene.applyProfile({});
  assert.equal(await scene.addressOf(clusterListener, corporate), answerOf.onprem, 'agents go on with what they have');
  scene.restartOperator();
  await convergesTo(answerOf.clusterDns, 20_000);
  assert.equal((await load.stop()).lost, 0);
});

test('while the API server is down the agent answers, and once it is back an edit takes effect', async () => {
  const load = await askSteadily(kubernetes.name);
  await scene.cluster.stopApiServer();
  assert.equal(await scene.addressOf(clusterListener, 'never-asked-before.example'), answerOf.clusterDns);
  assert.equal(await scene.addressOf(nodeListener, 'never-asked-before.example'), answerOf.nodeResolver);
  await pause(3_000);
  assert.equal(await scene.addressOf(clusterListener, kubernetes.name), kubernetes.address);
  await scene.cluster.restartApiServer();
  await scene.applyProfile(withOnprem);
  await convergesTo(answerOf.onprem, convergedWithinMs);
  assert.equal((await load.stop()).lost, 0);
  scene.operator.assertRunning();
  scene.agent.assertRunning();
});

test('killed and restarted without an API server, the agent serves its last good configuration', async () => {
  // Whoever follows the API server counts this as another outage only after 10 s without one, and else waits longer.
  await pause(10_500);
  await scene.cluster.stopApiServer();
  const load = await askSteadily(corporate);
  await scene.agent.kill();
  const killedAtMs = Date.now();
  scene.restartAgent();
  await eventually('the agent answers again', 20_000, async () => {
    return (await scene.addressOf(clusterListener, corporate, 100)) === answerOf.onprem;
  });
  const backAtMs = Date.now();
  console.log(`answers again ${backAtMs - killedAtMs} ms after kill -9`);
  assert.equal(await scene.addressOf(nodeListener, 'www.example.net'), answerOf.nodeResolver);
  const { seen, lostAtMs } = await load.stop();
  assert.deepEqual(
    seen.map(({ answer }) => answer),
    [`${corporate} NOERROR ${answerOf.onprem}`],
  );
  assert.ok(
    lostAtMs.every((sentAtMs) => sentAtMs <= backAtMs),
    'once it answers, it answers all',
  );
  await scene.cluster.restartApiServer();
  await scene.applyProfile({});
  await convergesTo(answerOf.clusterDns, convergedWithinMs);
});

test('cluster DNS that moves is followed without an edit', async () => {
  const moved = await scene.cluster.startClusterDns({ name: 'moved', address: '10.240.0.63' });
  await scene.clusterDns.stop();
  const load = await askSteadily(kubernetes.name);
  await eventually('new names are answered by the new cluster DNS', 20_000, async () => {
    const name = 'kube-dns.kube-system.svc.cluster.local';
    return (await scene.addressOf(clusterListener, name)) === '10.96.0.10';
  });
  assert.ok((await moved.requests('cluster.local.')).tcp > 0);
  assert.equal((await load.stop()).lost, 0);
});

test('a configuration that was taken away does not come back with a restart without an API server', async () => {
  await scene.label('n1', profileLabel);
  await eventually('the agent answers no more', 20_000, () => scene.isSilent(clusterListener));
  await scene.cluster.stopApiServer();
  await scene.agent.kill();
  scene.restartAgent();
  await eventually('the agent has looked at what it has', 15_000, async () =>
    /"msg":"cannot follow/.test(scene.agent.log),
  );
  await pause(2_000);
  scene.agent.assertRunning();
  assert.ok(await scene.isSilent(clusterListener));
});

function askSteadily(name: string) {
  return scene.cluster.namespace.startLoad({ server: clusterListener, names: [name], perSecond: 200 });
}

async function convergesTo(address: string, withinMs: number): Promise<void> {
  const startedAt = performance.now();
  await eventually(`${corporate} is ${address}, and the agent reports the newest revision`, withinMs, async () => {
    return (await scene.addressOf(clusterListener, corporate)) === address && scene.applied();
  });
  console.log(`converged in ${Math.round(performance.now() - startedAt)} ms`);
}
