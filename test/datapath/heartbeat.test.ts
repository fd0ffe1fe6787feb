/** A heartbeat is answered by this very agent, over both transports, or it counts as silence. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import type { Pulse } from '../../agent/datapath/heartbeat.ts';
import { usualNames } from '../../agent/datapath/names.ts';
import { Namespace } from '../cluster/namespace.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { nft } from './network.ts';

const folder = new RunFolder('heartbeat');
const listeners = {
  good: '127.0.0.2',
  good6: 'fd00::2',
  /** Another agent, or somebody who guesses. */
  another: '127.0.0.3',
  udpOnly: '127.0.0.4',
  tcpOnly: '127.0.0.5',
  silent: '127.0.0.6',
  /** Answers what was asked before. */
  late: '127.0.0.7',
  nobody: '127.0.0.8',
} as const;
let node: Namespace;

before(() => {
  node = new Namespace(folder, 'node');
  node.addAddress(listeners.good6);
  const mark = `0x${usualNames.marks.intercept.toString(16)}`;
  nft(
    node,
    `table inet watch {
      counter marked { }
      counter others { }
      chain output { type filter hook output priority raw
        th dport 53 meta mark and ${mark} == ${mark} counter name marked accept
        th dport 53 counter name others
      }
    }`,
  );
});

after(async () => {
  await node?.close();
  await folder.remove();
});

const agent = (file: string) => resolve(import.meta.dirname, '../../agent', file);
const script = `
  const { createSocket } = require('node:dgram');
  const { createServer } = require('node:net');
  const { Heartbeat } = require('${agent('datapath/heartbeat.ts')}');
  const { heartbeatAnswer } = require('${agent('policy/probe.ts')}');
  const [listeners, mark] = JSON.parse(process.argv[1]);
  const key = Buffer.alloc(32, 1);
  let connections = 0;
  const answerAt = (where) => {
    let before = '0'.repeat(16);
    return (query) => {
      const nonce = query.toString('latin1', 13, 29);
      const text = heartbeatAnswer(where === 'another' ? Buffer.alloc(32, 2) : key, where === 'late' ? before : nonce);
      before = nonce;
      return Buffer.concat([query, Buffer.from(text)]);
    };
  };
  const open = [];
  for (const [where, address] of Object.entries(listeners)) {
    if (where === 'nobody') continue;
    const answer = answerAt(where);
    if (where !== 'tcpOnly') {
      const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
      if (where !== 'silent') udp.on('message', (query, { port, address }) => udp.send(answer(query), port, address));
      open.push(new Promise((resolve) => udp.bind(53, address, resolve)));
    }
    if (where !== 'udpOnly') {
      const tcp = createServer((socket) => {
        if (where === 'good') connections += 1;
        socket.setNoDelay().on('error', () => undefined);
        if (where === 'silent') return;
        socket.once('data', (frame) => {
          const reply = answer(frame.subarray(2));
          // In pieces, and the connection stays open.
          socket.write(reply.subarray(0, -7), () => setTimeout(() => socket.write(reply.subarray(-7)), 20));
        });
      });
      open.push(new Promise((resolve) => tcp.listen(53, address, resolve)));
    }
  }
  Promise.all(open).then(async () => {
    const heartbeat = new Heartbeat(key, mark);
    const beats = [];
    for (let beat = 0; beat < 2; beat += 1) {
      const startedAt = performance.now();
      const pulses = await heartbeat.ask(Object.values(listeners), 1_000);
      beats.push({ pulses: Object.fromEntries(pulses), tookMs: performance.now() - startedAt });
    }
    heartbeat.close();
    console.log(JSON.stringify({ beats, connections }));
    process.exit();
  });`;

test('only the text that this agent alone can know counts, over each transport by itself, within its time', async () => {
  const argument = JSON.stringify([listeners, usualNames.marks.intercept]);
  const { stdout, stderr } = await node.run(process.execPath, ['-e', script, argument], { timeoutMs: 20_000 });
  assert.equal(stderr, '');
  const { beats, connections } = JSON.parse(stdout) as {
    beats: { pulses: Record<string, Pulse>; tookMs: number }[];
    connections: number;
  };
  const pulse = (udp: boolean, tcp: boolean) => ({ udp, tcp, overtaken: false });
  const [both, neither] = [pulse(true, true), pulse(false, false)];
  for (const { pulses } of beats) {
    assert.deepEqual(pulses, {
      [listeners.good]: both,
      [listeners.good6]: both,
      [listeners.another]: neither,
      [listeners.udpOnly]: pulse(true, false),
      [listeners.tcpOnly]: pulse(false, true),
      [listeners.silent]: neither,
      [listeners.late]: neither,
      [listeners.nobody]: neither,
    });
  }
  // One of them may have been held up by a busy machine.
  const tookMs = Math.min(...beats.map((beat) => beat.tookMs));
  assert.ok(tookMs < 1_500, String(tookMs));
  // That one is still served says nothing about the next one.
  assert.equal(connections, beats.length);
});

test('whatever the rules say at the moment, it is delivered: every packet has the mark; and no connection waits for its end', async () => {
  const { stdout } = await node.run('nft', ['list', 'table', 'inet', 'watch']);
  assert.match(stdout, /counter others \{\n\t\tpackets 0 /);
  assert.doesNotMatch(stdout, /counter marked \{\n\t\tpackets 0 /);
  const waiting = await node.run('ss', ['-Htan', 'state', 'time-wait']);
  assert.equal(waiting.stdout, '');
});
