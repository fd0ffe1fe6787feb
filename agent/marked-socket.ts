/**
 * Outgoing sockets whose packets carry a mark of ours (SO_MARK), by which the node's packet rules know them: the agent's own
 * queries upstream are not intercepted, its heartbeats are. Made by system calls, then adopted by Node, which closes them.
 */

import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { type OnReadOpts, Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isV6Address } from '../api/v1alpha1/address.ts';
import { intOption, isLibc, type Libc, linux, loadLibc, SystemCallError, socketAddress } from './libc.ts';

export type IpFamily = 4 | 6;

/**
 * What was sent is acknowledged within this, or the connection is lost (RFC 5482; TCP_USER_TIMEOUT): the way to a server may vanish
 * without a word. The kernel looks when it sends again, so that it is noticed after some 0.7 s.
 */
const unacknowledgedMs = 500;

const wildcard: Record<IpFamily, string> = { 4: '0.0.0.0', 6: '::' };

/**
 * A socket that is bound already, to a port that the kernel draws. Throws a {@link SystemCallError} where the kernel refuses,
 * such as EPERM without the capability NET_ADMIN.
 * @param localAddress where its packets come from; whatever the route says, where it is left out
 */
export function markedUdp(family: IpFamily, mark: number, localAddress = wildcard[family]): UdpSocket {
  const libc = openLibc();
  const fd = markedDescriptor(libc, family, linux.datagram, mark, localAddress);
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    // Addresses are literals: there is nothing to look up.
    lookup: (host, _options, done) => done(null, host, isV6Address(host) ? 6 : 4),
  });
  adopt(libc, fd, () => socket.bind({ fd }));
  // The adoption allows others that allow it too to bind the same port, and to take what comes there.
  libc.setsockopt(fd, linux.levelSocket, linux.reuseAddress, intOption(0));
  return socket;
}

/** A socket on which `connect()` is still to be called. Throws as {@link markedUdp} does. */
export function markedTcp(family: IpFamily, mark: number, localAddress?: string, onread?: OnReadOpts): Socket {
  const libc = openLibc();
  const fd = markedDescriptor(libc, family, linux.stream, mark, localAddress);
  // Reading starts with the connection: before, it would fail.
  const options = { fd, manualStart: true, readable: true, writable: true, ...(onread !== undefined && { onread }) };
  return adopt(libc, fd, () => new Socket(options as { fd: number }));
}

/**
 * Where the agent's questions to itself come from: over IPv4 an address of the node, since kubelet's own rule (KUBE-FIREWALL)
 * drops untracked answers to 127.0.0.0/8; the loopback address where the node has no other.
 */
export function selfAddress(family: IpFamily): string {
  if (family === 6) return '::1';
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find((at) => at.family === 'IPv4' && !at.internal)?.address ?? '127.0.0.1';
}

/** Whether this process may mark packets: on Linux, with the capability NET_ADMIN. */
export function canMark(mark: number): boolean {
  try {
    const libc = openLibc();
    libc.close(markedDescriptor(libc, 4, linux.datagram, mark));
    return true;
  } catch {
    return false;
  }
}

function openLibc(): Libc {
  const libc = loadLibc();
  if (!isLibc(libc)) throw new SystemCallError('socket', 'ENOSYS', libc.reason);
  return libc;
}

function markedDescriptor(libc: Libc, family: IpFamily, type: number, mark: number, localAddress?: string): number {
  const fd = libc.socket(family === 6 ? linux.familyIpv6 : linux.familyIpv4, type, 0);
  return adopt(libc, fd, () => {
    libc.setsockopt(fd, linux.levelSocket, linux.mark, intOption(mark));
    if (type === linux.stream) libc.setsockopt(fd, linux.levelTcp, linux.tcpUserTimeout, intOption(unacknowledgedMs));
    if (localAddress !== undefined) libc.bind(fd, socketAddress(localAddress, 0));
    return fd;
  });
}

/** Until Node has it, a descriptor is ours to close. */
function adopt<T>(libc: Libc, fd: number, step: () => T): T {
  try {
    return step();
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}
