/**
 * The program `localdns`, and as kubectl-localdns a plugin of kubectl. The first word names a command; its file is loaded
 * when it is named, so that none pays for what the others import.
 */
import type { Command } from './command.ts';
import { exitCode, UsageError } from './command.ts';

const commands: Record<string, { about: string; load: () => Promise<Command> }> = {
  agent: {
    about: 'answer DNS on this node; with --profile FILE also without a cluster',
    load: () => import('./agent.ts'),
  },
  operator: { about: 'turn profiles into the configuration of each node', load: () => import('./operator.ts') },
  cleanup: { about: 'remove everything of ours from this node', load: () => import('./cleanup.ts') },
  validate: { about: 'say all that is wrong with a profile', load: () => import('./validate.ts') },
  render: { about: 'print the configuration that a profile gives a node', load: () => import('./render.ts') },
  query: { about: 'ask a DNS server, and say whether its cache answered', load: () => import('./query.ts') },
  version: { about: 'print the version', load: () => import('./version.ts') },
};

function help(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`);
  return `Usage: localdns COMMAND [options]\n\n${lines.join('\n')}\n\n'localdns COMMAND --help' says more. Exit codes: 0 good, 1 found wrong, 2 could not run.\n`;
}

async function main([word, ...argv]: string[]): Promise<number> {
  if (word === undefined) {
    process.stderr.write(help());
    return exitCode.couldNotRun;
  }
  if (['help', '--help', '-h'].includes(word)) {
    const [about] = argv;
    return about === undefined ? print(help()) : main([about, '--help']);
  }
  const name = word === '--version' ? 'version' : word;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) return complain(`${JSON.stringify(word)} is no command: 'localdns help' lists them`);

  const { run, usage } = await command.load();
  const options = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
  if (usage !== undefined && options.some((option) => option === '--help' || option === '-h')) return print(usage);
  try {
    return (await run(argv)) ?? exitCode.good;
  } catch (error) {
    return complain(usageMessage(error) ?? `a mistake of ours: ${(error as Error).stack}`, `localdns ${name}`);
  }
}

/** What of an error is the caller's to mend; undefined where the mistake is ours. */
function usageMessage(error: unknown): string | undefined {
  if (error instanceof UsageError) return error.message;
  const { code, message } = error as NodeJS.ErrnoException;
  // Advice on positional arguments follows the sentence that names the option.
  if (code?.startsWith('ERR_PARSE_ARGS_')) return message.split(/\.\s|\n/)[0];
  return undefined;
}

function print(text: string): number {
  process.stdout.write(text);
  return exitCode.good;
}

function complain(line: string, who = 'localdns'): number {
  process.stderr.write(`${who}: ${line}\n`);
  return exitCode.couldNotRun;
}

// Whoever reads us may stop early: `localdns render … | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  throw error;
});
process.exitCode = await main(process.argv.slice(2));
