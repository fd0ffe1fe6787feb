import { createSocket, type Socket } from 'node:dgram';
import { decode, encode } from 'dns-packet';

/** Asks over one UDP socket, many queries at once, each repeated until it is answered. */
export class DnsClient {
  readonly #socket: Socket;
  readonly #port: number;
  readonly #waiting = new Map<number, (rcode: string) => void>();
  #nextId = 1;

  constructor(port: number) {
    this.#port = port;
    this.#socket = createSocket('udp4');
    // ICMP "port unreachable" while the agent is not there yet; the repeat is the answer to it.
    this.#socket.on('error', () => {});
    this.#socket.on('message', (packet) => {
      const { id = 0, rcode } = decode(packet) as { id?: number; rcode?: string };
      this.#waiting.get(id)?.(rcode ?? '');
    });
  }

  /** Resolves with the response code. Gives up with an error after `limitMs`. */
  ask(name: string, { repeatMs, limitMs }: { repeatMs: number; limitMs: number }): Promise<string> {
    const id = this.#freeId();
    const packet = encode({ type: 'query', id, flags: 0x0100, questions: [{ name, type: 'A' }] });
    return new Promise((resolve, reject) => {
      const send = () => this.#socket.send(packet, this.#port, '127.0.0.1');
      const repeat = setInterval(send, repeatMs);
      const limit = setTimeout(() => end(() => reject(new Error(`${name}: no answer in ${limitMs} ms`))), limitMs);
      const end = (settle: () => void) => {
        clearInterval(repeat);
        clearTimeout(limit);
        this.#waiting.delete(id);
        settle();
      };
      this.#waiting.set(id, (rcode) => end(() => resolve(rcode)));
      send();
    });
  }

  /** Asks for all names, `atOnce` at a time; an answer other than NOERROR is an error. */
  async askAll(names: readonly string[], atOnce: number): Promise<void> {
    const queue = names.values();
    const lane = async () => {
      for (const name of queue) {
        const rcode = await this.ask(name, { repeatMs: 1000, limitMs: 10_000 });
        if (rcode !== 'NOERROR') throw new Error(`${name}: ${rcode}`);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
  }

  close(): void {
    this.#socket.close();
  }

  #freeId(): number {
    do this.#nextId = (this.#nextId + 1) & 0xffff;
    while (this.#waiting.has(this.#nextId));
    return this.#nextId;
  }
}
