import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { packageUrl, spdx } from './software-list.ts';

test('packages are named as scanners look for them', () => {
  const url = (kind: 'npm' | 'deb' | 'generic', name: string, version: string) => packageUrl({ kind, name, version });
  equal(url('npm', 'koffi', '3.3.4'), 'pkg:npm/koffi@3.3.4');
  equal(url('npm', '@kubernetes/client-node', '2.0.1'), 'pkg:npm/%40kubernetes/client-node@2.0.1');
  equal(url('deb', 'libstdc++6', '12.2.0-14+deb12u1'), 'pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1');
  equal(url('generic', 'node', '26.10.0'), 'pkg:generic/node@26.10.0');
});

test('each package is described by the document, under an identifier of its own', () => {
  const document = spdx({
    ...{ name: 'localdns', version: '0.1.0', created: '2026-01-01T00:00:00Z' },
    software: [
      { kind: 'npm', name: 'one', version: '1.0.0', license: 'MIT' },
      { kind: 'deb', name: 'two', version: '2' },
    ],
  }) as { packages: Record<string, string>[]; relationships: Record<string, string>[] };
  deepEqual(
    document.packages.map(({ SPDXID, name, licenseDeclared }) => [SPDXID, name, licenseDeclared]),
    [
      ['SPDXRef-Package-1', 'one', 'MIT'],
      ['SPDXRef-Package-2', 'two', 'NOASSERTION'],
    ],
  );
  deepEqual(
    document.relationships.map(({ relationshipType, relatedSpdxElement }) => [relationshipType, relatedSpdxElement]),
    [
      ['DESCRIBES', 'SPDXRef-Package-1'],
      ['DESCRIBES', 'SPDXRef-Package-2'],
    ],
  );
});
