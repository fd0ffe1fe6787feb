import { type ListenAddress, ListenError, type Listener, type ServePacket } from './listener.ts';
import { openTcp } from './tcp.ts';
import { openUdp } from './udp.ts';

export type ListenerName = 'cluster' | 'node';
export type ListenAddresses = Partial<Record<ListenerName, ListenAddress[]>>;

/** Serves a packet that came to one of a listener's addresses. */
export type ServeListener = (name: ListenerName, ...packet: Parameters<ServePacket>) => void;

interface Open {
  name: ListenerName;
  at: ListenAddress;
  sockets: Listener[];
}

const openTries = 20;

/** Everything that is listened on, over UDP and TCP. A change keeps the sockets of addresses that stay. */
export class Listeners {
  readonly #open = new Map<string, Open>();
  readonly #serve: ServeListener;

  constructor(serve: ServeListener) {
    this.#serve = serve;
  }

  /** What is listened on, with the ports that the system gave. */
  get addresses(): { name: ListenerName; address: string; port: number }[] {
    return [...this.#open.values()].map(({ name, at, sockets }) => ({
      name,
      address: at.address,
      port: sockets[0]?.port ?? at.port,
    }));
  }

  /**
   * Opens what is missing, all of it or nothing: rejects with a ListenError and leaves everything as it was.
   * @returns makes the change: at once addresses belong to the listeners that want them now; then closes what nobody wants
   */
  async open(wanted: ListenAddresses): Promise<(graceMs: number) => Promise<void>> {
    const owners = new Map<string, ListenerName>();
    const opened: [string, Open][] = [];
    try {
      for (const [name, addresses] of Object.entries(wanted) as [ListenerName, ListenAddress[]][]) {
        for (const at of addresses) {
          const key = `${at.address} ${at.port}${at.port === 0 ? ` ${name}` : ''}`;
          owners.set(key, name);
          if (!this.#open.has(key)) opened.push([key, await this.#openBoth(name, at)]);
        }
      }
    } catch (error) {
      await Promise.all(opened.flatMap(([, { sockets }]) => sockets.map((socket) => socket.close(0))));
      throw error;
    }
    for (const [key, open] of opened) this.#open.set(key, open);
    return async (graceMs) => {
      const obsolete: Open[] = [];
      for (const [key, open] of this.#open) {
        const owner = owners.get(key);
        if (owner !== undefined) open.name = owner;
        else {
          this.#open.delete(key);
          obsolete.push(open);
        }
      }
      await Promise.all(obsolete.flatMap(({ sockets }) => sockets.map((socket) => socket.close(graceMs))));
    };
  }

  /** UDP and TCP on the same port: where the system picks it, TCP may find it taken, and another one is picked. */
  async #openBoth(name: ListenerName, at: ListenAddress): Promise<Open> {
    const open: Open = { name, at, sockets: [] };
    const serve: ServePacket = (packet, reply) => this.#serve(open.name, packet, reply);
    for (let left = openTries; ; left -= 1) {
      const udp = await openUdp(at, serve);
      try {
        open.sockets = [udp, await openTcp({ address: at.address, port: udp.port }, serve)];
        return open;
      } catch (error) {
        await udp.close(0);
        const another = at.port === 0 && error instanceof ListenError && error.code === 'EADDRINUSE' && left > 0;
        if (!another) throw error;
      }
    }
  }
}
