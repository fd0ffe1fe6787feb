/** How sockets to upstream servers are made: as Node makes them, or with a mark by which packet rules know the agent's own. */

import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { type OnReadOpts, Socket } from 'node:net';
import { isV6Address } from '../../api/v1alpha1/address.ts';
import { markedTcp, markedUdp, selfAddress } from '../marked-socket.ts';
import { ExchangeError, type ServerAddress } from './exchange-error.ts';

/** Both throw an {@link ExchangeError} where there is no socket to be had. */
export interface Outgoing {
  /** Not connected yet; its port is drawn anew (RFC 5452 §4.5). */
  udp(server: ServerAddress): UdpSocket;
  /** Not connected yet. @param onRead takes what arrives, where the socket can do that; else it comes as 'data' */
  tcp(server: ServerAddress, onRead?: OnReadOpts): Socket;
}

export const unmarked: Outgoing = {
  udp: (server) =>
    createSocket({
      type: isV6Address(server.address) ? 'udp6' : 'udp4',
      // Asked for the local address as well, which must stay the wildcard. Both are literals: there is nothing to look up.
      lookup: (host, _options, done) => done(null, host, isV6Address(host) ? 6 : 4),
    }),
  tcp: (_server, onRead) => new Socket(onRead && { onread: onRead }),
};

/**
 * @param mark may be another one for each socket
 * @param toSelf packets leave from an address of the node: for servers that are the agent itself
 */
export function marked(mark: number | (() => number), toSelf = false): Outgoing {
  const open = <T>(server: ServerAddress, make: (family: 4 | 6, mark: number, localAddress?: string) => T): T => {
    const family = isV6Address(server.address) ? 6 : 4;
    try {
      return make(family, typeof mark === 'number' ? mark : mark(), toSelf ? selfAddress(family) : undefined);
    } catch (error) {
      throw new ExchangeError('NETWORK', (error as Error).message);
    }
  };
  return {
    udp: (server) => open(server, markedUdp),
    tcp: (server, onRead) =>
      open(server, (family, itsMark, localAddress) => markedTcp(family, itsMark, localAddress, onRead)),
  };
}
