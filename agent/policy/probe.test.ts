import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { query as packetOf, read } from '../../test/fake/octets.ts';
import { heartbeat } from '../self-query.ts';
import { maxMessageLength } from '../wire/answer.ts';
import { Query } from '../wire/query.ts';
import { heartbeatAnswer, heartbeatName, isOfSuccessor, loopName, probe, startedAtMs } from './probe.ts';

const chaos = 3;
const txt = 16;
const key = Buffer.alloc(32, 7);
const nonce = '0123456789abcdef';

const startMs = 1_234_567;

function scene(ofKey = key) {
  const seen = { heartbeats: 0, tcpHeartbeats: 0, loops: 0 };
  const policy = probe(
    ofKey,
    {
      heartbeat: () => {
        seen.heartbeats += 1;
      },
      tcpHeartbeat: () => {
        seen.tcpHeartbeats += 1;
      },
      loop: () => {
        seen.loops += 1;
      },
    },
    startMs,
  );
  const ask = (packet: Buffer, limit = 512): Buffer => {
    const query = new Query();
    query.parse(packet);
    const out = Buffer.alloc(1500, 0xff);
    return out.subarray(0, policy(query, out, limit));
  };
  return { seen, ask };
}

test('a heartbeat is answered with what only the key can tell, in whatever spelling it was asked', () => {
  const { seen, ask } = scene();
  const expected = createHmac('sha256', key).update(nonce).digest('hex').slice(0, 32);
  assert.equal(heartbeatAnswer(key, nonce), expected);
  for (const name of [heartbeatName(nonce), heartbeatName(nonce).toUpperCase()]) {
    const answer = read(ask(packetOf(name, { class: chaos, type: txt })));
    assert.deepEqual(answer.answers, [`${name} 0 TXT ${expected} ${startMs}`]);
  }
  assert.deepEqual(seen, { heartbeats: 2, tcpHeartbeats: 0, loops: 0 });
});

test('the answer of an agent that started later is told from that of an older one', () => {
  const answer = scene().ask(packetOf(heartbeatName(nonce), { class: chaos, type: txt }));
  assert.equal(isOfSuccessor(answer, startMs - 1), true);
  assert.equal(isOfSuccessor(answer, startMs), false);
  const withoutTime = Buffer.from(answer.subarray(0, answer.length - `${startMs}`.length));
  assert.equal(isOfSuccessor(withoutTime, 0), false);
});

test('all threads of a process know one start, and a process that starts now is younger', async () => {
  const module = JSON.stringify(new URL('./probe.ts', import.meta.url).href);
  const tell = (how: string) => `import(${module}).then(({ startedAtMs }) => ${how}(String(startedAtMs())))`;
  const worker = new Worker(tell("require('node:worker_threads').parentPort.postMessage"), { eval: true });
  const [inWorker] = await once(worker, 'message');
  assert.ok(Math.abs(Number(inWorker) - startedAtMs()) <= 1);
  const { stdout } = spawnSync(process.execPath, ['-e', tell('console.log')], { encoding: 'utf8' });
  assert.ok(Number(stdout) > startedAtMs() + 1, stdout);
});

test('heartbeats over TCP are counted apart', () => {
  const { seen, ask } = scene();
  assert.ok(ask(packetOf(heartbeatName(nonce), { class: chaos, type: txt }), maxMessageLength).length > 0);
  assert.deepEqual(seen, { heartbeats: 0, tcpHeartbeats: 1, loops: 0 });
});

test('what is no heartbeat is left to the policies behind', () => {
  const { seen, ask } = scene();
  for (const name of [
    'heartbeat.localdns',
    '0123456789abcde.heartbeat.localdns',
    '0123456789abcdef0.heartbeat.localdns',
    '0123456789abcdeg.heartbeat.localdns',
    'a.0123456789abcdef.heartbeat.localdns',
    '0123456789abcdef.a.heartbeat.localdns',
    '0123456789abcdef.heartbeat.localdns.example',
    'id.server',
  ]) {
    assert.equal(ask(packetOf(name, { class: chaos, type: txt })).length, 0, name);
  }
  assert.equal(ask(packetOf(heartbeatName(nonce), { class: 1, type: txt })).length, 0);
  assert.equal(ask(packetOf(heartbeatName(nonce), { class: chaos, type: 1 })).length, 0);
  assert.deepEqual(seen, { heartbeats: 0, tcpHeartbeats: 0, loops: 0 });
});

test('a loop probe of this process is refused and reported, whatever its type; that of another process is a query like any', () => {
  const { seen, ask } = scene();
  for (const type of [1, 28, 16]) assert.equal(read(ask(packetOf(loopName(key), { type }))).rcode, 5);
  assert.equal(seen.loops, 3);
  assert.equal(ask(packetOf(loopName(Buffer.alloc(32, 8)))).length, 0);
  assert.equal(ask(packetOf(loopName(key), { class: chaos, type: txt })).length, 0);
  assert.equal(seen.loops, 3);
  // A label of its own each time, so that no cache answers for the one who forwards.
  assert.equal(read(ask(packetOf(`x.${loopName(key)}`))).rcode, 5);
  assert.equal(seen.loops, 4);
});

test('a heartbeat takes the answer of its own process alone, and each asks for something new', () => {
  const [first, second] = [heartbeat(key), heartbeat(key)];
  const own = (query: Buffer) => Buffer.from(scene().ask(Buffer.from(query)));
  assert.ok(first.isAnsweredBy(own(first.query)));
  assert.ok(!first.isAnsweredBy(own(second.query)));
  assert.ok(!first.isAnsweredBy(Buffer.from(scene(Buffer.alloc(32, 8)).ask(Buffer.from(first.query)))));
  assert.ok(!first.isAnsweredBy(first.query));
});
