/**
 * Sockets of queries upstream over UDP: each query has one of its own, and a flood of them shall leave descriptors for connections,
 * files and metrics, and ports for itself. What would go beyond is refused at once.
 */
import { readFileSync } from 'node:fs';
import { ClientShares } from './forward/client-shares.ts';

/** Of the descriptors that the process may have. */
const share = 0.5;
/** Linux draws from 28,232 ports, unless it is told otherwise (net.ipv4.ip_local_port_range). */
const maxPorts = 24_000;
/** Where the system does not say: what POSIX systems have at least. */
const usualDescriptors = 1_024;

/** Descriptors that this process may have open. */
export function maxDescriptors(limits = readLimits()): number {
  const [, soft] = /^Max open files +(\d+|unlimited)/m.exec(limits) ?? [];
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft ?? usualDescriptors);
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}

/** For all server blocks together: each client has its share of them. */
export function udpSockets(descriptors = maxDescriptors()): ClientShares {
  return new ClientShares(Math.min(maxPorts, Math.floor(descriptors * share)));
}
