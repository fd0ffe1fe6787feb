import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { decode, encode, type Packet, streamEncode } from 'dns-packet';

/** A scripted upstream on loopback, UDP and TCP: answers every name with one address, and counts what it is asked, but for probes of the agent's own. */
export class Authority {
  asked = 0;
  readonly #udp: Socket;
  readonly #tcp: Server;

  private constructor(udp: Socket, tcp: Server) {
    this.#udp = udp;
    this.#tcp = tcp;
  }

  static async start(): Promise<Authority> {
    const udp = createSocket('udp4');
    const tcp = createServer();
    const authority = new Authority(udp, tcp);
    udp.on('message', (packet, { port, address }) => udp.send(encode(authority.#answer(packet)), port, address));
    tcp.on('connection', (socket) => {
      let held = Buffer.alloc(0);
      // A client that is killed resets its connections; that is the end of them, and no fault.
      socket.on('error', () => socket.destroy());
      socket.on('data', (bytes: Buffer) => {
        held = Buffer.concat([held, bytes]);
        for (let size = frame(held); size !== undefined; size = frame(held)) {
          socket.write(streamEncode(authority.#answer(held.subarray(2, size))));
          held = held.subarray(size);
        }
      });
    });
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    tcp.listen(udp.address().port, '127.0.0.1');
    try {
      await once(tcp, 'listening');
    } catch {
      // What is free over UDP need not be so over TCP.
      udp.close();
      return Authority.start();
    }
    return authority;
  }

  get address(): string {
    return `127.0.0.1:${this.#udp.address().port}`;
  }

  stop(): void {
    this.#udp.close();
    this.#tcp.close();
  }

  #answer(packet: Buffer): Packet {
    const { id, questions = [] } = decode(packet);
    // An agent looks for loops once a minute, whoever asks it for what.
    if (!questions.every(({ name }) => name.toLowerCase().endsWith('.localdns'))) this.asked++;
    return {
      type: 'response',
      ...(id !== undefined && { id }),
      flags: 0x0400, // AA (RFC 1035 section 4.1.1)
      questions,
      answers: questions.map(({ name }) => ({ name, type: 'A', ttl: 3600, data: '192.0.2.1' })),
    };
  }
}

/** Length of the first message with its two octets of length (RFC 1035 section 4.2.2), once all of it is here. */
function frame(held: Buffer): number | undefined {
  if (held.length < 2) return undefined;
  const size = 2 + held.readUInt16BE(0);
  return held.length < size ? undefined : size;
}
