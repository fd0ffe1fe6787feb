import type { Clock } from '../../agent/clock.ts';
import { ExchangeError, type ServerAddress, type TlsIdentity } from '../../agent/forward/exchange-error.ts';
import type { Transport } from '../../agent/forward/transport.ts';
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

  exchange(server: ServerAddress, overTcp: boolean, message: Buffer, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () =>
        reject(new ExchangeError('TIMEOUT', `no reply over ${overTcp ? 'TCP' : 'UDP'} within ${timeoutMs} ms`)),
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
        send: (reply) => {
          timer.cancel();
          resolve(reply);
        },
        fail: (reason = overTcp ? 'the upstream closed the connection' : 'connection refused') => {
          timer.cancel();
          reject(new ExchangeError('NETWORK', reason));
        },
      };
      this.queries.push(query);
      this.respond(query);
    });
  }

  close(): void {
    this.closed = true;
  }
}
