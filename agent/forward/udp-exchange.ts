import { randomInt } from 'node:crypto';
import type { Clock } from '../clock.ts';
import * as header from '../wire/header.ts';
import { setU16 } from '../wire/octets.ts';
import { hasQuestion } from '../wire/records.ts';
import { ExchangeError, type ServerAddress } from './exchange-error.ts';
import { type Outgoing, unmarked } from './outgoing.ts';

/**
 * One query over UDP on a socket of its own, so that its source port is unpredictable (RFC 5452 §4.5). The socket is connected:
 * the kernel discards what comes from elsewhere and reports a closed port at once. Replies with another id or question are
 * discarded and the wait goes on.
 */
export function udpExchange(
  server: ServerAddress,
  message: Buffer,
  timeoutMs: number,
  clock: Clock,
  outgoing: Outgoing = unmarked,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const query = Buffer.from(message);
    const queryId = randomInt(0x10000);
    setU16(query, 0, queryId);
    const question = query.subarray(header.headerLength, questionEnd(query));
    const socket = outgoing.udp(server);
    socket.unref();
    const fail = (code: ExchangeError['code'], reason: string) => {
      timer.cancel();
      socket.close();
      reject(new ExchangeError(code, reason));
    };
    const timer = clock.after(timeoutMs, () => fail('TIMEOUT', `no reply over UDP within ${Math.round(timeoutMs)} ms`));
    socket.once('error', (error) => fail('NETWORK', error.message));
    socket.on('message', (reply) => {
      if (reply.length < header.headerLength || header.id(reply) !== queryId) return;
      if (!answers(reply, question)) return;
      timer.cancel();
      socket.close();
      resolve(reply);
    });
    // Without a route the callback is given the error, which the type does not say.
    socket.connect(server.port, server.address, (error?: Error) => {
      if (error === undefined) socket.send(query);
      else fail('NETWORK', error.message);
    });
  });
}

/**
 * True for a response to this question; our own query that comes back is none. An error may come without the question
 * (RFC 1035 leaves it open; some servers do so for FORMERR).
 */
export function answers(reply: Buffer, question: Buffer): boolean {
  if ((header.flags(reply) & header.flag.response) === 0) return false;
  return header.questionCount(reply) === 0 ? header.responseCode(reply) !== 0 : hasQuestion(reply, question);
}

/** Our own queries hold one question and one OPT record of 11 octets. */
export function questionEnd(query: Buffer): number {
  return query.length - 11;
}
