/** A kernel for tests of netlink: it answers each datagram as the test says. */
import { SystemCallError } from '../libc.ts';
import type { SocketCalls } from './netlink.ts';

/** A kernel that answers each datagram with what `answer` makes of the numbers of its messages. */
export class FakeKernel implements SocketCalls {
  readonly sent: Buffer[] = [];
  readonly closed: number[] = [];
  readonly queue: (Buffer | SystemCallError)[] = [];
  answer: (sequences: number[]) => (Buffer | SystemCallError)[] = (sequences) => sequences.map((n) => refusal(n, 0));

  socket = () => 7;
  setsockopt = () => {
    throw new SystemCallError('setsockopt', 'ENOPROTOOPT');
  };

  send(fd: number, message: Buffer): void {
    if (fd < 0) throw new SystemCallError('send', 'EBADF');
    this.sent.push(message);
    const sequences: number[] = [];
    for (let at = 0; at < message.length; at += (message.readUInt32LE(at) + 3) & ~3) {
      sequences.push(message.readUInt32LE(at + 8));
    }
    this.queue.push(...this.answer(sequences));
  }

  recv(fd: number, buffer: Buffer): number {
    if (fd < 0) throw new SystemCallError('recv', 'EBADF');
    const next = this.queue.shift();
    if (next instanceof Error) throw next;
    return next?.copy(buffer) ?? -1;
  }

  duplicate(_fd: number, least: number): number {
    return least;
  }

  close(fd: number): void {
    this.closed.push(fd);
  }
}

export function message(type: number, sequence: number, payload: Buffer, flags = 0): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + payload.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(sequence, 8);
  return Buffer.concat([header, payload]);
}

/** `code` 0: it is done. */
export function refusal(sequence: number, code: number, ...reason: Buffer[]): Buffer {
  const payload = Buffer.alloc(20);
  payload.writeInt32LE(code, 0);
  payload.writeUInt32LE(400, 4);
  return message(2, sequence, Buffer.concat([payload, ...reason]), reason.length > 0 ? 0x300 : 0x100);
}
