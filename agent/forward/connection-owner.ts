import type { TcpConnection } from './tcp-connection.ts';
import type { TcpQuery } from './tcp-query.ts';

/** What a connection tells its pool, and what it knows from it about the server. */
export interface ConnectionOwner {
  /** One that arrived after another that had been asked later. */
  answersInAnyOrder: boolean;
  /** The shortest that anything took: the way there and back is at most so long. */
  roundTripMs: number | undefined;
  /** From one answer to the next over one connection, smoothed. */
  answerMs: number | undefined;
  /** So many are answered over one connection, then the server closes it; Infinity where it does not. */
  readonly queriesPerConnection: number;
  /** False for servers that cannot read the option edns-tcp-keepalive. */
  takesKeepalive: boolean;
  /** There may be room on a connection. */
  progressed(): void;
  /** @param wasGivenUp by us: the server is there */
  closed(connection: TcpConnection, unanswered: TcpQuery[], reason: string, wasGivenUp: boolean): void;
  isExtra(connection: TcpConnection): boolean;
  /** A query that was sent over a second connection was answered there first. */
  movePaid(): void;
}
