/**
 * Listening sockets that Node cannot make: for addresses that are on no interface (IP_TRANSPARENT), and beside the sockets of
 * another agent on the same address (SO_REUSEPORT). Made by system calls, then adopted by dgram or net, which close them.
 */
import { isV6Address } from '../../api/v1alpha1/address.ts';
import { intOption, isLibc, type Libc, linux, loadLibc, socketAddress } from '../libc.ts';
import { type ListenAddress, ListenError } from './listener.ts';

/** The kernel doubles it for its own bookkeeping. */
export const receiveBufferBytes = 1 << 20;
/** One socket answers all pods: what waits in front of one that is slowed down shall leave room for the others. */
const sendBufferBytes = 16 << 20;

/**
 * A bound descriptor, not listening yet. One of a transparent address shares it with those of other agents. Throws a
 * {@link ListenError}.
 */
export function openSocket(at: ListenAddress, transport: 'UDP' | 'TCP'): number {
  const libc = libcFor(at, transport);
  const isV6 = isV6Address(at.address);
  const type = transport === 'UDP' ? linux.datagram : linux.stream;
  let fd: number | undefined;
  try {
    fd = libc.socket(isV6 ? linux.familyIpv6 : linux.familyIpv4, type, 0);
    const yes = intOption(1);
    if (isV6) libc.setsockopt(fd, linux.levelIpv6, linux.ipv6Only, yes);
    if (at.transparent) {
      if (isV6) libc.setsockopt(fd, linux.levelIpv6, linux.ipv6Transparent, yes);
      else libc.setsockopt(fd, linux.levelIp, linux.ipTransparent, yes);
      libc.setsockopt(fd, linux.levelSocket, linux.reusePort, yes);
    }
    // Connections of an agent that has just ended keep the address busy for a minute otherwise.
    if (transport === 'TCP') libc.setsockopt(fd, linux.levelSocket, linux.reuseAddress, yes);
    else enlargeBuffers(libc, fd);
    libc.bind(fd, socketAddress(at.address, at.port));
    return fd;
  } catch (error) {
    if (fd !== undefined) libc.close(fd);
    throw new ListenError(at, transport, error as Error);
  }
}

/**
 * dgram's adoption allows everybody who allows it too to bind the same address, and to take its packets: only agents may.
 */
export function keepToGroup(fd: number): void {
  const libc = loadLibc();
  if (isLibc(libc)) libc.setsockopt(fd, linux.levelSocket, linux.reuseAddress, intOption(0));
}

/** What comes from now on to the address goes to the socket of this index in the group that shares it. */
export function steer(fd: number, index: number): void {
  const libc = loadLibc();
  if (isLibc(libc)) libc.attachReuseportProgram(fd, index);
}

export function libcFor(at: ListenAddress, transport: 'UDP' | 'TCP'): Libc {
  const libc = loadLibc();
  if (isLibc(libc)) return libc;
  const reason = `it needs system calls that cannot be made here: ${libc.reason}`;
  throw new ListenError(at, transport, Object.assign(new Error(reason), { code: 'ENOSYS' }));
}

function enlargeBuffers(libc: Libc, fd: number): void {
  const { receiveBuffer, receiveBufferForce, sendBuffer, sendBufferForce } = linux;
  for (const [option, force, bytes] of [
    [receiveBuffer, receiveBufferForce, receiveBufferBytes],
    [sendBuffer, sendBufferForce, sendBufferBytes],
  ] as const) {
    try {
      // Beyond what net.core.rmem_max and wmem_max allow to processes without NET_ADMIN.
      libc.setsockopt(fd, linux.levelSocket, force, intOption(bytes));
    } catch {
      libc.setsockopt(fd, linux.levelSocket, option, intOption(bytes));
    }
  }
}
