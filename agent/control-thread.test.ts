import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ControlThread } from './control-thread.ts';

const module = (code: string) => new URL(`data:text/javascript,${encodeURIComponent(code)}`);

test('what the first worker says before anybody listens is told to who does, then what it says later; the next one is another', async () => {
  const said = new SharedArrayBuffer(4);
  const code = `
    import { parentPort, workerData } from 'node:worker_threads';
    const said = new Int32Array(workerData.said);
    parentPort.postMessage({ kind: 'ping', number: 1 });
    Atomics.store(said, 0, 1);
    Atomics.notify(said, 0);
    parentPort.once('message', (message) => {
      parentPort.postMessage({ kind: 'ping', number: message });
      parentPort.close();
    });`;
  const thread = new ControlThread(module(code), { said });
  Atomics.wait(new Int32Array(said), 0, 0);
  // It is in the port's queue: what is there is told within some turns.
  for (let turn = 0; turn < 50; turn += 1) await nextTurn();
  const heard: unknown[] = [];
  const listenTo = () =>
    new Promise<void>((resolve) => {
      const listener = {
        message: (message: unknown) => heard.push(message),
        error: (error: Error) => heard.push(error),
        exit: resolve,
      };
      thread.next(listener, (worker) => worker.postMessage(heard.length + 10));
    });
  const ended = listenTo();
  deepEqual(heard, [{ kind: 'ping', number: 1 }]);
  await ended;
  deepEqual(heard.at(-1), { kind: 'ping', number: 10 });
  await listenTo();
  equal(heard.length, 4);
});
