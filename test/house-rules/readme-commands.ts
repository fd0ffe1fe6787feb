/** Commands that a document shows in ```sh blocks: one entry a command, continued lines joined, comments left out. */
export function commandsOf(markdown: string): string[] {
  const blocks = [...markdown.matchAll(/^```(?:sh|bash|shell|console)\n(.*?)^```/gms)].map(([, body = '']) => body);
  return blocks
    .flatMap((body) => body.replaceAll(/\s*\\\n\s*/g, ' ').split('\n'))
    .map((line) =>
      line
        .replace(/^\$ /, '')
        .replace(/(^|\s+)#.*$/, '')
        .trim(),
    )
    .flatMap((line) => line.split(/\s*(?:&&|\|\||;|\|)\s*/))
    .filter((command) => command !== '');
}

export interface KnownCommands {
  npmScripts: readonly string[];
  isFile: (path: string) => boolean;
}

/** npm's own commands that need no script. */
const npmBuiltIn = ['ci', 'install', 'pack', 'version'];

/** Why a command of ours cannot work as it is written; whether `bin/localdns` has it, only running it tells. */
export function commandOffence(command: string, known: KnownCommands): string | undefined {
  const words = command.split(/\s+/).filter((word) => !/^[A-Z_]+=/.test(word));
  const [program = '', first = '', second = ''] = words;
  if (program === 'npm') {
    const script = first === 'run' ? second : first;
    if (first !== 'run' && npmBuiltIn.includes(first)) return undefined;
    return known.npmScripts.includes(script) ? undefined : `package.json has no script ${script}`;
  }
  if (program !== 'bin/localdns') return undefined;
  const missing = words.find((word) => /^(examples|docs|crds|charts)\//.test(word) && !known.isFile(word));
  return missing === undefined ? undefined : `there is no ${missing}`;
}

/** Commands that only read and print: they are run as they stand. */
export function isSafeToRun(command: string): boolean {
  return (
    /^bin\/localdns\s+(validate|render|convert|--version|--help|\S+\s+--help)\b/.test(command) && !/[<>$]/.test(command)
  );
}

/** The word that names what `bin/localdns` shall do. */
export function subcommandOf(command: string): string | undefined {
  const [program, word = ''] = command.split(/\s+/);
  return program === 'bin/localdns' && /^[a-z]/.test(word) ? word : undefined;
}
