/** The servers that take turns in `npm run bench -- speed`: ours in its forms, those that people have today, and a program that only sends back. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { startAgent } from '../test/peers/agent.ts';
import { startCoreDns } from '../test/peers/coredns.ts';
import { freePort, Program } from '../test/peers/program.ts';
import { startForwarder } from '../test/peers/unbound.ts';
import { findProgram, lacking, type Need } from '../test/tools/find.ts';
import type { RunFolder } from '../test/tools/run-folder.ts';
import { variants } from './agent-process.ts';

interface Contender {
  readonly needs: readonly Need[];
  /** @param room for so many names */
  readonly start: (folder: RunFolder, upstream: number, room: number) => Promise<Program>;
  /** What its program says of itself; of ours that is the commit that is measured. */
  readonly version?: (command: string) => string;
  /** All but those that it cannot take, and those that would say nothing of it. */
  readonly loads: readonly string[];
}

/** What they are asked, by the names that the page has for it. */
export const cachedUdp = 'cached, UDP';
export const cachedOnce = 'cached, UDP, no repeats';
export const cachedTcp = 'cached, TCP';
export const missesUdp = 'misses, UDP';
export const mixedUdp = 'mixed, UDP';
export const atRates = 'latencies at rates';
export const atLowRates = 'CPU at low rates';

const everyLoad = [cachedUdp, cachedOnce, cachedTcp, missesUdp, mixedUdp, atRates, atLowRates];

/** More names than any bench has. */
const usualRoom = 200_000;

export function agentSpec(queryLogging: 'Error' | 'Log' = 'Error') {
  return {
    kubeDNSOverrides: { '.': { protocol: 'ForceTCP', forwardDestination: 'ClusterCoreDNS', queryLogging } },
    cache: { warmRestart: false, maxBytes: '64Mi' },
  };
}

const coreDnsVersion = (command: string) => versionIn(command, '-version', /^CoreDNS-(\S+)/);

const contenders: Readonly<Record<string, Contender>> = {
  'C echo': {
    needs: ['gcc'],
    version: () => `gcc -O2, gcc ${versionIn('gcc', '--version', /(\S+)$/m)}`,
    start: async (folder) => {
      const port = await freePort();
      const command = join(folder.path, 'echo');
      execFileSync('gcc', ['-O2', '-o', command, join(import.meta.dirname, 'echo.c')]);
      return Program.start(folder, { name: 'echo', command, args: [String(port)], port });
    },
    // It has no cache, and no TCP.
    loads: [cachedUdp, cachedOnce, atRates, atLowRates],
  },
  LocalDNS: { needs: [], start: (folder, upstream) => agent(folder, upstream, 'bundled'), loads: everyLoad },
  'LocalDNS from source': {
    needs: [],
    start: (folder, upstream) => agent(folder, upstream, 'from source'),
    loads: [cachedUdp, cachedTcp, missesUdp, mixedUdp],
  },
  'LocalDNS, logging': {
    needs: [],
    start: (folder, upstream) =>
      startAgent(folder, upstream, { name: 'agent-logging', spec: agentSpec('Log'), program: variants.bundled }),
    loads: [cachedUdp, atRates],
  },
  unbound: {
    needs: ['unbound'],
    version: (command) => versionIn(command, '-V', /^Version (\S+)/),
    loads: everyLoad,
    start: (folder, upstream) =>
      startForwarder(folder, upstream, ['tcp-upstream: yes', 'msg-cache-size: 64m', 'rrset-cache-size: 64m']),
  },
  dnsmasq: {
    needs: ['dnsmasq'],
    version: (command) => versionIn(command, '--version', /version (\S+)/),
    start: async (folder, upstream, names) => {
      const port = await freePort();
      const way = ['--no-resolv', '--no-hosts', '--bind-interfaces', '--listen-address=127.0.0.1', `--port=${port}`];
      const own = ['--keep-in-foreground', '--conf-file=/dev/null', '--pid-file', '--user=root'];
      const room = [`--cache-size=${names}`, '--dns-forward-max=1000', `--server=127.0.0.1#${upstream}`];
      const command = findProgram('dnsmasq') ?? 'dnsmasq';
      return Program.start(folder, { name: 'dnsmasq', command, port, args: [...own, ...way, ...room] });
    },
    // It asks over UDP alone, so that a miss costs it something else; and it closes connections under queries, of which dnsperf may die.
    loads: everyLoad.filter((load) => load !== missesUdp && load !== cachedTcp),
  },
  // What a node has is a thread for each of its processors; this is what the agent is compared with.
  CoreDNS: {
    needs: ['coredns'],
    version: coreDnsVersion,
    start: (folder, upstream, names) => startCoreDns(folder, 'coredns', forwarding(upstream, names)),
    loads: everyLoad,
  },
  // As all others have it: threads of Go that wait for each other cost something, too.
  'CoreDNS, one thread': {
    needs: ['coredns'],
    version: coreDnsVersion,
    start: (folder, upstream, names) =>
      startCoreDns(folder, 'coredns-one', forwarding(upstream, names), { GOMAXPROCS: '1' }),
    loads: [cachedUdp, missesUdp],
  },
};

/**
 * Starts those that there are, and returns those that there are not, each with what the machine lacks. Whoever calls stops what was added to
 * `running`, also where one of them fails.
 */
export async function startContenders(
  folder: RunFolder,
  upstream: number,
  running: Map<string, Program>,
  { wanted = Object.keys(contenders), room = usualRoom }: { wanted?: readonly string[]; room?: number } = {},
): Promise<string[]> {
  const absent: string[] = [];
  for (const [name, { needs, start }] of Object.entries(contenders)) {
    if (!wanted.includes(name)) continue;
    const lacks = lacking(needs);
    if (lacks.length > 0) absent.push(`${name}: ${lacks.map(({ message }) => message).join('; ')}`);
    else running.set(name, await start(folder, upstream, room));
  }
  return absent;
}

export function takes(server: string, load: string): boolean {
  return contenders[server]?.loads.includes(load) ?? false;
}

/** Undefined of ours. */
export function versionOf(server: string, { command }: Program): string | undefined {
  return contenders[server]?.version?.(command);
}

function versionIn(command: string, argument: string, words: RegExp): string {
  const said = execFileSync(command, [argument], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return words.exec(said)?.[1] ?? 'unknown';
}

/** By itself CoreDNS has room for 9,984 answers of either kind. */
function caching(names: number): string[] {
  return ['cache 3600 {', `  success ${names}`, `  denial ${names}`, '}'];
}

function forwarding(upstream: number, room: number): string[] {
  return [...caching(room), `forward . 127.0.0.1:${upstream} {`, '  force_tcp', '}'];
}

function agent(folder: RunFolder, upstream: number, variant: keyof typeof variants): Promise<Program> {
  return startAgent(folder, upstream, {
    name: `agent-${variant.replaceAll(' ', '-')}`,
    spec: agentSpec(),
    program: variants[variant],
  });
}
