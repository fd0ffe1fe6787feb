import type { Clock } from '../../agent/clock.ts';
import { ExchangeError, type ServerAddress } from '../../agent/forward/exchange-error.ts';
import type { Transport } from '../../agent/forward/transport.ts';

/** A query as it arrived at an upstream server. */
export interface UpstreamQuery {
  server: ServerAddress;
  overTcp: boolean;
  message: Buffer;
  reply(message: Buffer): void;
  /** The network says no. */
  refuse(): void;
}

/** Upstream servers that do what the test says; without an answer, a query times out on the fake clock. */
export class FakeUpstream implements Transport {
  readonly asked: UpstreamQuery[] = [];
  /** Called for each query; undefined leaves it waiting for {@link UpstreamQuery.reply}. */
  answer: (query: UpstreamQuery) => Buffer | undefined = () => undefined;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  exchange(server: ServerAddress, overTcp: boolean, message: Buffer, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(timeoutMs, () => reject(new ExchangeError('TIMEOUT', 'silence')));
      const query: UpstreamQuery = {
        server,
        overTcp,
        message,
        reply: (reply) => {
          timer.cancel();
          resolve(Buffer.from(reply));
        },
        refuse: () => {
          timer.cancel();
          reject(new ExchangeError('NETWORK', 'refused'));
        },
      };
      this.asked.push(query);
      const reply = this.answer(query);
      if (reply !== undefined) query.reply(reply);
    });
  }

  /** The query that came last. */
  get last(): UpstreamQuery {
    const query = this.asked.at(-1);
    if (query === undefined) throw new Error('no upstream was asked');
    return query;
  }

  close(): void {}
}
