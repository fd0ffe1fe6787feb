/** Who has which port: /proc/net/{udp,tcp}{,6} (proc_pid_net(5)), and by the socket's inode whose it is. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalAddress } from '../../../api/v1alpha1/address.ts';
import type { BoundSocket } from './facts.ts';

export interface ListedSocket extends Omit<BoundSocket, 'holder'> {
  readonly inode: string;
}

/** TCP_LISTEN, as the column `st` shows it. */
const listening = '0A';

/** The sockets of one file: all of UDP, those of TCP that listen. */
export function parseSockets(text: string, protocol: 'udp' | 'tcp'): ListedSocket[] {
  return text.split('\n').flatMap((line) => {
    // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
    const fields = line.trim().split(/\s+/);
    const local = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(fields[1] ?? '');
    const [, address = '', port = ''] = local ?? [];
    if (local === null || (protocol === 'tcp' && fields[3] !== listening)) return [];
    return [{ protocol, address: addressOf(address), port: Number.parseInt(port, 16), inode: fields[9] ?? '' }];
  });
}

/** The kernel writes each 32 bits as a number in its own byte order, little-endian wherever Node runs on Linux nodes. */
function addressOf(hex: string): string {
  const octets = Buffer.from(hex, 'hex').swap32();
  if (octets.length === 4) return [...octets].join('.');
  const groups = Array.from({ length: 8 }, (_, group) => octets.readUInt16BE(group * 2).toString(16));
  return canonicalAddress(groups.join(':'));
}

/** Sockets on these ports, with their holders where this process may see them. */
export function socketsOn(ports: ReadonlySet<number>, proc = '/proc'): BoundSocket[] {
  const listed = (['udp', 'tcp'] as const).flatMap((protocol) =>
    ['', '6'].flatMap((version) => parseSockets(read(join(proc, 'net', `${protocol}${version}`)), protocol)),
  );
  const wanted = listed.filter(({ port }) => ports.has(port));
  const holders = holdersOf(new Set(wanted.map(({ inode }) => inode)), proc);
  return wanted.map(({ inode, ...socket }) => ({ ...socket, holder: holders.get(inode) }));
}

function holdersOf(inodes: ReadonlySet<string>, proc: string): Map<string, { pid: number; name: string }> {
  const holders = new Map<string, { pid: number; name: string }>();
  if (inodes.size === 0) return holders;
  for (const pid of list(proc).filter((name) => /^\d+$/.test(name))) {
    for (const fd of list(join(proc, pid, 'fd'))) {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(link(join(proc, pid, 'fd', fd))) ?? [];
      if (inode === undefined || !inodes.has(inode)) continue;
      holders.set(inode, { pid: Number(pid), name: read(join(proc, pid, 'comm')).trim() });
    }
  }
  return holders;
}

/** Processes come and go, and not all of them are ours to look into. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
