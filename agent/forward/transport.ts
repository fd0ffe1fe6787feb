/**
 * The seam between forwarding and the network. Scenarios put a scripted upstream here; the agent puts {@link networkTransport}.
 */
import type { Clock } from '../clock.ts';
import { ExchangeError, type ServerAddress } from './exchange-error.ts';
import { marked, type Outgoing, unmarked } from './outgoing.ts';
import { TcpPools } from './tcp-pool.ts';
import { udpExchange } from './udp-exchange.ts';

/** Who waits for one reply. Exactly one of {@link Asker.answered} and {@link Asker.failed} is called, maybe before `ask` returns. */
export interface Asker {
  /** On whose behalf, by address, for where queries have to wait; empty for our own. */
  readonly client: string;
  /** @param reply is used again after the return */
  answered(reply: Buffer): void;
  failed(code: ExchangeError['code'], reason: string): void;
  /** A reply came that has another id or question; the wait goes on. */
  mismatched(): void;
  /** Asked before the query is sent again, for a connection was lost or is held up; false: not now. */
  mayRepeat(): boolean;
}

export interface Transport {
  /**
   * Sends `message` under an unpredictable id (RFC 5452 §4) and tells the asker the reply that has this id, comes from there and
   * answers this question; or that there was none in `timeoutMs`, or that the network says no.
   */
  ask(server: ServerAddress, overTcp: boolean, message: Buffer, timeoutMs: number, asker: Asker): void;
  close(): void;
}

/** A copy of the reply; rejects with an {@link ExchangeError}. @param ask hands the asker to a transport */
export function promised(ask: (asker: Asker) => void, client = '', mayRepeat = () => true): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    ask({
      client,
      answered: (reply) => resolve(Buffer.from(reply)),
      failed: (code, reason) => reject(new ExchangeError(code, reason)),
      mismatched: () => {},
      mayRepeat,
    });
  });
}

/** For our own queries, one now and then; see {@link promised}. */
export function exchange(
  transport: Pick<Transport, 'ask'>,
  server: ServerAddress,
  overTcp: boolean,
  message: Buffer,
  timeoutMs: number,
): Promise<Buffer> {
  return promised((asker) => transport.ask(server, overTcp, message, timeoutMs, asker));
}

/** @param mark what packet rules know the agent's own queries by; without it they carry no mark */
export function networkTransport(clock: Clock, mark?: number | (() => number)): Transport {
  return transportOver(clock, mark === undefined ? unmarked : marked(mark));
}

/** For asking the agent's own listeners at addresses that only packets with this mark are routed to. */
export function loopbackTransport(clock: Clock, mark: number): Transport {
  return transportOver(clock, marked(mark, true));
}

export function transportOver(clock: Clock, outgoing: Outgoing): Transport {
  const pools = new TcpPools(clock, outgoing);
  return {
    ask: (server, overTcp, message, timeoutMs, asker) => {
      if (overTcp) pools.ask(server, message, timeoutMs, asker);
      else udpExchange(server, message, timeoutMs, asker, clock, outgoing);
    },
    close: () => pools.close(),
  };
}
