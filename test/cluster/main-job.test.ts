/**
 * The main job on a real control plane: a profile is applied, a node is labelled, and the agent of that node answers.
 * Each test goes on from where the one before it has left the cluster, as a day in its life would.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { reasons } from '../../api/v1alpha1/conditions.ts';
import { optOut, profileLabel, stateEnabled, stateLabel } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import type { AuditedRequest } from './control-plane.ts';
import * as scenes from './scene.ts';
import { answerOf, clusterListener, corporate, kubernetes, nodeListener, promptlyMs } from './scene.ts';

/** For what nobody is promised by the second; less than the 10 s after which an operator takes for lost what it has sent. */
const withinMs = 8_000;

let scene: scenes.Scene;

before(async () => {
  scene = await scenes.Scene.start();
});

after(() => scene?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(scene?.lastWords);
});

test('a labelled node has its rendered configuration within two seconds, and no other node has one', async () => {
  // A node counts as ready at the end of its trial.
  await scene.applyProfile({ rollout: { canary: { soakSeconds: 1 } } });
  await scene.label('n1', profileLabel, 'default');
  const { metadata, spec } = await eventually('LocalDnsNode n1 exists', promptlyMs, () => scene.localDnsNode('n1'));
  assert.equal(spec.profile, 'default');
  assert.equal(spec.config.listeners.length, 2);
  const node = await scene.cluster.get<scenes.Node>('node/n1');
  assert.deepEqual(
    metadata.ownerReferences?.map(({ kind, name, uid }) => [kind, name, uid]),
    [['Node', 'n1', node?.metadata.uid]],
  );
  await eventually('the node is marked as served', promptlyMs, async () => (await stateOf('n1')) === stateEnabled);
  assert.equal(await scene.localDnsNode('n2'), undefined);
});

test('its agent takes the configuration, serves, and says so', async () => {
  await eventually('the agent reports ConfigApplied and Serving', withinMs, () => scene.applied());
  assert.match(scene.agent.log, /"msg":"serving"/);
  for (const page of ['healthz', 'readyz']) {
    const { status } = await scene.localdns.agentPage(page);
    assert.equal(status, 200, page);
  }
});

test('kubectl get shows both in columns worth reading', async () => {
  await eventually('the profile counts its node as ready', withinMs, async () => {
    return (await scene.row('ldp', 'default')).slice(0, 6).join(' ') === 'default Preferred 0 1 1 True';
  });
  const node = await scene.localDnsNode('n1');
  const [name, from, revision, applied, serving] = await scene.row('ldn', 'n1');
  assert.deepEqual([name, from, serving], ['n1', 'default', 'True']);
  assert.equal(revision, node?.spec.revision);
  assert.equal(applied, revision);
  const stored = await scene.cluster.get<scenes.LocalDnsProfile>('ldp/default');
  assert.ok(scenes.isTrue(stored?.status?.conditions, 'Accepted'));
});

test('a pod is answered, the second time from the cache, and cluster DNS was asked over TCP alone', async () => {
  const before = await scene.clusterDns.requests('cluster.local.');
  for (const transport of ['+notcp', '+tcp', '+notcp']) {
    const dig = ['+tries=1', '+time=2', '+short', `@${clusterListener}`, transport, kubernetes.name];
    assert.equal((await scene.cluster.run('dig', dig)).stdout.trim(), kubernetes.address);
  }
  const now = await scene.clusterDns.requests('cluster.local.');
  assert.deepEqual({ udp: now.udp - before.udp, tcp: now.tcp - before.tcp }, { udp: 0, tcp: 1 });
});

test('pods are sent to cluster DNS for other names, node processes to the resolver of the node', async () => {
  assert.equal(await scene.addressOf(clusterListener, 'www.example.org'), answerOf.clusterDns);
  assert.equal(await scene.addressOf(nodeListener, 'www.example.org'), answerOf.nodeResolver);
  assert.equal(await scene.addressOf(nodeListener, kubernetes.name), kubernetes.address);
});

test('the agent counts what it does', async () => {
  const { status, body } = await scene.localdns.agentPage('metrics');
  assert.equal(status, 200);
  assert.match(body, /^localdns_\w+/m);
  assert.doesNotMatch(body, /NaN/);
});

test('an edit changes the answers within two seconds, loses no query, and leaves other zones their cache', async () => {
  // Asked for the first time: its TTL cannot end during the test.
  const untouched = 'kube-dns.kube-system.svc.cluster.local';
  assert.equal(await scene.addressOf(clusterListener, untouched), '10.96.0.10');
  assert.equal(await scene.addressOf(clusterListener, corporate), answerOf.clusterDns);
  const asked = await scene.clusterDns.requests('cluster.local.');
  const names = [untouched, corporate];
  const load = await scene.cluster.namespace.startLoad({ server: clusterListener, names, perSecond: 400 });
  await scene.applyProfile(scenes.withOnprem);
  const editedAtMs = Date.now();
  await eventually('the new answer is there', promptlyMs, async () => {
    return (await scene.addressOf(clusterListener, corporate)) === answerOf.onprem;
  });
  await eventually('the agent reports the new revision', withinMs, () => scene.applied());
  const { seen, lost, worstMs } = await load.stop();

  assert.equal(lost, 0);
  const old = seen.find(({ answer }) => answer === `${corporate} NOERROR ${answerOf.clusterDns}`);
  const changed = seen.find(({ answer }) => answer === `${corporate} NOERROR ${answerOf.onprem}`);
  assert.ok(old !== undefined && changed !== undefined);
  console.log(`new answers ${changed.firstAtMs - editedAtMs} ms after the edit; slowest answer ${worstMs} ms`);
  assert.ok(changed.firstAtMs - editedAtMs <= promptlyMs);
  // One plan or the other: only answers that were under way during the swap may still be the old ones.
  assert.ok(old.lastAtMs - changed.firstAtMs < 500, `old answers for ${old.lastAtMs - changed.firstAtMs} ms more`);
  assert.equal(seen.length, 3, `nothing but right answers, and not ${JSON.stringify(seen)}`);
  assert.deepEqual(await scene.clusterDns.requests('cluster.local.'), asked);
});

test('nodes are selected by their labels too, and one that opts out is not served', async () => {
  await scene.label('n2', 'agentpool', 'np1');
  await scene.applyProfile(pool, 'pool');
  const { spec } = await eventually('LocalDnsNode n2 exists', withinMs, () => scene.localDnsNode('n2'));
  assert.equal(spec.profile, 'pool');
  assert.equal((await scene.localDnsNode('n1'))?.spec.profile, 'default');
  await scene.label('n2', profileLabel, optOut);
  await isNotServed('n2');
});

const pool = { nodeSelector: { matchLabels: { agentpool: 'np1' } } };

test('a label that names no profile keeps what the node had, and an Event on the node says so', async () => {
  await scene.label('n2', profileLabel, 'pool');
  await eventually('LocalDnsNode n2 exists', withinMs, () => scene.localDnsNode('n2'));
  await scene.label('n2', profileLabel, 'nowhere');
  await eventually('there is an Event', withinMs, async () => {
    const events = await scene.cluster.get<{ items: { reason: string; message: string }[] }>(
      ...['events', '-A', '--field-selector', 'involvedObject.name=n2'],
    );
    const event = events?.items.find(({ reason }) => reason === reasons.profileNotFound);
    return event?.message.includes('nowhere');
  });
  assert.equal((await scene.localDnsNode('n2'))?.spec.profile, 'pool');
});

test('a disabled profile keeps its claim on a node and does not serve it', async () => {
  await scene.label('n2', profileLabel, 'pool');
  await scene.applyProfile({ ...pool, mode: 'Disabled' }, 'pool');
  await isNotServed('n2');
});

test('what somebody edits of ours is put right, and no query is lost', async () => {
  const load = await scene.cluster.namespace.startLoad({
    server: clusterListener,
    names: [kubernetes.name],
    perSecond: 200,
  });
  const before = await scene.localDnsNode('n1');
  // A changed field comes back by itself when the operator applies; an added one only where the whole is replaced.
  const tampered = JSON.stringify({ spec: { config: { listeners: [], invented: true } } });
  await scene.cluster.kubectlOk('patch', 'ldn/n1', '--type=merge', '-p', tampered);
  await eventually('the edit is undone', withinMs, async () => {
    const { spec } = (await scene.localDnsNode('n1')) ?? {};
    return JSON.stringify(spec) === JSON.stringify(before?.spec);
  });
  await scene.cluster.kubectlOk('label', 'node/n1', `${stateLabel}-`);
  await eventually('the mark is back', withinMs, async () => (await stateOf('n1')) === stateEnabled);
  assert.equal((await load.stop()).lost, 0);
});

test('a LocalDnsNode that somebody deletes is written anew', async () => {
  await scene.cluster.kubectlOk('delete', 'ldn/n1');
  await eventually('it is there again, and applied', withinMs, () => scene.applied());
});

test('a node that is deleted takes its configuration along', async () => {
  await scene.applyProfile(pool, 'pool');
  await eventually('LocalDnsNode n2 exists', withinMs, () => scene.localDnsNode('n2'));
  await scene.cluster.kubectlOk('delete', 'node/n2');
  await eventually('LocalDnsNode n2 is gone', withinMs, async () => (await scene.localDnsNode('n2')) === undefined);
});

test('while nothing that matters changes, nothing is written but the Lease, every two seconds', async () => {
  const isLease = ({ requestURI }: AuditedRequest) => requestURI.includes('/leases/');
  const all = () => scene.cluster.audit().filter(({ verb }) => !['get', 'list', 'watch'].includes(verb));
  const writes = () => all().filter((request) => !isLease(request));
  let settled = writes().length;
  let since = performance.now();
  await eventually('the echo of the last change has died away', 10_000, () => {
    if (writes().length !== settled) since = performance.now();
    settled = writes().length;
    return performance.now() - since > 1_500;
  });
  // Wakes the operator, which finds everything as it should be.
  await scene.label('n1', 'example.test/unrelated', 'to-us');
  const renewals = all().filter(isLease).length;
  await scenes.pause(3_000);
  assert.deepEqual(writes().slice(settled), []);
  assert.ok(all().filter(isLease).length - renewals <= 2);
});

test('taking the label away takes the configuration away', async () => {
  await scene.label('n1', profileLabel);
  await isNotServed('n1');
  await eventually('the agent answers no more', withinMs, () => scene.isSilent(clusterListener));
  await eventually('the profile counts no node', withinMs, async () => (await scene.row('ldp', 'default'))[3] === '0');
});

test('labelled again, it is served again', async () => {
  await scene.label('n1', profileLabel, 'default');
  await eventually('the agent answers', withinMs, async () => {
    return (await scene.addressOf(clusterListener, kubernetes.name, 200)) === kubernetes.address;
  });
});

test('the roles of the chart were enough for all of this', () => {
  const refused = scene.cluster.audit().filter(({ responseStatus }) => responseStatus?.code === 403);
  assert.deepEqual(refused, []);
});

test('asked to end, operator and agent end with 0', async () => {
  assert.equal(await scene.agent.stop(), 0, scene.agent.lastWords);
  assert.equal(await scene.operator.stop(), 0, scene.operator.lastWords);
});

async function stateOf(node: string): Promise<string | undefined> {
  return (await scene.cluster.get<scenes.Node>(`node/${node}`))?.metadata.labels?.[stateLabel];
}

async function isNotServed(node: string): Promise<void> {
  await eventually(`LocalDnsNode ${node} is gone`, withinMs, async () => {
    return (await scene.localDnsNode(node)) === undefined;
  });
  await eventually(`${node} is no longer marked`, withinMs, async () => (await stateOf(node)) === undefined);
}
