/** Sends packets as they are, each once, and waits for what comes back under its id. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';

const patienceMs = 6_000;

/** Octets of the answer; undefined for silence, and for a connection that ends without one. */
export type Octets = Buffer | undefined;

export class Asker {
  readonly #port: number;
  readonly #udp: Socket;
  readonly #waiting = new Map<number, (answer: Octets) => void>();

  private constructor(port: number, udp: Socket) {
    this.#port = port;
    this.#udp = udp;
    udp.on('message', (message) => this.#waiting.get(message.readUInt16BE(0))?.(message));
  }

  static async open(port: number): Promise<Asker> {
    const udp = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    return new Asker(port, udp);
  }

  /** @param packet with an id that no other one has that waits now */
  ask(packet: Buffer, overTcp: boolean): Promise<Octets> {
    return overTcp ? this.#overTcp(packet) : this.#overUdp(packet);
  }

  close(): void {
    this.#udp.close();
  }

  #overUdp(packet: Buffer): Promise<Octets> {
    return new Promise((resolve) => {
      const id = packet.readUInt16BE(0);
      const end = (answer: Octets) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(answer);
      };
      const timer = setTimeout(() => end(undefined), patienceMs);
      this.#waiting.set(id, end);
      this.#udp.send(packet, this.#port, '127.0.0.1');
    });
  }

  #overTcp(packet: Buffer): Promise<Octets> {
    return new Promise((resolve) => {
      const socket = connect(this.#port, '127.0.0.1');
      let held = Buffer.alloc(0);
      const end = (answer: Octets) => {
        clearTimeout(timer);
        socket.destroy();
        resolve(answer);
      };
      const timer = setTimeout(() => end(undefined), patienceMs);
      socket.on('error', () => end(undefined));
      socket.on('close', () => end(undefined));
      socket.on('data', (chunk: Buffer) => {
        held = Buffer.concat([held, chunk]);
        if (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0))
          end(held.subarray(2, 2 + held.readUInt16BE(0)));
      });
      const length = Buffer.alloc(2);
      length.writeUInt16BE(packet.length);
      socket.write(Buffer.concat([length, packet]));
    });
  }
}
