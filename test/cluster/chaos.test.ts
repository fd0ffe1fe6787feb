/**
 * An operator whose way to the API server fails: connections break before and after a write, answers are 429, 500 and 410, late, never ending or
 * of yesterday. It comes to the same end as without, and does not run hot. And an operator that is cut off at its n-th write and never
 * heard of again: the next one ends what it began. Each test goes on from the one before.
 */
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { apiVersion, profileLabel, stateEnabled, stateLabel } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode } from '../../api/v1alpha1/node.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type { ProfileStatus } from '../../api/v1alpha1/profile.ts';
import { packetsOfRun, Random, seedOfRun } from '../fuzz/random.ts';
import { eventually } from '../tools/eventually.ts';
import { isNightly } from '../tools/nightly.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { FaultyPath } from './faulty-path.ts';
import { Installation } from './installation.ts';
import { pause } from './scene.ts';

const root = resolve(import.meta.dirname, '../..');
const system = 'localdns-system';
const names = Array.from({ length: 9 }, (_, index) => `n${index}`);
const runs = packetsOfRun(2, 200);
const cuts = packetsOfRun(3, 0);
/** Retries back off: a path that fails for seconds is not asked more often than one that works. */
const mostPerSecond = 40;
/** At rest: watches that are opened anew, each by its own clock. */
const mostAtRest = 10;
const restMs = 3_000;
/** Whatever the seed, rest is the same: it is looked at after every fifth. */
const restOneIn = 5;

let cluster: ControlPlane;
let localdns: Installation;
let path: FaultyPath;
let operator: Daemon;
/** As it was without any fault. */
let reference: NodeConfig;
let followed: readonly string[];
let edits = 0;

before(async () => {
  cluster = await startControlPlane();
  localdns = await Installation.create(cluster, { nodes: [] });
  path = await FaultyPath.start(
    cluster,
    await cluster.kubeconfigFor({ serviceAccount: 'localdns-operator', namespace: system }),
  );
  await cluster.applyOk(names.map(node));
  cluster.startDaemon({
    name: 'agents',
    command: join(root, 'bin/node'),
    args: [join(import.meta.dirname, 'simulated-agents.ts'), await cluster.kubeconfigFor('admin')],
  });
  startOperator();
  await edit();
  await ends('Done');
  reference = (await localDnsNodes())[0]?.spec.config as NodeConfig;
  followed = (await path.tally()).watched;
  assert.ok(followed.length > 5, `${followed}`);
});

after(() => cluster?.stop());

afterEach((context) => {
  if ('passed' in context && !context.passed) console.log(operator?.lastWords);
});

for (let run = 0; run < runs; run += 1) {
  const seed = seedOfRun() + run;
  test(`faults by seed ${seed}: the end is the same, and nothing runs hot`, async () => {
    const random = new Random(seed);
    await path.order({ seed, oneIn: 2 + random.below(6) });
    const sinceMs = performance.now();
    let wanted: string[] = [];
    const gone = new Set<string>();
    const anyOfThose = (): string => random.pick(names.filter((name) => !gone.has(name)));
    for (let count = 1 + random.below(3); count > 0; count -= 1) {
      wanted = await edit();
      const other = anyOfThose();
      if (random.once(2)) await cluster.kubectlOk('label', '--overwrite', `node/${other}`, `${profileLabel}=none`);
      await pause(random.below(1_200));
      if (random.once(2)) {
        const removed = anyOfThose();
        await cluster.kubectlOk('delete', `node/${removed}`);
        gone.add(removed);
      }
      await pause(random.below(1_200));
    }
    await cluster.applyOk(names.map(node));
    const seconds = (performance.now() - sinceMs) / 1000;
    const { requests, faults } = await path.tally();
    const what = `${requests} requests in ${seconds} s, ${JSON.stringify(faults)}`;
    assert.ok(requests < mostPerSecond * seconds, what);
    await path.order();
    await isServed(wanted, what);
    // What the last agents have said is still to be counted, and a watch that was never answered still to be given up: what it would
    // have told is acted on then.
    await eventually(`${what}: it comes to rest`, 60_000, async () => {
      await path.order();
      await pause(1_000);
      const { writes, watched } = await path.tally();
      return writes === 0 && isDeepStrictEqual(watched, followed);
    });
    if (run % restOneIn !== 0) return;
    await path.order();
    await pause(restMs);
    const rest = await path.tally();
    assert.ok(rest.writes === 0 && rest.requests <= mostAtRest + leaseRenewals, JSON.stringify(rest));
  });
}

/** Half a second apart, each a request. */
const leaseRenewals = restMs / 500 + 1;

test('an operator that is cut off at any of its writes is followed by one that ends what it began', async () => {
  await path.order();
  await edit();
  await ends('Done');
  const { writes } = await path.tally();
  assert.ok(writes > names.length, `${writes}`);
  const random = new Random(seedOfRun());
  const every = Array.from({ length: writes * 4 }, (_, at) => at);
  const chosen = isNightly ? every : Array.from({ length: cuts }, () => random.pick(every));
  for (const at of chosen) await cutAt(1 + (at >> 2), at % 2 === 1, (at & 2) === 2);
});

async function cutAt(cutAtWrite: number, cutAfter: boolean, isBad: boolean): Promise<void> {
  const what = `cut ${cutAfter ? 'after' : 'before'} write ${cutAtWrite}, ${isBad ? 'bad' : 'good'}`;
  const good = (await status())?.rollout?.good;
  const fromMs = Date.now();
  await path.order({ cutAtWrite, cutAfter });
  const wanted = await edit(isBad ? ['fails.any.test'] : []);
  const phase = isBad ? 'RolledBack' : 'Done';
  await eventually(`${what}: it is cut`, 30_000, async () => {
    // A rollout that fails at its canary has fewer writes than one that does not.
    return (await path.tally()).isCut || (await hasEnded(phase));
  });
  await operator.kill();
  await path.order();
  // Whoever is dead does not give it back: that another waits until it runs out is the business of another test.
  await cluster.kubectlOk('delete', '-n', system, 'lease/localdns-operator', '--ignore-not-found');
  startOperator();
  await ends(phase, what);
  if (!isBad) await isServed(wanted, what);
  const carried = new Set((await localDnsNodes()).map(({ spec }) => spec.profileRevision));
  assert.deepEqual([...carried], [isBad ? good : (await status())?.rollout?.target], what);
  const most = Math.max(0, ...writesOfNodes(fromMs).values());
  assert.ok(most <= (isBad ? 2 : 1), `${what}: a node was written ${most} times`);
}

function startOperator(): void {
  operator = localdns.startOperator(path.kubeconfig, {
    args: ['--lease-duration', '3', '--lease-renew-deadline', '2', '--lease-retry', '0.5'],
  });
}

function node(name: string, at: number): object {
  const labels = { [profileLabel]: 'default', 'topology.kubernetes.io/zone': `z${at % 3}` };
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } };
}

/** The domains that are blocked from now on. */
async function edit(more: string[] = []): Promise<string[]> {
  edits += 1;
  const domains = [`edit-${edits}.example`, ...more];
  const rollout = { maxUnavailable: 5, canary: { nodes: 1, soakSeconds: 0 }, probes: ['some.example'] };
  const spec = { blockedDomains: domains.map((domain) => ({ domain })), rollout };
  await cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec }]);
  return domains;
}

/** Every node has exactly what a world without faults gives it, and its mark. */
async function isServed(domains: string[], what: string): Promise<void> {
  await ends('Done', what);
  await eventually(`${what}: every node has what it should`, 60_000, async () => {
    const marked = await cluster.get<{ items: object[] }>('nodes', '-l', `${stateLabel}=${stateEnabled}`);
    assert.equal(marked?.items.length, names.length);
    const written = await localDnsNodes();
    assert.deepEqual(
      written.map(({ metadata }) => metadata.name),
      names,
    );
    const [{ response } = {}] = reference.blockedDomains ?? [];
    const blockedDomains = domains.map((domain) => ({ domain, response }));
    for (const { spec } of written) assert.ok(isDeepStrictEqual(spec.config, { ...reference, blockedDomains }));
    return true;
  });
}

async function status(): Promise<ProfileStatus | undefined> {
  return (await cluster.get<{ status?: ProfileStatus }>('ldp/default'))?.status;
}

async function hasEnded(phase: string): Promise<boolean> {
  const profile = await cluster.get<{ metadata: { generation: number }; status?: ProfileStatus }>('ldp/default');
  const { observedGeneration, rollout } = profile?.status ?? {};
  return observedGeneration === profile?.metadata.generation && rollout?.phase === phase;
}

async function ends(phase: string, what = ''): Promise<void> {
  await eventually(`${what} the rollout ends as ${phase}`, 60_000, () => hasEnded(phase));
}

interface Written extends LocalDnsNode {
  metadata: { name: string };
}

async function localDnsNodes(): Promise<Written[]> {
  return (await cluster.get<{ items: Written[] }>('ldn'))?.items ?? [];
}

/** How often operators have written each LocalDnsNode since. */
function writesOfNodes(fromMs: number): Map<string, number> {
  const found = new Map<string, number>();
  for (const { verb, objectRef, userAgent, requestReceivedTimestamp, responseStatus } of cluster.audit()) {
    const { resource, subresource, name = '' } = objectRef ?? {};
    if (resource !== 'localdnsnodes' || subresource !== undefined || verb !== 'patch') continue;
    if (!userAgent?.startsWith('localdns-operator') || Date.parse(requestReceivedTimestamp) < fromMs) continue;
    if ((responseStatus?.code ?? 0) < 300) found.set(name, (found.get(name) ?? 0) + 1);
  }
  return found;
}
