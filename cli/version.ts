import { parseArgs } from 'node:util';
import manifest from '../package.json' with { type: 'json' };

export const usage = 'Usage: localdns version\n\nPrints the version of LocalDNS.\n';

export async function run(argv: string[]): Promise<void> {
  parseArgs({ args: argv, options: {} });
  console.log(manifest.version);
}
