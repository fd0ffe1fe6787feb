/**
 * RFC 5452 §9.1: a reply is matched by "Question section ... ID field ... the server's IP address" and port; §4, §9.2: ids
 * and source ports are to be unpredictable, and the ports drawn from as many as there are.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, beforeEach, test } from 'node:test';
import { systemClock } from '../../../agent/clock.ts';
import type { ServerAddress } from '../../../agent/forward/exchange-error.ts';
import { networkTransport, promised } from '../../../agent/forward/transport.ts';
import { a, opt, query, questionName, reply, u16 } from '../../fake/octets.ts';

const question = query('www.example.com', { additionals: [opt({})] });
const longMs = 20_000;
const transport = networkTransport(systemClock);
const cleanups: (() => void)[] = [() => transport.close()];
after(() => {
  for (const cleanup of cleanups) cleanup();
});

const honest = (asked: Buffer) => reply(asked, { answers: [a(questionName, 60, '192.0.2.7')] });

let discarded = 0;
beforeEach(() => {
  discarded = 0;
});

function ask(at: ServerAddress, overTcp: boolean): Promise<Buffer> {
  const mismatched = () => {
    discarded += 1;
  };
  return promised((asker) => transport.ask(at, overTcp, question, longMs, { ...asker, mismatched }));
}

/** What an attacker, or a mix-up, sends before the answer. */
function forgeries(asked: Buffer): Buffer[] {
  const answers = [a(questionName, 60, '192.0.2.66')];
  const otherId = Buffer.from(reply(asked, { answers }));
  otherId.writeUInt16BE(asked.readUInt16BE(0) ^ 1, 0);
  return [
    otherId,
    reply(asked, { questions: [{ name: 'www.example.org' }], answers }),
    reply(asked, { questions: [{ name: 'www.example.com', type: 28 }], answers }),
    reply(asked, { questions: [{ name: 'www.example.com', class: 3 }], answers }),
    reply(asked, { questions: [], answers }),
    reply(asked, { questions: [{ name: 'www.example.com' }, { name: 'www.example.com' }], answers }),
    asked,
    asked.subarray(0, 11),
  ];
}

test('over UDP, forged replies are discarded and the wait goes on; ids and ports differ from query to query', async () => {
  const seen = { ids: new Set<number>(), ports: new Set<number>() };
  const server = createSocket('udp4');
  cleanups.push(() => server.close());
  server.on('message', (asked, { port, address }) => {
    seen.ids.add(asked.readUInt16BE(0));
    seen.ports.add(port);
    for (const message of [...forgeries(asked), honest(asked)]) server.send(message, port, address);
  });
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  const at = { address: '127.0.0.1', port: server.address().port };
  for (let number = 0; number < 8; number += 1) {
    const answer = await ask(at, false);
    assert.equal(answer.subarray(-4).join('.'), '192.0.2.7');
  }
  assert.equal(discarded, 8 * forgeries(question).length);
  // 8 draws of 65,536: two alike happen once in 2,340 runs, three alike never.
  assert.ok(seen.ids.size >= 7, `${seen.ids.size} ids`);
  assert.ok(seen.ports.size >= 7, `${seen.ports.size} ports`);
  // Neither one after the other nor out of a few: 8 draws of 28,232 lie within 256 of each other once in 10^13 runs.
  assert.ok(Math.max(...seen.ports) - Math.min(...seen.ports) > 256, `${[...seen.ports]}`);
});

test('over TCP, forged replies are discarded and the wait goes on', async () => {
  const ids = new Set<number>();
  const server = createServer((socket) => {
    socket.on('data', (frame: Buffer) => {
      const asked = frame.subarray(2);
      ids.add(asked.readUInt16BE(0));
      const messages = [...forgeries(asked), honest(asked)];
      socket.write(Buffer.concat(messages.flatMap((message) => [u16(message.length), message])));
    });
  });
  cleanups.push(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = { address: '127.0.0.1', port: (server.address() as AddressInfo).port };
  for (let number = 0; number < 8; number += 1) {
    const answer = await ask(at, true);
    assert.equal(answer.subarray(-4).join('.'), '192.0.2.7');
  }
  assert.equal(discarded, 8 * forgeries(question).length);
  assert.ok(ids.size >= 7, `${ids.size} ids`);
  // Drawn from all of them, not counted up.
  assert.ok(Math.max(...ids) > 0xff, `${[...ids]}`);
});
