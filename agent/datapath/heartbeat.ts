/**
 * Asks every listener, over UDP and TCP, whether this very agent answers there: the question carries a nonce, and the answer
 * needs a key that only the serving thread has besides us. The packets carry the mark by which they are delivered to the
 * agent whatever the rules say at the moment.
 */
import { randomBytes } from 'node:crypto';
import type { Socket as UdpSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import { markedTcp, markedUdp, selfAddress } from '../marked-socket.ts';
import { heartbeatAnswer, heartbeatName, isOfSuccessor } from '../policy/probe.ts';
import { nameFromText } from '../wire/name.ts';
import { setU16 } from '../wire/octets.ts';
import { type Family, familyOf } from './family.ts';

const dnsPort = 53;
const headerLength = 12;
const typeTxt = 16;
const classChaos = 3;

/** Both ways must be answered: pods use either. */
export interface Pulse {
  udp: boolean;
  tcp: boolean;
  /** An agent that has started later answers there. */
  overtaken: boolean;
}

/** Hears replies that are not this agent's. */
type HearOther = (reply: Buffer) => void;

export class Heartbeat {
  readonly #key: Buffer;
  readonly #mark: number;
  readonly #sockets = new Map<Family, { socket: UdpSocket; from: string }>();
  readonly #waiting = new Map<number, { wanted: Buffer; done: () => void; hearOther: HearOther }>();
  #nextId = 0;

  /** @param key of the agent's start; `mark` is the one that delivers to the agent */
  constructor(key: Buffer, mark: number) {
    this.#key = key;
    this.#mark = mark;
  }

  /** Asks all at once; never rejects. Whatever has not answered within `timeoutMs` counts as silent. */
  async ask(addresses: readonly string[], timeoutMs: number): Promise<Map<string, Pulse>> {
    const pulses = await Promise.all(
      addresses.map(async (address): Promise<[string, Pulse]> => {
        let overtaken = false;
        const hearOther = (reply: Buffer) => {
          overtaken ||= isOfSuccessor(reply);
        };
        const [udp, tcp] = await Promise.all([
          this.#askUdp(address, timeoutMs, hearOther),
          this.#askTcp(address, timeoutMs, hearOther),
        ]);
        return [address, { udp, tcp, overtaken }];
      }),
    );
    return new Map(pulses);
  }

  close(): void {
    for (const { socket } of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #askUdp(address: string, timeoutMs: number, hearOther: HearOther): Promise<boolean> {
    return new Promise((resolve) => {
      const { query, queryId, wanted } = this.#question();
      const end = (answered: boolean) => {
        clearTimeout(timer);
        this.#waiting.delete(queryId);
        resolve(answered);
      };
      const timer = setTimeout(() => end(false), timeoutMs);
      this.#waiting.set(queryId, { wanted, done: () => end(true), hearOther });
      try {
        this.#udp(familyOf(address)).send(query, dnsPort, address, (error) => {
          if (error) end(false);
        });
      } catch {
        end(false);
      }
    });
  }

  #udp(family: Family): UdpSocket {
    const from = selfAddress(family);
    const known = this.#sockets.get(family);
    if (known?.from === from) return known.socket;
    // The node has another address now.
    known?.socket.close();
    const socket = markedUdp(family, this.#mark, from);
    // Nobody listens there at the moment: the silence says so as well.
    socket.on('error', () => undefined);
    socket.on('message', (reply) => {
      if (reply.length < headerLength) return;
      const waiting = this.#waiting.get(reply.readUInt16BE(0));
      if (waiting === undefined) return;
      if (reply.includes(waiting.wanted)) waiting.done();
      else waiting.hearOther(reply);
    });
    socket.unref();
    this.#sockets.set(family, { socket, from });
    return socket;
  }

  /** A new connection each time: that one is still served says nothing about the next one. */
  #askTcp(address: string, timeoutMs: number, hearOther: HearOther): Promise<boolean> {
    return new Promise((resolve) => {
      const { query, wanted } = this.#question();
      let socket: Socket;
      try {
        socket = markedTcp(familyOf(address), this.#mark, selfAddress(familyOf(address)));
      } catch {
        resolve(false);
        return;
      }
      let received = Buffer.alloc(0);
      const end = (answered: boolean) => {
        clearTimeout(timer);
        // A reset leaves nothing behind; closed in order, thousands would wait out their time every hour.
        socket.resetAndDestroy();
        resolve(answered);
      };
      const timer = setTimeout(() => end(false), timeoutMs);
      socket.on('error', () => end(false));
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        if (received.includes(wanted)) end(true);
        else hearOther(received);
      });
      socket.once('end', () => end(false));
      socket.connect({ host: address, port: dnsPort }, () => {
        const frame = Buffer.alloc(2 + query.length);
        setU16(frame, 0, query.length);
        query.copy(frame, 2);
        socket.write(frame);
      });
      socket.unref();
    });
  }

  #question(): { query: Buffer; queryId: number; wanted: Buffer } {
    const nonce = randomBytes(8).toString('hex');
    this.#nextId = (this.#nextId + 1) & 0xffff;
    const header = Buffer.alloc(headerLength);
    setU16(header, 0, this.#nextId);
    setU16(header, 4, 1);
    const question = Buffer.concat([
      header,
      Buffer.from(nameFromText(heartbeatName(nonce)), 'latin1'),
      Buffer.from([0, typeTxt, 0, classChaos]),
    ]);
    return { query: question, queryId: this.#nextId, wanted: Buffer.from(heartbeatAnswer(this.#key, nonce)) };
  }
}
