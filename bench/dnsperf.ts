import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../test/tools/find.ts';
import type { RunFolder } from '../test/tools/run-folder.ts';

/** Answers that came and were NOERROR; how many did not come. */
export interface Ended {
  answered: number;
  lost: number;
  perSecond: number;
}

let files = 0;

/** A file of names that nobody has asked for before, as long as those of the field are. */
export function newNames(folder: RunFolder, count: number): string {
  files += 1;
  const path = join(folder.path, `names-${files}`);
  const random = () => Math.random().toString(36).slice(2, 12).padEnd(10, 'x');
  writeFileSync(
    path,
    Array.from({ length: count }, (_, at) => `${random()}-${at}.services.bench.example A\n`).join(''),
  );
  return path;
}

/** Each name of the file so often, in another case each time and in no order: the same answers, and yet no query comes again soon. */
export function inOtherCases(folder: RunFolder, file: string, times: number): string {
  files += 1;
  const path = join(folder.path, `names-${files}`);
  const names = Load.namesIn(file).map((line) => line.slice(0, line.lastIndexOf(' ')));
  const inCase = (name: string) =>
    name.replace(/[a-z]/g, (letter) => (Math.random() < 0.5 ? letter.toUpperCase() : letter));
  const lines = Array.from({ length: times }, () => names.map((name) => ({ name: inCase(name), at: Math.random() })));
  const shuffled = lines.flat().sort((a, b) => a.at - b.at);
  writeFileSync(path, shuffled.map(({ name }) => `${name} A\n`).join(''));
  return path;
}

/** A load of dnsperf over UDP that ends by itself. */
export class Load {
  readonly port: number;
  /** Behind its name. */
  readonly args: readonly string[];
  readonly #child: ChildProcess;
  readonly #said: string[] = [];

  constructor(folder: RunFolder, port: number, names: string, more: readonly string[]) {
    this.port = port;
    this.args = ['-s', '127.0.0.1', '-p', String(port), '-d', names, '-c', '8', '-t', '3', '-n', '1', ...more];
    this.#child = spawn(findProgram('dnsperf') ?? 'dnsperf', this.args, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#said.push(text));
    const { pid } = this.#child;
    if (pid !== undefined) folder.recordProcess(pid);
  }

  /** The lines of a file of names. */
  static namesIn(path: string): string[] {
    return readFileSync(path, 'utf8').trimEnd().split('\n');
  }

  /** Of a load with `-v`: in how many microseconds which part of the answers was there. */
  async latencies(): Promise<Ended & { at: (part: number) => number }> {
    const ended = await this.ended();
    const micros: number[] = [];
    for (const [, seconds] of this.#said.join('').matchAll(/^> NOERROR \S+ \S+ ([\d.]+)$/gm)) {
      micros.push(Math.round(Number(seconds) * 1e6));
    }
    micros.sort((a, b) => a - b);
    return { ...ended, at: (part) => micros[Math.floor(micros.length * part)] ?? Number.NaN };
  }

  /** What dnsperf says of itself before it asks; once it has ended. */
  get version(): string {
    return /^Version (\S+)/m.exec(this.#said.join(''))?.[1] ?? 'unknown';
  }

  async ended(): Promise<Ended> {
    await once(this.#child, 'close');
    const text = this.#said.join('');
    const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? Number.NaN);
    const found = {
      answered: number(/NOERROR (\d+)/),
      lost: number(/Queries lost:\s+(\d+)/),
      perSecond: Math.round(number(/Queries per second:\s+([\d.]+)/)),
    };
    if (Number.isNaN(found.answered)) throw new Error(`dnsperf has not said what it saw:\n${text}`);
    return found;
  }
}
