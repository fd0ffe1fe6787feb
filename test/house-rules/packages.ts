import { importsOf, packageOf } from './imports.ts';
import { isTest, type Offence, type SourceFile } from './source-tree.ts';

/**
 * One door per package and program: whoever wants to replace a package, or to know what it is trusted with, reads one file.
 * Tests come in by any door.
 */
const doors: Record<string, readonly (string | RegExp)[]> = {
  '@kubernetes/client-node': [/^kube\/[a-z-]+\.ts$/],
  'dns-packet': ['cli/message.ts'],
  esbuild: ['bin/bundle.ts'],
  koffi: ['agent/libc.ts'],
  'lru-cache': ['agent/cache/nxdomain-cuts.ts'],
  pino: ['operator/log.ts', 'agent/log.ts'],
  'prom-client': ['operator/metrics.ts', 'agent/metrics.ts'],
  re2js: ['api/v1alpha1/pattern.ts'],
  undici: [/^kube\/[a-z-]+\.ts$/],
  yaml: ['cli/manifest.ts', 'kube/kubeconfig.ts'],
  zod: ['api/v1alpha1/schema.ts'],
};

export function doorOffences(files: SourceFile[]): Offence[] {
  const used = new Map<string, string>();
  return files
    .filter(({ path }) => !isTest(path))
    .flatMap(({ path, text }) =>
      packagesOf(text).flatMap((name) => {
        const allowed = doors[name];
        if (allowed === undefined)
          return { path, message: `imports ${name}, which has no door yet: add it to the table` };
        const door = allowed.find((entry) => (typeof entry === 'string' ? entry === path : entry.test(path)));
        if (door === undefined) return { path, message: `imports ${name}, whose door is ${allowed.join(' or ')}` };
        // A pattern is a folder in which one file, whichever, is the door.
        const first = used.get(`${name} ${door}`) ?? path;
        used.set(`${name} ${door}`, first);
        return first === path ? [] : { path, message: `imports ${name}, whose door is ${first}` };
      }),
    );
}

export interface PackageManifest {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}

/** What is installed with the product is imported by the product; what is imported is declared. */
export function dependencyOffences(files: SourceFile[], manifest: PackageManifest): Offence[] {
  const declared = new Set([...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)]);
  const imported = new Set(
    files.filter(({ path }) => /^(api|kube|operator|agent|cli)\//.test(path) && !isTest(path)).flatMap(importedBy),
  );
  return [
    ...Object.keys(manifest.dependencies)
      .filter((name) => !imported.has(name))
      .map((name) => ({ path: 'package.json', message: `${name} is a dependency, but no program imports it` })),
    ...files.flatMap((file) =>
      importedBy(file)
        .filter((name) => !declared.has(name))
        .map((name) => ({ path: file.path, message: `imports ${name}, which package.json does not name` })),
    ),
    ...Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })
      .filter(([, range]) => !/^\d+\.\d+\.\d+$/.test(range))
      .map(([name, range]) => ({ path: 'package.json', message: `${name} is not pinned: ${range}` })),
  ];
}

function importedBy({ text }: SourceFile): string[] {
  return packagesOf(text);
}

function packagesOf(text: string): string[] {
  return [...new Set(importsOf(text).flatMap((specifier) => packageOf(specifier) ?? []))];
}
