import { parseArgs } from 'node:util';
import type { ProfileSpec } from '../api/v1alpha1/profile.ts';
import { formatFieldError } from '../api/v1alpha1/profile-validation.ts';
import { exitCode, UsageError } from './command.ts';
import { brokenParts, fileLabel, readProfileFile } from './profile-file.ts';

export const usage = `Usage: localdns validate -f FILE

Says all that is wrong with a LocalDnsProfile, one line for each error with the path of its field.

  -f, --file FILE  the profile, YAML or JSON; - reads standard input

Exit code: 0 where the profile is good, 1 where it is not, 2 where the file cannot be read.
`;

export async function run(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: { file: { type: 'string', short: 'f' } } });
  if (values.file === undefined) throw new UsageError('-f FILE is missing: which profile shall be validated?');
  const read = await readProfileFile(values.file);
  if ('unreadable' in read) {
    console.error(read.unreadable);
    return exitCode.couldNotRun;
  }
  if ('invalid' in read) {
    for (const line of read.invalid) console.error(line);
    return exitCode.foundWrong;
  }
  const wrong = brokenParts(read.profile.spec);
  if (wrong.length > 0) {
    for (const error of wrong) console.error(`${fileLabel(values.file)}: ${formatFieldError(error)}`);
    console.error(`${fileLabel(values.file)}: ${consequence(read.profile.spec.mode)}`);
    return exitCode.foundWrong;
  }
  console.log(`${fileLabel(values.file)}: profile ${read.profile.metadata.name} is valid`);
  return exitCode.good;
}

function consequence(mode: ProfileSpec['mode']): string {
  switch (mode) {
    case 'Required':
      return 'with mode Required the whole profile is refused for this, and nodes keep the last good configuration';
    case 'Disabled':
      return 'with mode Disabled nothing is served';
    default:
      return 'with mode Preferred this is left out, and the rest is served';
  }
}
