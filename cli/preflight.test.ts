import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { usualNames } from '../agent/datapath/names.ts';
import { NamesFile } from '../agent/datapath/names-file.ts';
import type { Finding } from '../agent/datapath/preflight/finding.ts';
import { reasons } from '../api/v1alpha1/conditions.ts';
import { defaultProfileSpec } from '../api/v1alpha1/profile-defaults.ts';
import { renderNodeConfig } from '../operator/profile/render.ts';
import { conclusion, wantedFor } from './preflight.ts';

const service = '10.96.0.10';
const own = ['169.254.10.11', 'fdcd:6c64:6e73::11'];
const wanted = { listen: [], own, others: [service], tracked: [], names: usualNames, otherNames: [] };
const clusterDNS = { namespace: 'kube-system', service: 'kube-dns', addresses: [service] };

function blocking(check: string, address?: string): Finding {
  const finding = { check, level: 'blocking', reason: reasons.portTaken, message: 'x' } as const;
  return address === undefined ? finding : { ...finding, address };
}

suite('what a preflight comes to', () => {
  const said = (findings: Finding[], { hasIpv6 = true, addresses = [service] } = {}) =>
    conclusion(findings, { wanted, hasIpv6 }, { clusterDNS: { ...clusterDNS, addresses } });

  test('is all addresses where nothing is in the way', () => {
    assert.equal(said([]), 'Can be intercepted: 169.254.10.11, fdcd:6c64:6e73::11, 10.96.0.10.');
  });

  test('is no promise where there are warnings', () => {
    const warning = { ...blocking('input'), level: 'warning' } as const;
    assert.match(said([warning]), /^Can be intercepted, as far as no warning comes true: 169/);
  });

  test('is the rest where some are blocked, or of a family that the node does not have', () => {
    assert.equal(
      said([blocking('ports', service)], { hasIpv6: false }),
      `Can be intercepted: 169.254.10.11.
Not intercepted, so that queries keep the way that they take now: fdcd:6c64:6e73::11, 10.96.0.10.`,
    );
  });

  test('is nothing where one thing forbids it, which is named', () => {
    const nothing = /^Nothing can be intercepted on this node \(nft\): queries keep the way/;
    assert.match(said([blocking('ports', service), blocking('nft')]), nothing);
  });

  test('is not all where the Service address is not known', () => {
    assert.match(said([], { addresses: [] }), /\.\nNot judged: the address of the cluster DNS Service/);
  });
});

test('rules under the names of an agent that had others on this node are taken for ours', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'localdns-preflight-'));
  const before = { ...usualNames, rulePriority: 17 };
  await new NamesFile(stateDir).write([usualNames, before].map((names) => ({ names, starts: [1] })));
  const config = renderNodeConfig(defaultProfileSpec({}), { namespace: '', service: '', addresses: [] });
  const options = { listen: {}, nodeDns: [], resolvConf: undefined, names: usualNames, stateDir };
  const { names, otherNames } = await wantedFor(config, options);
  assert.deepEqual([names, otherNames], [usualNames, [before]]);
  rmSync(stateDir, { recursive: true });
  assert.deepEqual((await wantedFor(config, options)).otherNames, []);
});
