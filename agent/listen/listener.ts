import type { Reply } from '../server/server.ts';

/** `port` 0 asks the system for one. */
export interface ListenAddress {
  address: string;
  port: number;
}

/** An open socket that serves. */
export interface Listener {
  readonly port: number;
  /** Takes no new queries; resolves once what was taken has been answered, or `graceMs` have passed. */
  close(graceMs: number): Promise<void>;
}

export type ServePacket = (packet: Buffer, reply: Reply) => void;

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
    case 'EADDRNOTAVAIL':
      return 'no interface of this node has the address';
    case 'EACCES':
      return 'ports below 1024 need root or the capability NET_BIND_SERVICE';
    default:
      return cause.message;
  }
}
