/** One question to one server, as `localdns query` asks it: over UDP, repeated over TCP where the answer is truncated. */
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type Endpoint, formatEndpoint } from '../api/v1alpha1/address.ts';
import { encodeQuery, type Reply, readReply } from './message.ts';

export interface ExchangeOptions {
  server: Endpoint;
  /** TCP from the start. */
  useTcp: boolean;
  /** For the whole exchange, a repetition over TCP included. */
  timeoutMs: number;
  /** 16 random bits (RFC 5452 §4.3). */
  id: number;
}

export interface Answered {
  reply: Reply;
  transport: 'UDP' | 'TCP';
  /** From the first octet sent until the last received, of the transport that answered. */
  timeMs: number;
}

/** Never rejects: what went wrong comes back as a sentence for a person. */
export async function exchange(
  { name, type }: { name: string; type: number },
  { server, useTcp, timeoutMs, id }: ExchangeOptions,
): Promise<Answered | { failure: string }> {
  const query = encodeQuery({ id, name, type });
  const isOurs = (reply: Reply) =>
    reply.id === id &&
    // Servers that cannot read a question answer without one (RFC 8906 §3).
    (reply.question === undefined ||
      (reply.question.type === type && reply.question.name.toLowerCase() === name.toLowerCase()));
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    if (!useTcp) {
      const answered = await askUdp(query, server, isOurs, deadline);
      if (!answered.reply.isTruncated) return answered;
    }
    return await askTcp(query, server, isOurs, deadline);
  } catch (error) {
    return { failure: describe(error, server, timeoutMs) };
  }
}

type IsOurs = (reply: Reply) => boolean;

function askUdp(query: Buffer, server: Endpoint, isOurs: IsOurs, deadline: AbortSignal): Promise<Answered> {
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
  deadline.addEventListener('abort', () => reject(deadline.reason));
  socket.on('error', reject);
  // Connected, so that a closed port is heard of at once, and only this server is heard.
  socket.connect(server.port, server.address);
  // A callback would be called where it fails, too.
  socket.once('connect', () => {
    const startedAt = performance.now();
    socket.on('message', (packet) => {
      const timeMs = performance.now() - startedAt;
      const reply = readReply(packet);
      if (reply !== undefined && isOurs(reply)) resolve({ reply, transport: 'UDP', timeMs });
    });
    socket.send(query, (error) => {
      if (error !== null) reject(error);
    });
  });
  return promise.finally(() => socket.close());
}

function askTcp(query: Buffer, server: Endpoint, isOurs: IsOurs, deadline: AbortSignal): Promise<Answered> {
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  const socket = connect({ host: server.address, port: server.port, noDelay: true });
  deadline.addEventListener('abort', () => reject(deadline.reason));
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('closed the connection without an answer')));
  let received = Buffer.alloc(0);
  let startedAt = 0;
  socket.on('connect', () => {
    startedAt = performance.now();
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    socket.write(Buffer.concat([length, query]));
  });
  socket.on('data', (chunk: Buffer) => {
    const timeMs = performance.now() - startedAt;
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
    const reply = readReply(received.subarray(2, 2 + received.readUInt16BE(0)));
    if (reply === undefined || !isOurs(reply)) reject(new Error('sent something that is no answer to the question'));
    else resolve({ reply, transport: 'TCP', timeMs });
  });
  return promise.finally(() => socket.destroy());
}

function describe(error: unknown, server: Endpoint, timeoutMs: number): string {
  const at = formatEndpoint(server);
  const { name, code, message } = error as NodeJS.ErrnoException;
  if (name === 'TimeoutError') return `${at} did not answer within ${timeoutMs / 1000} s`;
  if (code === 'ECONNREFUSED') return `nothing listens on ${at}`;
  if (code !== undefined) return `${at} cannot be reached: ${message}`;
  return `${at} ${message}`;
}
