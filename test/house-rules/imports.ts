import { posix } from 'node:path';
import { isTest, type Offence, type SourceFile } from './source-tree.ts';

/**
 * What a module names as its own needs: static, type-only and dynamic imports, re-exports, and the entry files of workers.
 * Read by pattern: TypeScript 7 has no compiler API, and bundlers drop type-only imports, which count here as well.
 */
export function importsOf(text: string): string[] {
  const patterns = [
    /^[ \t]*(?:import|export)\b[^;'"`]*?\bfrom\s*(['"])(?<specifier>[^'"]+)\1/gm,
    /^[ \t]*import\s*(['"])(?<specifier>[^'"]+)\1/gm,
    /\bimport\s*\(\s*(['"])(?<specifier>[^'"]+)\1\s*[,)]/g,
  ];
  const urls = /\bnew URL\(\s*(['"])(?:\.\/)?(?<path>[^'"]+\.ts)\1\s*,\s*import\.meta\.url/g;
  return [
    ...patterns.flatMap((pattern) => [...text.matchAll(pattern)].map(({ groups }) => groups?.specifier ?? '')),
    ...[...text.matchAll(urls)].map(({ groups }) => `./${groups?.path ?? ''}`),
  ];
}

/** The path of a file of ours that an import leads to; undefined for Node's own modules and for packages. */
export function target(from: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : undefined;
}

/** The package that an import leads to, without the path inside it. */
export function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined;
  const [scope = '', name] = specifier.split('/');
  return scope.startsWith('@') && name !== undefined ? `${scope}/${name}` : scope;
}

/** Which programs may know which, and inside the agent which stages a packet's path lets know one another. */
const mayImport: Record<string, readonly string[]> = {
  api: [],
  kube: ['api'],
  operator: ['api', 'kube'],
  agent: ['api', 'kube'],
  cli: ['api', 'kube', 'operator', 'agent'],
};

const stagesBelow: Record<string, readonly string[]> = {
  wire: [],
  zone: ['wire'],
  policy: ['wire'],
  cache: ['wire'],
  forward: ['wire'],
  server: ['wire', 'zone', 'policy', 'cache', 'forward'],
  listen: ['wire', 'server'],
};

/** These work out what shall be; they are given facts and give back facts. */
const pure = [
  /^api\/v1alpha1\//,
  /^operator\/profile\/(select|render|rollout)\.ts$/,
  /^agent\/(wire|zone|policy|cache)\//,
] as const;

const outsideWorld = ['fs', 'net', 'dgram', 'http', 'https', 'http2', 'tls', 'dns', 'child_process', 'worker_threads'];

/** Of these modules, names that compute and touch nothing. */
const harmless = /^(isIP|isIPv4|isIPv6|BlockList|SocketAddress)$/;

/** What every stage may know: what a clock is, and the one door to the system calls that Node lacks. */
const commonGround = ['agent/clock.ts', 'agent/libc.ts', 'agent/marked-socket.ts'];

export function importOffences(files: SourceFile[]): Offence[] {
  const offences: Offence[] = [];
  for (const { path, text } of files.filter((file) => !isTest(file.path))) {
    for (const specifier of importsOf(text)) {
      const message = inputOffence(path, specifier, text) ?? directionOffence(path, specifier);
      if (message !== undefined) offences.push({ path, message });
    }
  }
  return offences;
}

function inputOffence(from: string, specifier: string, text: string): string | undefined {
  if (!pure.some((pattern) => pattern.test(from))) return undefined;
  if (!outsideWorld.includes(specifier.replace(/^node:/, '').split('/')[0] ?? '')) return undefined;
  const [, list = ''] = new RegExp(`import \\{([^}]*)\\} from '${specifier}'`).exec(text) ?? [];
  const names = list.split(',').flatMap((name) => name.trim() || []);
  const isHarmless = names.length > 0 && names.every((name) => harmless.test(name));
  return isHarmless ? undefined : `imports ${specifier}, but does no I/O`;
}

function directionOffence(from: string, specifier: string): string | undefined {
  const to = target(from, specifier);
  // package.json is no program: everybody may know the version.
  if (to === undefined || to === 'package.json') return undefined;
  if (isTest(to)) return `imports ${to}, which is for tests alone`;
  const [program = ''] = from.split('/');
  const [other = ''] = to.split('/');
  const allowed = mayImport[program];
  if (allowed === undefined) return undefined;
  if (program !== other) {
    if (!allowed.includes(other))
      return `imports ${to}: ${program} may import ${allowed.join(', ') || 'nothing of ours'}`;
    return program === 'agent' ? stageOutwardOffence(from, to) : undefined;
  }
  if (program === 'agent') return stageOffence(from, to);
  if (program === 'operator') return operatorOffence(from, to);
  return undefined;
}

function stageOf(path: string): string | undefined {
  const [, folder = '', ...rest] = path.split('/');
  return rest.length > 0 && folder in stagesBelow ? folder : undefined;
}

/** A stage is handed plain values by build.ts: neither the API nor the rendered configuration is its business. */
function stageOutwardOffence(from: string, to: string): string | undefined {
  const stage = stageOf(from);
  if (stage === undefined) return undefined;
  if (to.startsWith('kube/')) return `imports ${to}: no stage talks to the API`;
  return to === 'api/v1alpha1/node-config.ts' || to === 'api/v1alpha1/profile.ts'
    ? `imports ${to}: build.ts hands a stage plain values`
    : undefined;
}

function stageOffence(from: string, to: string): string | undefined {
  const stage = stageOf(from);
  if (stage === undefined) return undefined;
  const other = stageOf(to);
  if (stage === other || commonGround.includes(to)) return undefined;
  const allowed = stagesBelow[stage] ?? [];
  if (other !== undefined && allowed.includes(other)) return undefined;
  return `imports ${to}: ${stage} may import ${allowed.join(', ') || 'no other stage'}, and is handed all else`;
}

function operatorOffence(from: string, to: string): string | undefined {
  if (from.startsWith('operator/runtime/') && !to.startsWith('operator/runtime/')) {
    return `imports ${to}: runtime knows no profile, and is handed all else`;
  }
  return undefined;
}

/** Only build.ts knows both what a configuration says and what serves it. */
export function bridgeOffences(files: SourceFile[]): Offence[] {
  return files
    .filter(({ path }) => path.startsWith('agent/') && !isTest(path) && path !== 'agent/build.ts')
    .filter(({ path, text }) => {
      const targets = importsOf(text).map((specifier) => target(path, specifier) ?? '');
      const knowsConfig = targets.includes('api/v1alpha1/node-config.ts');
      return knowsConfig && targets.some((to) => /^agent\/(zone|policy|cache|forward)\//.test(to));
    })
    .map(({ path }) => ({
      path,
      message: 'knows the rendered configuration and the stages: that is for build.ts alone',
    }));
}
