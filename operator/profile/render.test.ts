import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { parseNodeConfig } from '../../api/v1alpha1/node-config.ts';
import { defaultProfileSpec } from '../../api/v1alpha1/profile-defaults.ts';
import { parseProfile } from '../../api/v1alpha1/profile-validation.ts';
import { renderNodeConfig } from './render.ts';

/**
 * Golden files: for each NAME.yaml, a profile, NAME.json is what its nodes get. After a change that is meant, rewrite them
 * with UPDATE_GOLDEN=1 and read the difference.
 */
const folder = join(import.meta.dirname, '../../test/golden/render');
const clusterDns = { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10', 'fd00:10:96::a'] };
const ranges = ['10.244.0.0/16', '10.96.0.0/12', 'fd00:10:96::/112'];

for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
  test(`${file} renders as its golden file says, and the agent accepts it`, () => {
    const parsed = parseProfile(parse(readFileSync(join(folder, file), 'utf8')));
    assert.ok('profile' in parsed, JSON.stringify(parsed));
    const config = renderNodeConfig(defaultProfileSpec(parsed.profile.spec), clusterDns, ranges);
    const golden = join(folder, file.replace(/yaml$/, 'json'));
    if (process.env.UPDATE_GOLDEN === '1' || !existsSync(golden))
      writeFileSync(golden, `${JSON.stringify(config, null, 2)}\n`);
    assert.deepEqual(config, JSON.parse(readFileSync(golden, 'utf8')));
    assert.ok('config' in parseNodeConfig(config));
  });
}

test('equal profiles render equally, in whatever order they were written', () => {
  const zones = { 'b.example': {}, 'a.example': {} };
  const backwards = { 'a.example': {}, 'b.example': {} };
  const render = (kubeDNSOverrides: Record<string, object>): string =>
    JSON.stringify(renderNodeConfig(defaultProfileSpec({ kubeDNSOverrides }), clusterDns));
  assert.equal(render(zones), render(backwards));
});
