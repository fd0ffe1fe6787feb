/** Connections to upstream servers, counted where their sockets are made. */
import { formatEndpoint } from '../api/v1alpha1/address.ts';
import type { Outgoing } from './forward/outgoing.ts';
import { bump } from './server/plan.ts';
import type { Tallies } from './tallies.ts';

/** Place in a tally of its own for each server and transport. */
export const ConnectionCount = { open: 0 } as const;
export const connectionCounts = Object.keys(ConnectionCount).length;

/** The same, with each connection counted from its handshake to its end. */
export function countingConnections(outgoing: Outgoing, tallies: Tallies): Outgoing {
  return {
    ...outgoing,
    tcp: (server, onRead) => {
      const socket = outgoing.tcp(server, onRead);
      const labels = { upstream: formatEndpoint(server), transport: server.tls === undefined ? 'tcp' : 'tls' };
      const counts = tallies.open('connection', labels, connectionCounts);
      socket.once('connect', () => {
        bump(counts, ConnectionCount.open);
        socket.once('close', () => bump(counts, ConnectionCount.open, -1));
      });
      return socket;
    },
  };
}
