import type { Clock } from '../clock.ts';
import * as header from '../wire/header.ts';
import { setU16 } from '../wire/octets.ts';
import { hasQuestion } from '../wire/records.ts';
import { questionEnd } from '../wire/upstream-query.ts';
import type { ExchangeError, ServerAddress } from './exchange-error.ts';
import { type Outgoing, unmarked } from './outgoing.ts';
import { randomId } from './random-id.ts';
import type { Asker } from './transport.ts';

/**
 * One query over UDP on a socket of its own, so that its source port is unpredictable (RFC 5452 §4.5). The socket is connected:
 * the kernel discards what comes from elsewhere and reports a closed port at once. Replies with another id or question are
 * discarded and the wait goes on.
 */
export function udpExchange(
  server: ServerAddress,
  message: Buffer,
  timeoutMs: number,
  asker: Pick<Asker, 'answered' | 'failed' | 'mismatched'>,
  clock: Clock,
  outgoing: Outgoing = unmarked,
): void {
  let socket: ReturnType<Outgoing['udp']>;
  try {
    socket = outgoing.udp(server);
  } catch (error) {
    asker.failed('NETWORK', (error as Error).message);
    return;
  }
  const query = Buffer.from(message);
  const queryId = randomId();
  setU16(query, 0, queryId);
  socket.unref();
  let hasEnded = false;
  const end = (): void => {
    hasEnded = true;
    timer.cancel();
    socket.close();
  };
  const fail = (code: ExchangeError['code'], reason: string): void => {
    if (hasEnded) return;
    end();
    asker.failed(code, reason);
  };
  const timer = clock.after(timeoutMs, () => fail('TIMEOUT', `no reply over UDP within ${Math.round(timeoutMs)} ms`));
  socket.once('error', (error) => fail('NETWORK', error.message));
  socket.on('message', (reply) => {
    if (hasEnded) return;
    if (reply.length < header.headerLength || header.id(reply) !== queryId || !answers(reply, query)) {
      asker.mismatched();
      return;
    }
    end();
    asker.answered(reply);
  });
  // Without a route the callback is given the error, which the type does not say.
  socket.connect(server.port, server.address, (error?: Error) => {
    if (hasEnded) return;
    if (error === undefined) socket.send(query);
    else fail('NETWORK', error.message);
  });
}

/**
 * True for a response to this query; our own query that comes back is none. An error may come without the question
 * (RFC 1035 leaves it open; some servers do so for FORMERR).
 */
export function answers(reply: Buffer, query: Buffer): boolean {
  if ((header.flags(reply) & header.flag.response) === 0) return false;
  if (header.questionCount(reply) === 0) return header.responseCode(reply) !== 0;
  return hasQuestion(reply, query, header.headerLength, questionEnd(query));
}
