import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { after, afterEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../test/tools/eventually.ts';
import { RunFolder } from '../test/tools/run-folder.ts';
import { ResponseCache } from './cache/response-cache.ts';
import { writeSnapshot } from './cache/snapshot.ts';
import { heartbeat, identityQuery } from './self-query.ts';

const withinMs = 10_000;
const folder = new RunFolder('main');
after(() => folder.remove());

let children: ChildProcess[] = [];
let sockets: Socket[] = [];
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  for (const socket of sockets) socket.close();
  children = [];
  sockets = [];
});

interface Line {
  startKey?: string;
  listening?: { port: number }[];
  silent?: string;
  told?: string;
  left?: string;
  sockets?: string[];
}

type Ending = number | 'never' | 'dies' | 'fails' | 'falls';

/** The serving thread, in a process of its own. */
function launch(withdraw: Ending, ...stateDir: string[]) {
  const program = join(import.meta.dirname, 'scripted-agent.fake.ts');
  const child = spawn(process.execPath, [program, String(withdraw), ...stateDir], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  if (child.pid !== undefined) folder.recordProcess(child.pid);
  const lines: Line[] = [];
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line)));
  const complaints = text(child.stderr ?? assert.fail());
  const exit = once(child, 'exit').then(([code]) => code as number | null);
  const line = (what: keyof Line) =>
    eventually(`a line with ${what}`, withinMs, () => lines.find((each) => what in each));
  return { child, exit, line, complaints };
}

/** One that serves. */
async function start(withdraw: Ending) {
  const { child, exit, line, complaints } = launch(withdraw);
  const port = (await line('listening')).listening?.[0]?.port ?? 0;
  const socket = createSocket('udp4');
  sockets.push(socket);
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const ask = async (query: Buffer) => {
    socket.send(query);
    const [answer] = (await once(socket, 'message')) as [Buffer];
    return answer;
  };
  return { child, exit, line, complaints, ask };
}

test('the worker is given the key of the start, by which the serving thread answers heartbeats', async () => {
  const [first, second] = [await start(0), await start(0)];
  const [key, otherKey] = [(await first.line('startKey')).startKey, (await second.line('startKey')).startKey];
  assert.match(key ?? '', /^[0-9a-f]{64}$/);
  assert.notEqual(key, otherKey);
  const { query, isAnsweredBy } = heartbeat(Buffer.from(key ?? '', 'hex'));
  assert.ok(isAnsweredBy(await first.ask(query)));
  assert.ok(!isAnsweredBy(await second.ask(query)));
});

test('the end waits until queries are led elsewhere, and serves meanwhile', async () => {
  const { child, exit, line, ask } = await start(300);
  child.kill('SIGTERM');
  await line('told');
  await ask(identityQuery());
  assert.equal(await exit, 0);
});

test('a configuration that comes while the agent ends is too late: it opens no sockets that would keep the process alive', async () => {
  const { child, exit } = await start(0);
  child.kill('SIGTERM');
  assert.equal(await Promise.race([exit, delay(20_000, 'still alive', { ref: false })]), 0);
});

test('a worker that does not answer does not hold the end up', async () => {
  const { child, exit, line } = await start('never');
  const beganAtMs = performance.now();
  child.kill('SIGTERM');
  await line('told');
  assert.equal(await exit, 0);
  assert.ok(performance.now() - beganAtMs < 5_000);
});

test('a worker that dies is replaced, while serving goes on, and what the C library opened for it is closed before', async () => {
  const { ask, line } = await start('dies');
  const { left } = await line('left');
  const { sockets = [] } = await line('sockets');
  assert.ok(sockets.length > 0);
  assert.ok(left !== undefined && !sockets.includes(left));
  await ask(identityQuery());
});

test('a worker that dies before anything is served ends the process with the code of what could not run, and a line that says so', async () => {
  const { exit, complaints } = launch('fails');
  assert.equal(await exit, 2);
  assert.match(await complaints, /^localdns: the control worker ended before anything was served$/m);
});

test('a worker that dies at the end does not take the exit code along', async () => {
  const { child, exit, complaints } = await start('falls');
  child.kill('SIGTERM');
  assert.equal(await exit, 0);
  assert.equal(await complaints, '');
});

test('what it restores is not waited for when the end comes', async () => {
  const stateDir = mkdtempSync(join(folder.path, 'state-'));
  let feeding: NodeJS.Timeout | undefined;
  const blocks = new Map([['a block with a name that takes its time', 'aa']]);
  const moment = { nowMs: 0, wallMs: Date.now() };
  const { value } = writeSnapshot(new ResponseCache(1), blocks, moment, () => false).next();
  const octets = [...(value ?? assert.fail('no snapshot begins like that'))];
  const peer = createServer((socket) => {
    socket.on('error', () => {});
    feeding = setInterval(() => socket.write(Buffer.from(octets.splice(0, 1))), 100);
  });
  try {
    await new Promise<void>((resolve) => peer.listen(join(stateDir, 'hand-over.sock'), resolve));
    const { child, exit } = launch(0, stateDir);
    await once(peer, 'connection');
    const beganAtMs = performance.now();
    child.kill('SIGTERM');
    assert.equal(await exit, 0);
    // That is how long the peer, which is never done, would have been listened to.
    assert.ok(performance.now() - beganAtMs < 3_000);
  } finally {
    clearInterval(feeding);
    peer.close();
  }
});
