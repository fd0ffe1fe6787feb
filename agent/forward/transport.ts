/**
 * The seam between forwarding and the network. Scenarios put a scripted upstream here; the agent puts {@link networkTransport}.
 */
import type { Clock } from '../clock.ts';
import type { ServerAddress } from './exchange-error.ts';
import { marked, type Outgoing, unmarked } from './outgoing.ts';
import { TcpPools } from './tcp-pool.ts';
import type { MayRepeat } from './tcp-query.ts';
import { udpExchange } from './udp-exchange.ts';

export interface Transport {
  /**
   * Sends `message` under an unpredictable id (RFC 5452 §4) and resolves with the reply that has this id, comes from there
   * and answers this question. Rejects with an ExchangeError after `timeoutMs` or when the network says no.
   * @param client on whose behalf, for where queries have to wait
   * @param mayRepeat asked before the query is sent again: a connection was lost, or is held up
   */
  exchange(
    server: ServerAddress,
    overTcp: boolean,
    message: Buffer,
    timeoutMs: number,
    client?: string,
    mayRepeat?: MayRepeat,
  ): Promise<Buffer>;
  close(): void;
}

/** @param mark what packet rules know the agent's own queries by; without it they carry no mark */
export function networkTransport(clock: Clock, mark?: number): Transport {
  return transportOver(clock, mark === undefined ? unmarked : marked(mark));
}

/** For asking the agent's own listeners at addresses that only packets with this mark are routed to. */
export function loopbackTransport(clock: Clock, mark: number): Transport {
  return transportOver(clock, marked(mark, true));
}

export function transportOver(clock: Clock, outgoing: Outgoing): Transport {
  const pools = new TcpPools(clock, outgoing);
  return {
    exchange: (server, overTcp, message, timeoutMs, client, mayRepeat) =>
      overTcp
        ? pools.exchange(server, message, timeoutMs, client, mayRepeat)
        : udpExchange(server, message, timeoutMs, clock, outgoing),
    close: () => pools.close(),
  };
}
