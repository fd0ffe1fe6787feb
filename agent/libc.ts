/**
 * The one door to koffi, and by it to the C library: system calls that Node does not offer. Whoever needs one passes buffers;
 * none outlives its call. Where koffi has no binary for this machine, {@link loadLibc} says so, and the agent does without.
 */
import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';

/** System calls, each of which throws a {@link SystemCallError} where the kernel says no. */
export interface Libc {
  /** A descriptor that is closed on exec and does not block. */
  socket(family: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, option: number, value: Buffer): void;
  /** `address` is a sockaddr. */
  bind(fd: number, address: Buffer): void;
  send(fd: number, message: Buffer): void;
  /** The octets received into `buffer`; -1 where there is nothing to receive. */
  recv(fd: number, buffer: Buffer): number;
  close(fd: number): void;
}

/** What the kernel answered: `code` as in errno(3). */
export class SystemCallError extends Error {
  readonly code: string;
  readonly syscall: string;

  constructor(syscall: string, code: string) {
    super(`${syscall}: ${code}`);
    this.syscall = syscall;
    this.code = code;
  }
}

const nonBlocking = 0o4000;
const closeOnExec = 0o2000000;

let loaded: Libc | { reason: string } | undefined;

/** The C library, or the reason why it cannot be called here. Loaded once. */
export function loadLibc(): Libc | { reason: string } {
  loaded ??= load();
  return loaded;
}

export function isLibc(libc: Libc | { reason: string }): libc is Libc {
  return !('reason' in libc);
}

function load(): Libc | { reason: string } {
  if (process.platform !== 'linux') return { reason: `this is ${process.platform}, not Linux` };
  try {
    // Loaded when it is needed: not every machine has a binary of it, and a bundle cannot hold one.
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    // The symbols of the process itself: whatever C library Node was linked with.
    const library = koffi.load(null);
    const call = (name: string, signature: string) => {
      const native = library.func(signature);
      return (...args: unknown[]): number => {
        const result = native(...args) as number;
        if (result >= 0) return result;
        throw new SystemCallError(name, getSystemErrorName(-koffi.errno()));
      };
    };
    const socket = call('socket', 'int socket(int, int, int)');
    const setsockopt = call('setsockopt', 'int setsockopt(int, int, int, const uint8_t *, uint32_t)');
    const bind = call('bind', 'int bind(int, const uint8_t *, uint32_t)');
    const send = call('send', 'intptr_t send(int, const uint8_t *, size_t, int)');
    const recv = call('recv', 'intptr_t recv(int, uint8_t *, size_t, int)');
    const close = call('close', 'int close(int)');
    return {
      socket: (family, type, protocol) => socket(family, type | nonBlocking | closeOnExec, protocol),
      setsockopt: (fd, level, option, value) => void setsockopt(fd, level, option, value, value.length),
      bind: (fd, address) => void bind(fd, address, address.length),
      send: (fd, message) => void send(fd, message, message.length, 0),
      recv: (fd, buffer) => {
        try {
          return recv(fd, buffer, buffer.length, 0);
        } catch (error) {
          if (error instanceof SystemCallError && error.code === 'EAGAIN') return -1;
          throw error;
        }
      },
      close: (fd) => void close(fd),
    };
  } catch (error) {
    return { reason: `koffi cannot be loaded: ${(error as Error).message}` };
  }
}
