/** What an image is made of, as SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/): scanners read it to find what must be updated. */

/** One package of software: `kind` as package URLs name it. */
export interface Software {
  kind: 'npm' | 'deb' | 'generic';
  name: string;
  version: string;
  /** An SPDX expression; undefined where only the text of the licence is there. */
  license?: string | undefined;
}

export interface Described {
  name: string;
  version: string;
  /** RFC 3339. */
  created: string;
  software: readonly Software[];
}

export function spdx({ name, version, created, software }: Described): Record<string, unknown> {
  const packages = software.map((one, at) => ({
    SPDXID: `SPDXRef-Package-${at + 1}`,
    name: one.name,
    versionInfo: one.version,
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    licenseConcluded: 'NOASSERTION',
    licenseDeclared: one.license ?? 'NOASSERTION',
    copyrightText: 'NOASSERTION',
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: packageUrl(one) }],
  }));
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `${name} ${version}`,
    documentNamespace: `https://localdns.dev/sbom/${name}/${version}/${Date.parse(created)}`,
    creationInfo: { created, creators: ['Tool: localdns-image-root'] },
    packages,
    relationships: packages.map(({ SPDXID }) => ({
      spdxElementId: 'SPDXRef-DOCUMENT',
      relationshipType: 'DESCRIBES',
      relatedSpdxElement: SPDXID,
    })),
  };
}

/** https://github.com/package-url/purl-spec: the scope of an npm package is a part of its path, with its `@` escaped. */
export function packageUrl({ kind, name, version }: Software): string {
  const path = name.split('/').map(encodeURIComponent).join('/');
  return `pkg:${kind}/${kind === 'deb' ? 'debian/' : ''}${path}@${encodeURIComponent(version)}`;
}
