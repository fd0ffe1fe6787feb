/** The one door to nft(8): rules go in as text that a person can read, and come back as JSON (libnftables-json(5)). */
import { spawn } from 'node:child_process';

export interface NftOutcome {
  stdout: string;
  stderr: string;
  /** The exit code; 127 where there is no nft, -1 where a signal or the time limit ended it. */
  code: number;
}

export type RunNft = (args: readonly string[], input?: string) => Promise<NftOutcome>;

/** A transaction takes some milliseconds; the kernel may make it wait for another one. */
const timeoutMs = 5_000;
const notFound = 127;

/**
 * Administrators' programs lie where a service's PATH may not look, and messages are read here: in English. Interactive, it
 * would keep a history of its commands in the home folder, and read it again at its start.
 */
export function nftEnvironment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    HOME: '/nonexistent',
    PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`,
    LC_ALL: 'C',
    TERM: 'dumb',
  };
}

/** Runs nft to its end. Never rejects. */
export const runNft: RunNft = (args, input = '') =>
  new Promise((resolve) => {
    const nft = spawn('nft', args, { env: nftEnvironment(), stdio: 'pipe', timeout: timeoutMs, killSignal: 'SIGKILL' });
    const out: string[] = [];
    const err: string[] = [];
    nft.stdout.setEncoding('utf8').on('data', (text: string) => out.push(text));
    nft.stderr.setEncoding('utf8').on('data', (text: string) => err.push(text));
    nft.once('error', (error: NodeJS.ErrnoException) =>
      resolve({ stdout: '', stderr: error.message, code: error.code === 'ENOENT' ? notFound : -1 }),
    );
    nft.once('close', (code) => resolve({ stdout: out.join(''), stderr: err.join(''), code: code ?? -1 }));
    // One that ends before it has read all of its input says why on stderr.
    nft.stdin.on('error', () => undefined).end(input);
  });

/** What nft said to a script that it refused; nothing of the script is in force then. */
export class NftError extends Error {}

/** Applies a script in one transaction: all of it or nothing. Rejects with an {@link NftError}. */
export async function applyScript(script: string, run: RunNft = runNft): Promise<void> {
  const { stderr, code } = await run(['-f', '-'], script);
  if (code === notFound) throw new NftError('there is no nft(8) on this machine: install nftables');
  if (code !== 0) throw new NftError(`nft refused the rules: ${firstError(stderr) || `it ended with ${code}`}`);
}

/** One object of `nft -j list …`: `{ table }`, `{ chain }`, `{ rule }`, `{ set }`, … */
export type NftObject = Record<string, Record<string, unknown>>;

/** What a listing command prints, without its metainfo; undefined where the thing to list does not exist. */
export async function list(what: readonly string[], run: RunNft = runNft): Promise<NftObject[] | undefined> {
  const { stdout, stderr, code } = await run(['-j', 'list', ...what]);
  if (code === 0) {
    const { nftables = [] } = JSON.parse(stdout) as { nftables?: NftObject[] };
    return nftables.filter((object) => !('metainfo' in object));
  }
  if (/No such file or directory/.test(stderr)) return undefined;
  throw new NftError(`nft cannot list ${what.join(' ')}: ${firstError(stderr) || `it ended with ${code}`}`);
}

/** nft shows where in the script it stumbled; for a log line the sentence will do. */
function firstError(stderr: string): string {
  return (/Error: (.*)/.exec(stderr)?.[1] ?? stderr).trim();
}
