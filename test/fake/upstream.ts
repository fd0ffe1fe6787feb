import type { Clock } from '../../agent/clock.ts';
import type { ServerAddress, TlsIdentity } from '../../agent/forward/exchange-error.ts';
import type { Asker, Transport } from '../../agent/forward/transport.ts';
import { formatEndpoint } from '../../api/v1alpha1/address.ts';
import { type AnswerParts, buildAnswer, type Message, readMessage } from './message.ts';

/** One query as an upstream server received it. It stays unanswered until the test says otherwise. */
export interface UpstreamQuery {
  /** `ip:port` of the server that was asked. */
  readonly server: string;
  readonly overTcp: boolean;
  /** Whom the server has to prove to be, where it is asked over TLS. */
  readonly tls?: TlsIdentity | undefined;
  readonly bytes: Buffer;
  readonly question: Message;
  readonly atMs: number;
  answer(parts?: AnswerParts): void;
  /** Octets as they are. */
  send(message: Buffer): void;
  /** The port is closed, or the connection is lost. */
  fail(reason?: string): void;
}

export type Respond = (query: UpstreamQuery) => void;

/**
 * Upstream servers in memory, in the place of the network. Queries are collected in {@link FakeUpstreams.queries}; `respond` may
 * answer them as they come. One that nobody answers times out by the clock.
 */
export class FakeUpstreams implements Transport {
  /** All that were asked, in order. */
  readonly queries: UpstreamQuery[] = [];
  respond: Respond;
  closed = false;
  readonly #clock: Clock;

  constructor(clock: Clock, respond: Respond = () => {}) {
    this.#clock = clock;
    this.respond = respond;
  }

  ask(server: ServerAddress, overTcp: boolean, message: Buffer, timeoutMs: number, asker: Asker): void {
    let hasEnded = false;
    const end = (tell: () => void) => {
      if (hasEnded) return;
      hasEnded = true;
      timer.cancel();
      tell();
    };
    const timer = this.#clock.after(timeoutMs, () =>
      end(() => asker.failed('TIMEOUT', `no reply over ${overTcp ? 'TCP' : 'UDP'} within ${timeoutMs} ms`)),
    );
    const bytes = Buffer.from(message);
    const query: UpstreamQuery = {
      server: formatEndpoint(server),
      overTcp,
      tls: server.tls,
      bytes,
      question: readMessage(bytes),
      atMs: this.#clock.nowMs(),
      answer: (parts) => query.send(buildAnswer(bytes, parts)),
      send: (reply) =>
        end(() => {
          // As sockets do it: what was read is written over by what comes next.
          const read = Buffer.from(reply);
          asker.answered(read);
          read.fill(0xff);
        }),
      fail: (reason = overTcp ? 'the upstream closed the connection' : 'connection refused') =>
        end(() => asker.failed('NETWORK', reason)),
    };
    this.queries.push(query);
    this.respond(query);
  }

  close(): void {
    this.closed = true;
  }
}
