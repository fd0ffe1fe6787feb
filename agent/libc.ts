/**
 * The one door to koffi, and by it to the C library: system calls that Node does not offer. Whoever needs one passes buffers;
 * none outlives its call. Where koffi has no binary for this machine, {@link loadLibc} says so, and the agent does without.
 */

import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { isV6Address } from '../api/v1alpha1/address.ts';

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
  /**
   * Lets a classic BPF program of one instruction, `return index`, choose the socket of the group that shares the address of
   * `fd` (SO_REUSEPORT); for what comes from now on. Where the group has no socket of this index, the kernel's hash chooses.
   */
  attachReuseportProgram(fd: number, index: number): void;
  /** The same under the lowest number from `least` on that is free. */
  duplicate(fd: number, least: number): number;
  close(fd: number): void;
  /** The sockaddr that it is bound to. */
  getsockname(fd: number): Buffer;
  getsockopt(fd: number, level: number, option: number, octets: number): Buffer;
  /** What batches of datagrams need; undefined where this machine is not laid out as they are. */
  readonly batches: BatchCalls | undefined;
  /** Undefined where the C library is not glibc. */
  readonly memory: MemoryCalls | undefined;
}

/** What gives memory back to the kernel. */
export interface MemoryCalls {
  /** malloc_trim(3): what was freed, and what malloc keeps for later. */
  trim(): void;
  /** madvise(2) MADV_DONTNEED: pages of a file that are read again when they are touched; others would be lost. */
  forget(address: number, octets: number): void;
}

/** Memory that stands still. Whoever has it frees it once neither the kernel nor anybody else uses it. */
export interface StillMemory {
  octets: Buffer;
  address: bigint;
}

/** Calls for every packet: they return what the kernel does, and throw nothing; -1 where it says no. */
export interface BatchCalls {
  /** recvmmsg(2) without waiting: `headers` is an array of struct mmsghdr in {@link StillMemory}. */
  receive(fd: number, headers: Buffer, count: number): number;
  /** sendmmsg(2) without waiting. */
  send(fd: number, headers: Buffer, count: number): number;
  allocate(octets: number): StillMemory;
  /**
   * Calls each time that the loop finds something to read, until it is stopped; on the loop itself, outside of Node's own callbacks:
   * what it leaves to promises waits until something else of Node's calls back.
   */
  onReadable(fd: number, callback: () => void): { stop: () => void };
}

/** What the kernel answered: `code` as in errno(3). */
export class SystemCallError extends Error {
  readonly code: string;
  readonly syscall: string;

  constructor(syscall: string, code: string, reason = code) {
    super(`${syscall}: ${reason}`);
    this.syscall = syscall;
    this.code = code;
  }
}

/** Families, socket types, levels and options as Linux numbers them; the same on every machine that Node runs on. */
export const linux = {
  familyIpv4: 2,
  familyIpv6: 10,
  stream: 1,
  datagram: 2,
  levelSocket: 1,
  levelIp: 0,
  levelIpv6: 41,
  levelTcp: 6,
  reuseAddress: 2,
  receiveBufferForce: 33,
  reusePort: 15,
  mark: 36,
  receiveBuffer: 8,
  sendBuffer: 7,
  sendBufferForce: 32,
  memoryInformation: 55,
  attachReuseportProgram: 51,
  ipPacketInformation: 8,
  ipv6ReceivePacketInformation: 49,
  ipv6PacketInformation: 50,
  ipTransparent: 19,
  ipv6Only: 26,
  ipv6Transparent: 75,
  tcpUserTimeout: 18,
} as const;

const nonBlocking = 0o4000;
const closeOnExec = 0o2000000;
/** F_DUPFD_CLOEXEC. */
const duplicateClosedOnExec = 1030;

/** MADV_DONTNEED. */
const doNotNeed = 4;

/** BPF_RET | BPF_K. */
const returnConstant = 0x06;

let loaded: Libc | { reason: string } | undefined;

/** The C library, or the reason why it cannot be called here. Loaded once. */
export function loadLibc(): Libc | { reason: string } {
  loaded ??= load();
  return loaded;
}

export function isLibc(libc: Libc | { reason: string }): libc is Libc {
  return !('reason' in libc);
}

/** The value of an option that is a number. */
export function intOption(value: number): Buffer {
  const octets = Buffer.alloc(4);
  if (endianness() === 'LE') octets.writeUInt32LE(value);
  else octets.writeUInt32BE(value);
  return octets;
}

function nativeU16(value: number): Buffer {
  const octets = Buffer.alloc(2);
  if (endianness() === 'LE') octets.writeUInt16LE(value);
  else octets.writeUInt16BE(value);
  return octets;
}

/** A sockaddr_in or sockaddr_in6; `address` is an IP address without a zone. */
export function socketAddress(address: string, port: number): Buffer {
  const isV6 = isV6Address(address);
  const octets = Buffer.alloc(isV6 ? 28 : 16);
  octets.set(nativeU16(isV6 ? linux.familyIpv6 : linux.familyIpv4));
  octets.writeUInt16BE(port, 2);
  octets.set(isV6 ? octetsOfIpv6(address) : address.split('.').map(Number), isV6 ? 8 : 4);
  return octets;
}

function octetsOfIpv6(address: string): number[] {
  // The last 32 bits may be written as in IPv4 (RFC 4291 §2.2).
  const text = address.replace(/\d+\.\d+\.\d+\.\d+$/, (dotted) => {
    const [a = 0, b = 0, c = 0, d = 0] = dotted.split('.').map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = '', tail] = text.split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const [first, last] = [groups(head), groups(tail ?? '')];
  const zeros = tail === undefined ? [] : new Array<number>(8 - first.length - last.length).fill(0);
  return [...first, ...zeros, ...last].flatMap((group) => [group >> 8, group & 0xff]);
}

const maxSocketAddress = 28;
/** Errors that come at once after each other shall not keep the loop busy. */
const errorPauseMs = 10;
/** MSG_DONTWAIT. */
const doNotWait = 0x40;

/** What a call writes, whose length it is told and tells in an int. */
function filled(size: number, call: (octets: Buffer, length: Buffer) => void): Buffer {
  const octets = Buffer.alloc(size);
  const length = intOption(size);
  call(octets, length);
  return octets.subarray(0, endianness() === 'LE' ? length.readUInt32LE() : length.readUInt32BE());
}

type Koffi = typeof import('koffi');

function batchCalls(koffi: Koffi, library: ReturnType<Koffi['load']>): BatchCalls {
  const recvmmsg = library.func('int recvmmsg(int, uint8_t *, uint32_t, int, void *)');
  const sendmmsg = library.func('int sendmmsg(int, uint8_t *, uint32_t, int)');
  return {
    receive: (fd, headers, count) => recvmmsg(fd, headers, count, doNotWait, null) as number,
    send: (fd, headers, count) => sendmmsg(fd, headers, count, doNotWait) as number,
    allocate: (octets) => {
      // Of V8's own memory the kernel must not keep addresses: it is freed, or moved, without a word.
      const memory = koffi.alloc('uint8_t', octets);
      return { octets: Buffer.from(koffi.view(memory, octets)), address: koffi.address(memory) };
    },
    onReadable: (fd, callback) => {
      let again: NodeJS.Timeout | undefined;
      // The loop stops to watch a socket that has an error, such as an ICMP message or somebody's `ss --kill`; reading takes it off.
      const watch = (status: unknown) => {
        callback();
        if (status !== 0) again = setTimeout(() => handle.start(watch), errorPauseMs);
      };
      const handle = koffi.node.poll(fd, watch);
      return {
        stop: () => {
          clearTimeout(again);
          handle.close();
        },
      };
    },
  };
}

function memoryCalls(library: ReturnType<Koffi['load']>): MemoryCalls | undefined {
  try {
    const trim = library.func('int malloc_trim(size_t)');
    const madvise = library.func('int madvise(uintptr_t, size_t, int)');
    return { trim: () => void trim(0), forget: (address, octets) => void madvise(address, octets, doNotNeed) };
  } catch {
    return undefined;
  }
}

function load(): Libc | { reason: string } {
  if (process.platform !== 'linux') return { reason: `this is ${process.platform}, not Linux` };
  try {
    // Loaded when it is needed: not every machine has a binary of it, and a bundle cannot hold one.
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    // The symbols of the process itself: whatever C library Node was linked with.
    const library = koffi.load(null);
    const call = (name: string, signature: string, native = library.func(signature)) => {
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
    const fcntl = call('fcntl', 'int fcntl(int, int, ...)');
    const getsockname = call('getsockname', 'int getsockname(int, uint8_t *, uint8_t *)');
    const getsockopt = call('getsockopt', 'int getsockopt(int, int, int, uint8_t *, uint8_t *)');
    // struct sock_fprog, which points to its instructions: the pointer is valid during the call, and copied by the kernel.
    const program = koffi.struct({ length: 'uint16_t', instructions: koffi.pointer('const uint8_t') });
    const attachSignature = ['int', 'int', 'int', koffi.pointer(program), 'uint32_t'];
    const attach = call('setsockopt', '', library.func('setsockopt', 'int', attachSignature));
    const programSize = koffi.sizeof(program);
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
      attachReuseportProgram: (fd, index) => {
        // struct sock_filter: the code, two jumps, the constant.
        const instructions = Buffer.concat([nativeU16(returnConstant), Buffer.alloc(2), intOption(index)]);
        const { levelSocket, attachReuseportProgram } = linux;
        attach(fd, levelSocket, attachReuseportProgram, { length: 1, instructions }, programSize);
      },
      duplicate: (fd, least) => fcntl(fd, duplicateClosedOnExec, 'int', least),
      close: (fd) => void close(fd),
      getsockname: (fd) => filled(maxSocketAddress, (octets, length) => getsockname(fd, octets, length)),
      getsockopt: (fd, level, option, size) =>
        filled(size, (octets, length) => getsockopt(fd, level, option, octets, length)),
      batches: koffi.sizeof('void *') === 8 && endianness() === 'LE' ? batchCalls(koffi, library) : undefined,
      memory: memoryCalls(library),
    };
  } catch (error) {
    return { reason: `koffi cannot be loaded: ${(error as Error).message}` };
  }
}
