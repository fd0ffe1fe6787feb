import type { Reply } from '../server/server.ts';

/** `port` 0 asks the system for one. */
export interface ListenAddress {
  address: string;
  port: number;
  /** May be on no interface: packets are led here by rules. Other agents may hold the same address beside this one. */
  transparent?: boolean;
}

/** An open socket that serves. */
export interface Listener {
  readonly port: number;
  /**
   * For transparent addresses: what comes from now on goes to the socket of this index among those of all agents on the
   * address; throws where the kernel refuses.
   */
  readonly steer: ((index: number) => void) | undefined;
  /** Tells of queries that have found the buffer full since the last time; undefined where the kernel does not say. */
  readonly tellOverrun?: () => void;
  /**
   * Takes nothing new: no packet, and no connection; those that are open end at a moment without a query on its way. Resolves
   * once what was taken has been answered, or `graceMs` have passed.
   */
  close(graceMs: number): Promise<void>;
}

/** What clients and the network do to us; each is counted. */
export type Mishap =
  /** A packet from port 0, where nothing can be sent. */
  | 'forged'
  /** An answer that the kernel did not take, or whose connection was gone. */
  | 'unsent'
  /** A datagram that found the buffer of the socket full. */
  | 'overrun'
  /** Connections that were not taken: something is under way on all that the client may have, or on all. */
  | 'refusedPerClient'
  | 'refusedInAll'
  /** Connections that were closed: an idle one for a new one, one whose client does not read, one whose query never got whole. */
  | 'displaced'
  | 'unread'
  | 'unfinished';

/** @param times 1 where it is not given */
export type TellMishap = (what: Mishap, times?: number) => void;

/** @returns true where it is over: what is answered, and nothing that it began goes on */
export type ServePacket = (packet: Buffer, reply: Reply) => unknown;

/** Why an address cannot be listened on, in a sentence that says where to look. */
export class ListenError extends Error {
  readonly code: string;

  constructor(at: ListenAddress, transport: 'UDP' | 'TCP', cause: NodeJS.ErrnoException) {
    super(`cannot listen on ${at.address} port ${at.port} (${transport}): ${remedy(at, transport, cause)}`);
    this.code = cause.code ?? 'UNKNOWN';
  }
}

function remedy(at: ListenAddress, transport: 'UDP' | 'TCP', cause: NodeJS.ErrnoException): string {
  const flag = transport === 'UDP' ? 'u' : 't';
  switch (cause.code) {
    case 'EADDRINUSE':
      return `another process has it; 'ss -${flag}lpn sport = :${at.port}' names it (often systemd-resolved, dnsmasq or another node-local DNS)`;
    case 'EPERM':
      return 'addresses that are on no interface need the capability NET_ADMIN';
    case 'EADDRNOTAVAIL':
      return 'no interface of this node has the address';
    case 'EACCES':
      return 'ports below 1024 need root or the capability NET_BIND_SERVICE';
    default:
      return cause.message;
  }
}
