import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { apiVersion } from '../../api/v1alpha1/labels.ts';
import { profileCases } from '../../api/v1alpha1/profile-cases.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const crds = join(import.meta.dirname, '../../crds');
let cluster: ControlPlane;

before(async () => {
  cluster = await startControlPlane();
  await cluster.kubectlOk('apply', '-f', crds);
});

after(() => cluster?.stop());

interface Crd {
  metadata: { name: string };
  status?: { conditions?: { type: string; status: string; message: string }[] };
}

test('the API server takes both CRDs as structural schemas and serves them', async () => {
  const established = await eventually('both CRDs are established', 10_000, async () => {
    const list = await cluster.get<{ items: Crd[] }>('crd');
    const items = list?.items ?? [];
    const served = items.filter(({ status }) => hasCondition(status?.conditions, 'Established'));
    return served.length === 2 && served;
  });
  for (const { metadata, status } of established) {
    const faults = (status?.conditions ?? []).filter(({ type }) => type === 'NonStructuralSchema');
    assert.deepEqual(faults, [], metadata.name);
  }
});

for (const [index, { title, name = `case-${index}`, spec, refused }] of profileCases.entries()) {
  test(`the API server ${refused === undefined ? 'accepts' : 'refuses'} ${title}`, async () => {
    const profile = { apiVersion, kind: 'LocalDnsProfile', metadata: { name }, spec };
    const { status, body } = await cluster.post(`/apis/${apiVersion}/localdnsprofiles`, profile);
    const said = (JSON.parse(body) as { message?: string }).message ?? '';
    if (refused === undefined) {
      assert.equal(status, 201, said);
      return;
    }
    assert.notEqual(status, 201, 'it was accepted');
    const message = refused.apiMessage ?? refused.message.replace('malformed: write', 'should match');
    assert.ok(said.toLowerCase().includes(message.toLowerCase()), `wanted ${JSON.stringify(message)} in\n${said}`);
    const zone = /Overrides\["(.*)"\]$/.exec(refused.field)?.[1];
    if (zone !== undefined) assert.ok(said.includes(`${zone}: `), `wanted the zone ${zone} in\n${said}`);
  });
}

test('an edit is judged as a new profile is', async () => {
  const profile = { apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'edited' }, spec: { mode: 'Preferred' } };
  await cluster.applyOk([profile]);
  const { code, stderr } = await cluster.apply([
    { ...profile, spec: { kubeDNSOverrides: { 'cluster.local': { forwardDestination: 'VnetDNS' } } } },
  ]);
  assert.notEqual(code, 0);
  assert.match(stderr, /cannot be forwarded to VnetDNS/);
});

test('an absent mode reads back as Preferred, and an absent priority as 0', async () => {
  await cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'defaulted' }, spec: {} }]);
  const stored = await cluster.get<{ spec: { mode: string; priority: number; clusterDomain: string } }>(
    'ldp/defaulted',
  );
  const { mode, priority, clusterDomain } = stored?.spec ?? {};
  assert.deepEqual(
    { mode, priority, clusterDomain },
    { mode: 'Preferred', priority: 0, clusterDomain: 'cluster.local' },
  );
});

test('a configuration keeps what this version does not know, so that an agent can refuse it', async () => {
  const config = { formatVersion: 99, invented: { later: ['a', { b: 1 }] } };
  const node = {
    apiVersion,
    kind: 'LocalDnsNode',
    metadata: { name: 'n1' },
    spec: { profile: 'p', revision: 'r', config },
  };
  await cluster.applyOk([node]);
  const stored = await cluster.get<{ spec: { config: unknown } }>('ldn/n1');
  assert.deepEqual(stored?.spec.config, config);
});

test('kubectl get shows the columns that people look for, by short name and by category', async () => {
  assert.deepEqual(await header('ldp'), [
    'NAME',
    'MODE',
    'PRIORITY',
    'SELECTED',
    'READY',
    'PROGRAMMED',
    'ROLLOUT',
    'AGE',
  ]);
  assert.deepEqual(await header('ldn'), ['NAME', 'PROFILE', 'REVISION', 'APPLIED', 'SERVING', 'INTERCEPTING', 'AGE']);
  const wide = await header('ldn', '-o', 'wide');
  assert.deepEqual(wide.slice(-2), ['AGENT', 'ERROR']);
  assert.match(await cluster.kubectlOk('get', 'localdns', '-o', 'name'), /localdnsnode.localdns.dev\/n1/);
});

test('kubectl explain tells what a field is for', async () => {
  const said = await cluster.kubectlOk('explain', 'ldp.spec.kubeDNSOverrides');
  assert.match(said, /DESCRIPTION:\n\s+\S+/);
});

async function header(...args: string[]): Promise<string[]> {
  const [first = ''] = (await cluster.kubectlOk('get', ...args)).split('\n');
  return first.trim().split(/\s{2,}/);
}

function hasCondition(conditions: { type: string; status: string }[] | undefined, wanted: string): boolean {
  return (conditions ?? []).some(({ type, status }) => type === wanted && status === 'True');
}
