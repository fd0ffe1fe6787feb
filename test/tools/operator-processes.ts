/** Operators as processes of their own, beside API servers in memory; both end with the test that started them. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FakeApiServer } from '../../kube/api-server.fake.ts';

const main = new URL('../../operator/main.ts', import.meta.url).href;
const program = `import { runOperator } from ${JSON.stringify(main)};
process.exitCode = await runOperator(process.argv.slice(1));`;

/** For one file of tests. Its functions need no `this`. */
export class OperatorProcesses {
  readonly folder = mkdtempSync(join(tmpdir(), 'localdns-operator-'));
  readonly #outputs = new Map<ChildProcess, string>();
  readonly #closed = new WeakMap<ChildProcess, Promise<unknown>>();
  readonly #servers: FakeApiServer[] = [];

  constructor() {
    afterEach(async () => {
      const children = [...this.#outputs.keys()];
      for (const child of children) child.kill('SIGKILL');
      // What one says in its last moment is not taken for the words of the next one.
      await Promise.all(children.map((child) => this.#closed.get(child)));
      for (const server of this.#servers.splice(0)) await server.stop();
      this.#outputs.clear();
    });
    after(() => rmSync(this.folder, { recursive: true }));
  }

  readonly operator = (...argv: string[]): ChildProcess => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program, '--', ...argv], {
      env: { PATH: process.env.PATH },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#outputs.set(child, '');
    this.#closed.set(child, once(child, 'close'));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#outputs.set(child, this.outputOf(child) + text);
      });
    }
    return child;
  };

  readonly outputOf = (child: ChildProcess): string => this.#outputs.get(child) ?? '';

  /** What the last one that was started has said. */
  readonly output = (): string => [...this.#outputs.values()].at(-1) ?? '';

  readonly lines = (): { level: string; code?: string; msg: string }[] => {
    const complete = this.output().split('\n').slice(0, -1);
    return complete.map((line) => JSON.parse(line) as { level: string; code?: string; msg: string });
  };

  readonly fakeServer = (plurals: readonly string[]): FakeApiServer => {
    const server = new FakeApiServer(plurals);
    this.#servers.push(server);
    return server;
  };

  readonly kubeconfig = (server: string): string => {
    const file = join(this.folder, 'kubeconfig');
    const parts = {
      clusters: [{ name: 'c', cluster: { server } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    };
    writeFileSync(file, JSON.stringify({ 'current-context': 'x', ...parts }));
    return file;
  };

  readonly freePort = async (): Promise<number> => {
    const server = new FakeApiServer([]);
    const { port } = new URL(await server.start());
    await server.stop();
    return Number(port);
  };

  readonly until = (holds: () => boolean): Promise<void> => this.untilAsync(async () => holds());

  readonly untilAsync = async (holds: () => Promise<boolean>): Promise<void> => {
    for (let tries = 0; tries < 3_000; tries++) {
      if (await holds()) return;
      await delay(10);
    }
    assert.fail(`never came true: ${holds}; output: ${this.output()}`);
  };
}
