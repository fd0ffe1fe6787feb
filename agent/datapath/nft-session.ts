/**
 * One nft(8) that runs for as long as the agent and reads commands from us. It saves a process for each life sign, twice a
 * second; and it is the owner of the serving table (`flags owner`), which the kernel removes with it: its standard input ends
 * when the agent dies, however it dies, and so does it.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { NftError, type NftObject, nftEnvironment } from './nft.ts';

/** Commands take a millisecond; the kernel may make one wait for somebody else's transaction. */
const commandTimeoutMs = 2_000;

interface Command {
  line: string;
  /** Whether it prints an answer. */
  answers: boolean;
  resolve: (answer: string) => void;
  reject: (error: Error) => void;
}

export class NftSession {
  readonly #nft: ChildProcessWithoutNullStreams;
  readonly #queue: Command[] = [];
  #running: Command | undefined;
  #number = 0;
  #stdout = '';
  #stderr = '';
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param onEnd called once when it has ended without having been asked to: everything that it owned is gone */
  constructor(onEnd: (reason: string) => void, command = 'nft') {
    this.#nft = spawn(command, ['-j', '-i'], { env: nftEnvironment(), stdio: 'pipe' });
    this.#nft.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#look();
    });
    this.#nft.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#look();
    });
    this.#nft.stdin.on('error', () => undefined);
    const ended = (reason: string) => {
      if (this.#closed) return;
      this.#closed = true;
      clearTimeout(this.#timer);
      for (const { reject } of [...(this.#running ? [this.#running] : []), ...this.#queue])
        reject(new NftError(reason));
      onEnd(reason);
    };
    this.#nft.once('error', (error) => ended(`nft cannot be started: ${error.message}`));
    this.#nft.once('exit', (code, signal) => ended(`nft has ended (${signal ?? code})`));
  }

  get pid(): number | undefined {
    return this.#nft.pid;
  }

  /** Runs a script in one transaction: all of it or nothing. Rejects with an {@link NftError} that says why it was refused. */
  async run(script: string): Promise<void> {
    // One line is one transaction. A newline and a semicolon separate statements alike.
    const line = script
      .split('\n')
      .map((text) => text.trim())
      .filter((text) => text !== '')
      .join('; ');
    if (line !== '') await this.#send(line, false);
  }

  /** What a listing command prints; rejects with an {@link NftError} where the thing does not exist. */
  async list(what: string): Promise<NftObject[]> {
    const { nftables = [] } = JSON.parse(await this.#send(`list ${what}`, true)) as { nftables?: NftObject[] };
    return nftables.filter((object) => !('metainfo' in object));
  }

  /** Ends it, and with it goes what it owns. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#nft.stdin.end();
  }

  #send(line: string, answers: boolean): Promise<string> {
    if (this.#closed) return Promise.reject(new NftError('nft has ended'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ line, answers, resolve, reject });
      if (this.#running === undefined) this.#next();
    });
  }

  #next(): void {
    this.#running = this.#queue.shift();
    if (this.#running === undefined) return;
    this.#number += 1;
    this.#stdout = '';
    this.#stderr = '';
    this.#timer = setTimeout(() => this.#nft.kill('SIGKILL'), commandTimeoutMs);
    // Nothing tells that a command is done: what is no command follows it, and the complaint about it marks the end.
    this.#nft.stdin.write(`${this.#running.line}\n${this.#end}\n`);
  }

  get #end(): string {
    return `end_${this.#number}`;
  }

  #look(): void {
    const command = this.#running;
    if (command === undefined) return;
    const endsAt = this.#stderr.indexOf(this.#end);
    // The complaint names the line before it shows where in the line it stumbled.
    if (endsAt < 0 || !/\^/.test(this.#stderr.slice(endsAt))) return;
    const said = this.#stderr.slice(0, this.#stderr.lastIndexOf('Error: ', endsAt));
    const complaint = said.includes('Error: ') ? said.trim() : '';
    if (complaint === '' && command.answers && !this.#stdout.trimEnd().endsWith('}')) return;
    clearTimeout(this.#timer);
    this.#running = undefined;
    if (complaint === '') command.resolve(this.#stdout);
    else command.reject(new NftError(firstError(complaint)));
    this.#next();
  }
}

function firstError(complaint: string): string {
  return (/Error: (.*)/.exec(complaint)?.[1] ?? complaint).trim();
}
