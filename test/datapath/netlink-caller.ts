import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Namespace } from '../cluster/namespace.ts';
import type { Call, Reply, Subjects } from './inside-netlink.ts';

type Method<S> = { [M in keyof S]: S[M] extends (...args: never[]) => unknown ? M : never }[keyof S] & string;
type ArgsOf<F> = F extends (...args: infer A) => unknown ? A : never;
type ResultOf<F> = F extends (...args: never[]) => infer R ? R : never;

/** A process inside a namespace, whose netlink sockets are told from here what to do. */
export class NetlinkCaller {
  readonly process: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  #calls = 0;

  /** @param startId of its rules, where it is not the only one that has some */
  constructor(namespace: Namespace, ...startId: string[]) {
    this.process = namespace.exec(process.execPath, [join(import.meta.dirname, 'inside-netlink.ts'), ...startId], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // Buffers and maps arrive as what they are.
      serialization: 'advanced',
    });
    this.process.on('message', ({ number, result, error }: Reply) => {
      const waiting = this.#waiting.get(number);
      this.#waiting.delete(number);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(Object.assign(new Error(error.message), { code: error.code }));
    });
    this.process.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the process inside the namespace has ended'));
      this.#waiting.clear();
    });
  }

  call<S extends keyof Subjects, M extends Method<Subjects[S]>>(
    subject: S,
    method: M,
    ...args: ArgsOf<Subjects[S][M]>
  ): Promise<Awaited<ResultOf<Subjects[S][M]>>> {
    const call: Call = { number: this.#calls, subject, method, args };
    this.#calls += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(call.number, { resolve: resolve as (result: unknown) => void, reject });
      this.process.send(call);
    });
  }

  /** As a crash would: nothing of it is tidied up by itself. Resolves once the process is gone. */
  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await gone;
  }
}
