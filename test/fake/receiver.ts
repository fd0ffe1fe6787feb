import { ExchangeError } from '../../agent/forward/exchange-error.ts';
import type { Upstream } from '../../agent/forward/upstream.ts';

/** What came of one query to an upstream: a copy of the reply; rejects with an {@link ExchangeError}. */
export function askOf(upstream: Upstream, message: Buffer, timeoutMs: number, overTcp?: boolean): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const receiver = {
      replied: (_: Upstream, reply: Buffer) => resolve(Buffer.from(reply)),
      failed: (_: Upstream, code: ExchangeError['code'], reason: string) => reject(new ExchangeError(code, reason)),
    };
    upstream.ask(message, timeoutMs, receiver, '', overTcp);
  });
}
