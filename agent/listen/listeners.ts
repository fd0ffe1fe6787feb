import { setTimeout as pause } from 'node:timers/promises';
import {
  type ListenAddress,
  ListenError,
  type Listener,
  type Mishap,
  type ServePacket,
  type TellMishap,
} from './listener.ts';
import { type Answerer, steerAway, steerToSelf } from './steering.ts';
import { openTcp } from './tcp.ts';
import { TcpLoad } from './tcp-load.ts';
import { openUdp } from './udp.ts';

export type ListenerName = 'cluster' | 'node';
export type ListenAddresses = Partial<Record<ListenerName, ListenAddress[]>>;

/** Serves a packet that came to one of a listener's addresses. */
export type ServeListener = (name: ListenerName, ...packet: Parameters<ServePacket>) => unknown;

/** An address that is listened on, with the port that the system gave. */
export interface ListeningAddress extends ListenAddress {
  name: ListenerName;
}

/** Asks one of our addresses, from a source port of its own. */
export type AskListener = (at: ListeningAddress, overTcp: boolean) => Promise<Answerer>;

interface Open {
  name: ListenerName;
  at: ListenAddress;
  /** UDP, TCP. */
  sockets: Listener[];
  /** Those that what comes to the address is known to be led to. */
  steered: Set<Listener>;
}

interface Steerable {
  open: Open;
  socket: Listener;
  at: ListeningAddress;
  overTcp: boolean;
}

const openTries = 20;
/** To lead what comes to a socket takes some milliseconds; where nobody answers, seconds. */
const nextSteeredMs = 50;

/** Everything that is listened on, over UDP and TCP. A change keeps the sockets of addresses that stay. */
export class Listeners {
  readonly #open = new Map<string, Open>();
  readonly #serve: ServeListener;
  readonly #tell: (name: ListenerName, what: Mishap, times?: number) => void;
  readonly #tcpLoad = new TcpLoad();

  constructor(serve: ServeListener, tell: (name: ListenerName, what: Mishap, times?: number) => void = () => {}) {
    this.#serve = serve;
    this.#tell = tell;
  }

  /** What is listened on. */
  get addresses(): ListeningAddress[] {
    return [...this.#open.values()].map(listeningAddress);
  }

  /** What the kernel has lost of queries is counted; nothing calls for that. */
  tellOverruns(): void {
    for (const { sockets } of this.#open.values()) for (const { tellOverrun } of sockets) tellOverrun?.();
  }

  /**
   * Leads what comes to transparent addresses to the sockets of this process, away from those of an older agent beside them.
   * @param again also where that has been done: places in the group have changed
   * @returns what could not be had, in a sentence
   */
  async steer(ask: AskListener, again = false): Promise<string | undefined> {
    const troubles = await this.#eachSteerable(async (attach, { open, socket, at, overTcp }) => {
      if (open.steered.has(socket) && !again) return undefined;
      open.steered.delete(socket);
      const where = `${at.address} port ${at.port} (${overTcp ? 'TCP' : 'UDP'})`;
      try {
        if (await steerToSelf(attach, () => ask(at, overTcp))) {
          open.steered.add(socket);
          return undefined;
        }
      } catch (error) {
        return `what comes to ${where} cannot be led here: ${(error as Error).message}`;
      }
      return `the ${at.name} listener on ${where} does not get its own query: no rule leads there, or another agent has it`;
    });
    return troubles.find((trouble) => trouble !== undefined);
  }

  /** Leads what comes to transparent addresses to another agent on them, where there is one, before they are closed. */
  async steerAway(ask: AskListener): Promise<void> {
    await this.#eachSteerable(async (attach, { open, socket, at, overTcp }) => {
      open.steered.delete(socket);
      // What the kernel refuses is lost in the moment of closing, and no more than that.
      await steerAway(attach, () => ask(at, overTcp)).catch(() => {});
    });
  }

  /** One after the other: clients that ask meanwhile would wait for all of them. One that hangs holds up no other. */
  async #eachSteerable<T>(act: (attach: (index: number) => void, what: Steerable) => Promise<T>): Promise<T[]> {
    const results: Promise<T>[] = [];
    for (const open of this.#open.values()) {
      for (const [place, socket] of open.sockets.entries()) {
        if (socket.steer === undefined) continue;
        const result = act(socket.steer, { open, socket, at: listeningAddress(open), overTcp: place > 0 });
        results.push(result);
        await Promise.race([result, pause(nextSteeredMs)]);
      }
    }
    return Promise.all(results);
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
          // Whether it is transparent is no part of it: a socket that is open stays as it is.
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
    const open: Open = { name, at, sockets: [], steered: new Set() };
    const serve: ServePacket = (packet, reply) => this.#serve(open.name, packet, reply);
    const tell: TellMishap = (what, times) => this.#tell(open.name, what, times);
    for (let left = openTries; ; left -= 1) {
      const udp = await openUdp(at, serve, tell);
      try {
        open.sockets = [udp, await openTcp({ ...at, port: udp.port }, serve, tell, this.#tcpLoad)];
        return open;
      } catch (error) {
        await udp.close(0);
        const another = at.port === 0 && error instanceof ListenError && error.code === 'EADDRINUSE' && left > 0;
        if (!another) throw error;
      }
    }
  }
}

function listeningAddress({ name, at, sockets }: Open): ListeningAddress {
  const port = sockets[0]?.port ?? at.port;
  return { name, address: at.address, port, ...(at.transparent && { transparent: true }) };
}
