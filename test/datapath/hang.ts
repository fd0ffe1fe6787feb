/**
 * Runs inside a network namespace: makes one thread of a Node process hang or end, through the inspector that the process was
 * started with (NODE_OPTIONS). A signal could only stop all of its threads.
 *
 * hang.ts main|worker MILLISECONDS: prints a line at the moment in which it hands the thread something that takes so long.
 * hang.ts worker exit: … something that ends it.
 */
import assert from 'node:assert/strict';

export const inspectorPort = 9229;

interface Reply {
  id?: number;
  method?: string;
  params?: { sessionId?: string };
}

if (import.meta.main) await hang(process.argv[2] === 'worker', process.argv[3] ?? '');

async function hang(inWorker: boolean, time: string): Promise<void> {
  const targets = await fetch(`http://127.0.0.1:${inspectorPort}/json`);
  const [target] = (await targets.json()) as { webSocketDebuggerUrl: string }[];
  assert.ok(target);
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  const send = (id: number, method: string, params: object) => socket.send(JSON.stringify({ id, method, params }));
  const received = (wanted: (reply: Reply) => boolean) =>
    new Promise<Reply>((resolve) => {
      socket.addEventListener('message', ({ data }) => {
        const reply = JSON.parse(String(data)) as Reply;
        if (wanted(reply)) resolve(reply);
      });
    });
  const wait = `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${Number(time)})`;
  const expression = time === 'exit' ? 'process.exit(1)' : wait;
  // One that ends may not answer.
  const ofWorker = ['NodeWorker.receivedMessageFromWorker', 'NodeWorker.detachedFromWorker'];
  const done = received(({ id, method = '' }) => (inWorker ? ofWorker.includes(method) : id === 2));
  if (inWorker) {
    const attached = received(({ method }) => method === 'NodeWorker.attachedToWorker');
    send(1, 'NodeWorker.enable', { waitForDebuggerOnStart: false });
    const { params } = await attached;
    const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
    send(2, 'NodeWorker.sendMessageToWorker', { sessionId: params?.sessionId, message });
  } else {
    send(2, 'Runtime.evaluate', { expression });
  }
  console.log('hangs');
  await done;
  socket.close();
}
