/**
 * Netlink (netlink(7)): the kernel's own way in for routes and nftables, without a process for each change. The kernel has
 * answered everything by the time send(2) returns, and makes the next part of a long answer while the one before is fetched,
 * so nothing here ever waits.
 */
import { getSystemErrorName } from 'node:util';
import { type Libc, SystemCallError } from '../libc.ts';
import { align, findAttribute, hostU32Octets, textOf } from './netlink-attribute.ts';

/** linux/netlink.h: NETLINK_ROUTE, NETLINK_NETFILTER. */
export const netlinkProtocol = { route: 0, netfilter: 12 } as const;

export interface NetlinkMessage {
  type: number;
  /** Beyond those that say that it is a request, and wants an answer. */
  flags?: number;
  /** What follows the header: the family's own header, then attributes. */
  payload: Buffer;
}

/** linux/netlink.h: NLM_F_*. */
export const netlinkFlag = {
  request: 0x1,
  ack: 0x4,
  interrupted: 0x10,
  dump: 0x300,
  excl: 0x200,
  create: 0x400,
  append: 0x800,
} as const;

/**
 * What the kernel refused: `code` as in errno(3) by Node's names (EOPNOTSUPP is ENOTSUP), and the sentence that it gave, where
 * it gave one.
 */
export class NetlinkError extends Error {
  readonly code: string;

  constructor(code: string, reason?: string) {
    super(`the kernel refused it: ${code}${reason === undefined ? '' : ` (${reason})`}`);
    this.code = code;
  }
}

export function isNetlinkError(error: unknown, ...codes: readonly string[]): error is NetlinkError {
  return error instanceof NetlinkError && codes.includes(error.code);
}

const headerLength = 16;
const netlinkFamily = 16;
const rawSocket = 3;
const messageType = { error: 2, done: 3 } as const;
const cappedFlag = 0x100;
const tlvsFlag = 0x200;
/** NLMSGERR_ATTR_MSG. */
const reasonAttribute = 1;

/** The kernel makes the parts of a long answer as large as what they are fetched into, and no larger than half of this. */
const receiveLength = 0x10000;
const queueLength = 0x100000;

/** Above all that an agent opens, if the process may have so many; the kernel keeps 8 octets for each number below. */
const highDescriptors = [0x7f00, 0x3f00, 0x1f00, 0x380];

/** A table that changes while it is read is read anew; one that changes each time is given up. */
const maxDumps = 10;

/** What of the C library netlink takes. */
export type SocketCalls = Pick<Libc, 'socket' | 'setsockopt' | 'send' | 'recv' | 'duplicate' | 'close'>;

interface Answers {
  payloads: Buffer[];
  acknowledged: boolean;
  done: boolean;
  interrupted: boolean;
  refusal?: NetlinkError;
}

export class Netlink {
  readonly #libc: SocketCalls;
  readonly #received = Buffer.allocUnsafe(receiveLength);
  #fd: number;
  #sequence = 0;

  /**
   * @param endsFirst it has ended before the process's other sockets begin to, where the process dies: the kernel closes them
   * from the highest number down (since Linux 4.5), and goes on when no packet is under way that met what went with this one
   */
  constructor(
    libc: SocketCalls,
    protocol: (typeof netlinkProtocol)[keyof typeof netlinkProtocol],
    { endsFirst = false }: { endsFirst?: boolean } = {},
  ) {
    this.#libc = libc;
    const fd = libc.socket(netlinkFamily, rawSocket, protocol);
    this.#fd = endsFirst ? raised(libc, fd) : fd;
    const solNetlink = 270;
    // Errors that do not repeat the message, and do give a reason; dumps of one table alone; room for many answers.
    // An old kernel, or one that finds us without the right to it, does without.
    this.#option(solNetlink, 10, 1);
    this.#option(solNetlink, 11, 1);
    this.#option(solNetlink, 12, 1);
    this.#option(1, 33, queueLength);
  }

  /** Sends the messages as one datagram. Throws a {@link NetlinkError} for the first one that the kernel refused. */
  request(messages: readonly NetlinkMessage[]): void {
    if (messages.length === 0) return;
    const { acknowledged } = this.#exchange(messages, netlinkFlag.ack);
    if (!acknowledged) throw new NetlinkError('EPROTO', 'no answer');
  }

  /** Asks for one thing. Throws a {@link NetlinkError}, of the code ENOENT for most things that are not there. */
  get(message: NetlinkMessage): Buffer {
    const { payloads } = this.#exchange([message], 0);
    if (payloads[0] === undefined) throw new NetlinkError('EPROTO', 'no answer');
    return payloads[0];
  }

  /** Asks for all there is. The answer holds together: no change came between its parts. */
  dump(message: NetlinkMessage): Buffer[] {
    for (let dumps = 0; dumps < maxDumps; dumps += 1) {
      const { payloads, done, interrupted } = this.#exchange([message], netlinkFlag.dump);
      if (!done) throw new NetlinkError('EPROTO', 'half an answer');
      if (!interrupted) return payloads;
    }
    throw new NetlinkError('EINTR', `it changed ${maxDumps} times while it was read`);
  }

  close(): void {
    const fd = this.#fd;
    // The number may soon be that of another socket.
    this.#fd = -1;
    if (fd >= 0) this.#libc.close(fd);
  }

  #exchange(messages: readonly NetlinkMessage[], flags: number): Answers {
    this.#drain();
    const first = this.#sequence + 1;
    const datagram = messages.map((message) => {
      this.#sequence = (this.#sequence + 1) >>> 0;
      return encodeMessage({ ...message, flags: (message.flags ?? 0) | netlinkFlag.request | flags }, this.#sequence);
    });
    this.#libc.send(this.#fd, Buffer.concat(datagram));
    const answers: Answers = { payloads: [], acknowledged: false, done: false, interrupted: false };
    for (let length = this.#receive(); length >= 0; length = this.#receive()) {
      readAnswers(this.#received.subarray(0, length), first, messages.length, answers);
    }
    if (answers.refusal !== undefined) throw answers.refusal;
    return answers;
  }

  /** What an earlier request left behind when it threw half-way, a dump that is still running included. */
  #drain(): void {
    for (;;) {
      try {
        if (this.#receive() < 0) return;
      } catch (error) {
        // Answers were lost for want of room; they were for the request before this one.
        if (!(error instanceof SystemCallError) || error.code !== 'ENOBUFS') throw error;
      }
    }
  }

  #receive(): number {
    return this.#libc.recv(this.#fd, this.#received);
  }

  #option(level: number, option: number, value: number): void {
    try {
      this.#libc.setsockopt(this.#fd, level, option, hostU32Octets(value));
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
    }
  }
}

function raised(libc: SocketCalls, fd: number): number {
  for (const least of highDescriptors) {
    try {
      const high = libc.duplicate(fd, least);
      libc.close(fd);
      return high;
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
    }
  }
  return fd;
}

function encodeMessage({ type, flags = 0, payload }: NetlinkMessage, sequence: number): Buffer {
  const octets = Buffer.alloc(align(headerLength + payload.length));
  octets.writeUInt32LE(headerLength + payload.length, 0);
  octets.writeUInt16LE(type, 4);
  octets.writeUInt16LE(flags, 6);
  octets.writeUInt32LE(sequence, 8);
  payload.copy(octets, headerLength);
  return octets;
}

/** Adds to `answers` what `datagram` says about the `count` messages from the number `first` on. */
function readAnswers(datagram: Buffer, first: number, count: number, answers: Answers): void {
  for (let at = 0; at + headerLength <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    if (length < headerLength || at + length > datagram.length) return;
    const type = datagram.readUInt16LE(at + 4);
    const flags = datagram.readUInt16LE(at + 6);
    const index = (datagram.readUInt32LE(at + 8) - first) >>> 0;
    const payload = datagram.subarray(at + headerLength, at + length);
    at += align(length);
    if (index >= count) continue;
    if ((flags & netlinkFlag.interrupted) !== 0) answers.interrupted = true;
    if (type === messageType.error || type === messageType.done) {
      const error = payload.length < 4 ? 0 : payload.readInt32LE(0);
      if (type === messageType.done) answers.done = true;
      else if (error === 0) answers.acknowledged = true;
      if (error < 0) answers.refusal ??= new NetlinkError(getSystemErrorName(error), reasonOf(type, flags, payload));
    } else {
      // The buffer is used again for the next part.
      answers.payloads.push(Buffer.from(payload));
    }
  }
}

/** The kernel's own sentence; it follows the message that the error is about, of which the header alone may be repeated. */
function reasonOf(type: number, flags: number, payload: Buffer): string | undefined {
  if (type !== messageType.error || (flags & tlvsFlag) === 0 || payload.length < 4 + headerLength) return undefined;
  const repeated = (flags & cappedFlag) === 0 ? align(payload.readUInt32LE(4)) : headerLength;
  const reason = findAttribute(payload, reasonAttribute, 4 + repeated);
  return reason === undefined ? undefined : textOf(reason);
}
