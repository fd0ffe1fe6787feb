/**
 * Asks DNS servers as a client with one try does: every query is sent once, and either answered in time or lost.
 * Everything here reads trusted test traffic, so dns-packet may do it.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import {
  decode,
  encode,
  type Answer as PacketAnswer,
  RECURSION_DESIRED,
  type RecordType,
  streamEncode,
  TRUNCATED_RESPONSE,
} from 'dns-packet';

export interface Question {
  server: string;
  port?: number;
  name: string;
  type?: RecordType;
  /** CH: about the server itself (RFC 4892). */
  class?: 'IN' | 'CH';
  transport?: 'udp' | 'tcp';
  timeoutMs?: number;
}

export interface Answer {
  rcode: string;
  truncated: boolean;
  answers: { name: string; type: string; ttl: number; data: string }[];
  /** Extended DNS error (RFC 8914), where the server gave one. */
  extendedError?: number;
  ms: number;
}

const extendedErrorOption = 15;

/** Rejects when no answer came in time: what a resolver library would repeat, a test must see. */
export function ask(question: Question): Promise<Answer> {
  return question.transport === 'tcp' ? askByTcp(question) : askByUdp(question);
}

function askByUdp(question: Question): Promise<Answer> {
  const { server, port = 53, name, timeoutMs = 5_000 } = question;
  const id = randomId();
  const socket = createSocket(server.includes(':') ? 'udp6' : 'udp4');
  const startedAt = performance.now();
  return new Promise<Answer>((resolve, reject) => {
    const timer = setTimeout(() => reject(lost(name, server, timeoutMs)), timeoutMs);
    socket.once('error', reject);
    socket.on('message', (message) => {
      if (message.readUInt16BE(0) !== id) return;
      clearTimeout(timer);
      resolve(read(message, startedAt));
    });
    socket.send(encode(query(id, name, question.type, question.class)), port, server);
  }).finally(() => socket.close());
}

function askByTcp(question: Question): Promise<Answer> {
  const { server, port = 53, name, timeoutMs = 5_000 } = question;
  const startedAt = performance.now();
  const socket = connect(port, server);
  return new Promise<Answer>((resolve, reject) => {
    const timer = setTimeout(() => reject(lost(name, server, timeoutMs)), timeoutMs);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`${server} closed the connection without an answer for ${name}`)));
    socket.once('connect', () => socket.write(streamEncode(query(randomId(), name, question.type, question.class))));
    onMessages(socket, (message) => {
      clearTimeout(timer);
      resolve(read(message, startedAt));
    });
  }).finally(() => socket.destroy());
}

/** DNS over TCP (RFC 1035 §4.2.2): each message after its length in two octets, however the stream is cut up. */
export function onMessages(socket: import('node:net').Socket, handle: (message: Buffer) => void): void {
  let held: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
      const end = 2 + held.readUInt16BE(0);
      handle(held.subarray(2, end));
      held = held.subarray(end);
    }
  });
}

export function query(id: number, name: string, type: RecordType = 'A', of: 'IN' | 'CH' = 'IN') {
  return {
    type: 'query' as const,
    id,
    flags: RECURSION_DESIRED,
    questions: [{ name, type, class: of }],
    additionals: [
      {
        type: 'OPT' as const,
        name: '.' as const,
        udpPayloadSize: 1232,
        flags: 0,
        options: [],
        extendedRcode: 0,
        ednsVersion: 0,
        flag_do: false,
      },
    ],
  };
}

export function read(message: Buffer, startedAt: number): Answer {
  const ms = performance.now() - startedAt;
  const packet = decode(message);
  const options = (packet.additionals ?? []).flatMap((record) => (record.type === 'OPT' ? record.options : []));
  const extended = options.find(({ code }) => Number(code) === extendedErrorOption) as { data?: Buffer } | undefined;
  return {
    rcode: (packet as unknown as { rcode: string }).rcode,
    truncated: ((packet.flags ?? 0) & TRUNCATED_RESPONSE) !== 0,
    answers: (packet.answers ?? []).flatMap(readable),
    ...(extended?.data === undefined ? {} : { extendedError: extended.data.readUInt16BE(0) }),
    ms,
  };
}

function readable(record: PacketAnswer): Answer['answers'] {
  if (record.type === 'OPT') return [];
  const { name, type, ttl = 0, data } = record as { name: string; type: string; ttl?: number; data: unknown };
  // The strings of a TXT record come one by one, as octets.
  const text = type === 'TXT' && Array.isArray(data) ? data.map(String).join('') : data;
  return [{ name, type, ttl, data: typeof text === 'string' ? text : JSON.stringify(text) }];
}

function randomId(): number {
  return Math.floor(Math.random() * 0x10000);
}

function lost(name: string, server: string, timeoutMs: number): Error {
  return new Error(`no answer from ${server} for ${name} within ${timeoutMs} ms`);
}
