import type { Offence, SourceFile } from './source-tree.ts';

/** Names under which anything can hide. A file is one noun of the field. */
const drawers = [
  /(^|\/)(utils?|helpers?|types|index|common|misc|shared|lib)(\.[a-z]+)*\.ts$/,
  /[.-](utils?|helpers?|misc)(\.[a-z]+)*\.ts$/,
  /(^|\/)(utils?|helpers?|common|misc|shared|lib)\//,
];
const maxLines = 400;

export function fileOffences(files: SourceFile[]): Offence[] {
  return files.flatMap(({ path, text }) => {
    const lines = text.split('\n').length - 1;
    return [
      ...(drawers.some((pattern) => pattern.test(path))
        ? [{ path, message: 'is a drawer: name it by the noun it holds' }]
        : []),
      ...(/^[a-z0-9]+([./-][a-z0-9]+)*\.ts$/.test(path.split('/').at(-1) ?? '')
        ? []
        : [{ path, message: 'has a name that is not in small letters with hyphens' }]),
      ...(lines > maxLines && !path.endsWith('.test.ts')
        ? [{ path, message: `has ${lines} lines: past ${maxLines} it is split` }]
        : []),
    ];
  });
}

const machinePath = /(?:^|[\s"'`(=:])(\/(?:home|Users|work|root)\/[\w.-]+|[A-Z]:\\Users\\)/;
const registryHost =
  /\b(registry\.npmjs\.org|registry\.yarnpkg\.com|docker\.io|ghcr\.io|gcr\.io|quay\.io|registry\.k8s\.io|mcr\.microsoft\.com|public\.ecr\.aws|proxy\.golang\.org)\b/;
/** npm writes the address of whatever mirror it was run behind into the lock file, or a person into .npmrc. */
const lockedAddress = /"resolved":\s*"https?:/;
const chosenRegistry = /^\s*(@[\w-]+:)?registry\s*=/m;

/** A clone must mean the same on every machine, and behind every mirror. */
export function placeOffences(files: SourceFile[]): Offence[] {
  return files.flatMap(({ path, text }) => {
    const found = [machinePath, registryHost, lockedAddress, ...(path.endsWith('.npmrc') ? [chosenRegistry] : [])]
      .map((pattern) => pattern.exec(text))
      .filter((match) => match !== null);
    return found.map((match) => {
      const line = text.slice(0, match.index).split('\n').length;
      return { path: `${path}:${line}`, message: `names a place of one machine or mirror: ${match[0].trim()}` };
    });
  });
}
