import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { test } from 'node:test';
import { parseProfile } from '../api/v1alpha1/profile-validation.ts';
import manifest from '../package.json' with { type: 'json' };
import { parseManifest } from './manifest.ts';
import { parseServices } from './quickstart/services-file.ts';
import { Zones } from './quickstart/zone.ts';

const folder = resolve(import.meta.dirname, '../examples');
const others = ['cleanup.yaml', 'node.yaml', 'quickstart-services.yaml'];
const profiles = globSync('*.yaml', { cwd: folder }).filter((name) => !others.includes(name));

function contentsOf(name: string): unknown {
  const parsed = parseManifest(readFileSync(join(folder, name), 'utf8'));
  assert.ok('value' in parsed, JSON.stringify(parsed));
  return parsed.value;
}

for (const name of profiles) {
  test(`${name} is a valid profile, named as its file`, () => {
    const parsed = parseProfile(contentsOf(name));
    assert.ok('profile' in parsed, JSON.stringify(parsed));
    assert.equal(parsed.profile.metadata.name, basename(name, '.yaml'));
  });
}

test('cleanup.yaml runs the cleanup in the network namespace of every Linux node, with what that needs', async () => {
  const { spec } = contentsOf('cleanup.yaml') as { spec: { template: { spec: Record<string, unknown> } } };
  const { hostNetwork, tolerations, nodeSelector, initContainers } = spec.template.spec;
  assert.deepEqual([hostNetwork, tolerations], [true, [{ operator: 'Exists' }]]);
  assert.deepEqual(nodeSelector, { 'kubernetes.io/os': 'linux' });
  const [container, ...more] = initContainers as { image: string; args: string[]; securityContext: object }[];
  assert.ok(container !== undefined && more.length === 0);
  assert.equal(container.image, `localdns:${manifest.version}`);
  assert.deepEqual(container.args, ['cleanup']);
  assert.deepEqual(container.securityContext, {
    ...{ runAsUser: 0, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
    capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
  });
});

test('there are examples', () => assert.ok(profiles.length >= 3, String(profiles)));

test('the quick start sends to its cluster DNS what that knows, and nothing that it refuses', () => {
  const services = parseServices(contentsOf('quickstart-services.yaml'));
  assert.ok('list' in services, JSON.stringify(services));
  const zones = new Zones(services.list, 'cluster.local', 1);
  const parsed = parseProfile(contentsOf('quickstart.yaml'));
  assert.ok('profile' in parsed);
  const blocks = Object.entries(parsed.profile.spec.kubeDNSOverrides ?? {});
  const sent = blocks.flatMap(([zone, block]) => (block.forwardDestination === 'ClusterCoreDNS' ? [zone] : []));
  assert.deepEqual(sent.sort(), ['96.10.in-addr.arpa', 'cluster.local', 'corp.example']);
  for (const { name } of services.list.records) {
    assert.ok(
      sent.some((zone) => name.endsWith(`.${zone}`)),
      `${name} is never asked for here`,
    );
  }
  for (const zone of sent) assert.equal(zones.lookup(`nope.${zone}`, 'A').rcode, 'NXDOMAIN');
});
