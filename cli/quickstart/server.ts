/**
 * The embedded cluster DNS: a small authoritative server, so that LocalDNS can be tried on one machine with nothing else
 * installed. It keeps to what an agent relies on: UDP and TCP on one port, EDNS, truncation, many queries on a connection.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { formatEndpoint } from '../../api/v1alpha1/address.ts';
import { encodeReply, type Query, readQuery, udpLimit } from '../message.ts';
import type { ServiceList } from './services-file.ts';
import { Zones } from './zone.ts';

/** Closes what a client left open (RFC 7766 §6.2.3), after as long as CoreDNS waits. */
const idleTimeoutMs = 10_000;
const maxConnections = 256;
/** How often a port that is free for TCP may turn out to be taken for UDP, where any port will do. */
const portTries = 10;

export interface EmbeddedDns {
  /** `127.0.0.1:40123`, for both UDP and TCP. */
  endpoint: string;
  /** Serves another list from the next query on. */
  replace(services: ServiceList): void;
  /** Ends all connections; resolves when the port is free. May be called again. */
  close(): Promise<void>;
}

export interface EmbeddedDnsOptions {
  services: ServiceList;
  clusterDomain: string;
  /** An IP address of this machine. */
  address: string;
  /** 0 takes a free one. */
  port: number;
}

/** Rejects with the system's error where the port is taken or the address is not of this machine. */
export async function startEmbeddedDns({
  services,
  clusterDomain,
  address,
  port,
}: EmbeddedDnsOptions): Promise<EmbeddedDns> {
  const domain = clusterDomain.toLowerCase();
  let serial = 1;
  let zones = new Zones(services, domain, serial);
  const answer = (packet: Buffer, limit: (query: Query) => number) => respond(zones, packet, limit);

  const connections = new Set<Socket>();
  const tcp = createServer({ noDelay: true }, (socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
    serveConnection(socket, (packet) => answer(packet, () => 65_535));
  });
  tcp.maxConnections = maxConnections;
  const udp = await listenOnBoth(tcp, address, port);
  const bound = udp.address();
  udp.on('message', (packet, from) => {
    const reply = answer(packet, udpLimit);
    // A client that has gone away is no concern of ours.
    if (reply !== undefined) udp.send(reply, from.port, from.address, () => {});
  });

  let closing: Promise<void> | undefined;
  const closeAll = async () => {
    const closed = Promise.all([once(udp, 'close'), once(tcp, 'close')]);
    udp.close();
    tcp.close();
    for (const socket of connections) socket.destroy();
    await closed;
  };
  return {
    endpoint: formatEndpoint({ address, port: bound.port }),
    replace(next) {
      serial++;
      zones = new Zones(next, domain, serial);
    },
    close() {
      closing ??= closeAll();
      return closing;
    },
  };
}

function respond(zones: Zones, packet: Buffer, limit: (query: Query) => number): Buffer | undefined {
  const received = readQuery(packet);
  if (received === undefined) return undefined;
  if ('refusal' in received) return received.refusal;
  const { query } = received;
  const found = zones.lookup(query.name, query.type);
  // The client's spelling comes back in the records of the name it asked for (RFC 4343 §4.1).
  const answers = found.answers.map((record) =>
    record.name === query.name ? { ...record, name: query.spelling } : record,
  );
  return encodeReply(query, { ...found, answers, isAuthoritative: found.rcode !== 'REFUSED' }, limit(query));
}

/** Answers each message as soon as it is complete, however the frames are cut (RFC 7766 §8). */
function serveConnection(socket: Socket, answer: (packet: Buffer) => Buffer | undefined): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.setTimeout(idleTimeoutMs, () => socket.destroy());
  // A reset by the client: 'close' follows and cleans up.
  socket.on('error', () => {});
  socket.on('drain', () => socket.resume());
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    const replies: Buffer[] = [];
    while (pending.length >= 2) {
      const length = pending.readUInt16BE(0);
      if (pending.length < 2 + length) break;
      const reply = answer(pending.subarray(2, 2 + length));
      pending = pending.subarray(2 + length);
      // What is no query at all: the two sides disagree about where frames begin.
      if (reply === undefined) return void socket.destroy();
      replies.push(frame(reply));
    }
    // A client that asks and does not read is not read from either.
    if (replies.length > 0 && !socket.write(Buffer.concat(replies))) socket.pause();
  });
}

function frame(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** Takes the port for TCP first, then the same for UDP; where any port will do, tries another if that one is taken. */
async function listenOnBoth(tcp: Server, address: string, port: number): Promise<UdpSocket> {
  for (let tries = 1; ; tries++) {
    tcp.listen({ host: address, port });
    await once(tcp, 'listening');
    const udp = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    try {
      udp.bind({ address, port: portOf(tcp) });
      await once(udp, 'listening');
      // Errors of single datagrams, such as an unreachable client.
      udp.on('error', () => {});
      return udp;
    } catch (error) {
      udp.close();
      tcp.close();
      await once(tcp, 'close');
      const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      if (!isTaken || port !== 0 || tries === portTries) throw error;
    }
  }
}

function portOf(server: Server): number {
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : 0;
}
