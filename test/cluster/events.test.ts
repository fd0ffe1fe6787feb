/** Events on a real API server: what is said again is counted in one object, also by an operator that takes over. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { apiVersion, profileKind, profileLabel } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { Installation } from './installation.ts';
import type { LocalDnsProfile } from './scene.ts';

interface Event {
  metadata: { name: string };
  reason: string;
  eventTime: string;
  regarding: { kind: string; name: string };
  series?: { count: number; lastObservedTime: string };
}

let cluster: ControlPlane;
let localdns: Installation;
let operator: Daemon;

before(async () => {
  cluster = await startControlPlane();
  localdns = await Installation.create(cluster, { nodes: [] });
  operator = localdns.startOperator();
});

after(() => cluster?.stop());

async function eventsOf(reason: string): Promise<Event[]> {
  const list = await cluster.get<{ items: Event[] }>('events.events.k8s.io', '-n', 'default');
  return (list?.items ?? []).filter((event) => event.reason === reason);
}

/** A Required profile whose one pattern is good, or is not. */
async function edit(isGood: boolean): Promise<void> {
  const patterns = [isGood ? 'good[.]example' : '(?=x)'];
  const redirects = [{ name: 'r', match: { patterns }, target: { addresses: ['192.0.2.50'] } }];
  const spec = { mode: 'Required', redirects };
  await cluster.applyOk([{ apiVersion, kind: profileKind.kind, metadata: { name: 'default' }, spec }]);
  await eventually(`Accepted is ${isGood}`, 10_000, async () => {
    operator.assertRunning();
    const { metadata, status } = (await cluster.get<LocalDnsProfile>('ldp/default')) ?? {};
    const accepted = status?.conditions?.find(({ type }) => type === 'Accepted');
    return status?.observedGeneration === metadata?.generation && accepted?.status === (isGood ? 'True' : 'False');
  });
}

async function restart(): Promise<void> {
  assert.equal(await operator.stop(), 0, operator.lastWords);
  operator = localdns.startOperator();
}

const isCounted = (reason: string, count: number | undefined) =>
  eventually(`one Event ${reason}, ${count} times`, 10_000, async () => {
    operator.assertRunning();
    const counts = (await eventsOf(reason)).map(({ series }) => series?.count);
    return counts.length === 1 && counts[0] === count;
  });

test('the same trouble again is the same Event, which becomes a series', async () => {
  await edit(false);
  await isCounted('Invalid', undefined);
  await edit(true);
  await edit(false);
  await isCounted('Invalid', 2);
  const [event] = await eventsOf('Invalid');
  assert.deepEqual([event?.regarding.kind, event?.regarding.name], ['LocalDnsProfile', 'default']);
  assert.ok((event?.series?.lastObservedTime ?? '') > (event?.eventTime ?? ''));
  // As people see it: how often, and on the object itself.
  assert.match(await cluster.kubectlOk('describe', 'ldp/default'), /Warning +Invalid +.*x2 over/);
});

test('an operator that takes over goes on with the series', async () => {
  await restart();
  await edit(true);
  await edit(false);
  await isCounted('Invalid', 3);
});

test('what lasts is told again by who takes over, and not at every look', async () => {
  await cluster.applyOk([
    { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1', labels: { [profileLabel]: 'nobody-made-it' } } },
  ]);
  await isCounted('ProfileNotFound', undefined);
  await edit(true);
  await edit(false);
  await isCounted('ProfileNotFound', undefined);
  await restart();
  await isCounted('ProfileNotFound', 2);
});
