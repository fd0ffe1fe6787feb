/** Who took part in `npm run bench -- speed`: the version of each, how it was started, and the files that these words name. */
import { readFileSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Program } from '../test/peers/program.ts';
import type { RunFolder } from '../test/tools/run-folder.ts';
import { versionOf } from './contenders.ts';
import type { Load } from './dnsperf.ts';

export interface Participant {
  server: string;
  /** Absent: the commit that is measured. */
  version?: string;
  command: string;
  /** Configuration that it was given, whole. */
  files: string[];
}

/** What differs from run to run and from machine to machine, and what the page says for it. */
export interface Places {
  folder: string;
  root: string;
  /** Of the server itself, and of whom it asks. */
  ports: Readonly<Record<string, number>>;
}

interface Words {
  env?: Readonly<Record<string, string>>;
  command: string;
  args: readonly string[];
}

const root = resolve(import.meta.dirname, '..');

export function lineUp(
  { path: folder }: RunFolder,
  running: ReadonlyMap<string, Program>,
  upstream: Program,
  load: Load,
): Participant[] {
  const participants = [...running, ['upstream', upstream] as const].map(([server, program]): Participant => {
    const version = versionOf(server === 'upstream' ? 'CoreDNS' : server, program);
    const places = { folder, root, ports: { '<upstream>': upstream.port, '<port>': program.port } };
    const files = program.args.filter((word) => word.startsWith(folder) && isFile(word));
    return {
      ...{ server: server === 'upstream' ? 'whom they ask' : server, ...(version !== undefined && { version }) },
      command: commandLine(program, places),
      files: files.map((path) => anywhere(readFileSync(path, 'utf8').trimEnd(), places)),
    };
  });
  const asking = commandLine({ command: 'dnsperf', args: load.args }, { folder, root, ports: { '<port>': load.port } });
  return [...participants, { server: 'who asks', version: load.version, command: asking, files: [] }];
}

/** As a person would type it on another machine. */
export function commandLine({ env = {}, command, args }: Words, places: Places): string {
  const own = anywhere(command, places);
  // What lies in our own tree is found there; all else by its name.
  const words = [own.startsWith('bin/') ? own : basename(own), ...args.map((word) => anywhere(word, places))];
  return [...Object.entries(env).map(([name, value]) => `${name}=${value}`), ...words].join(' ');
}

function anywhere(text: string, { folder, root: tree, ports }: Places): string {
  let said = text.replaceAll(folder, '<folder>').replaceAll(`${tree}/`, '');
  for (const [name, port] of Object.entries(ports)) said = said.replaceAll(new RegExp(`\\b${port}\\b`, 'g'), name);
  return said.replaceAll(/\b127\.0\.0\.1:\d+/g, '127.0.0.1:<other>');
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** @param own the version of ours */
export function lineUpSection(participants: readonly Participant[], own: string): string[] {
  const files = new Map<string, string[]>();
  for (const { server, files: texts } of participants) {
    for (const text of texts) files.set(text, [...(files.get(text) ?? []), server]);
  }
  return [
    '',
    '### Who took part',
    '',
    '`<folder>` is that of the run; dnsperf as it asks for what is cached, over UDP.',
    '',
    '| | version | started as |',
    '|---|---|---|',
    ...participants.map(({ server, version = own, command }) => `| ${server} | ${version} | \`${command}\` |`),
    ...[...files].flatMap(([text, servers]) => ['', `${servers.join(', ')}:`, '', '```', text, '```']),
  ];
}
