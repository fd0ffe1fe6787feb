/** Entries of connection tracking that our fallback made (ctnetlink, linux/netfilter/nfnetlink_conntrack.h). */
import type { Libc } from '../libc.ts';
import { type Family, familyOf } from './family.ts';
import { isNetlinkError, Netlink, type NetlinkMessage, netlinkFlag, netlinkProtocol } from './netlink.ts';
import { attribute, attributes, findAttribute, nested } from './netlink-attribute.ts';
import { nfFamily, nfHeaderLength } from './nf-message.ts';
import { addressKey } from './packet-field.ts';

/** NFNL_SUBSYS_CTNETLINK; IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE. */
const subsystem = 1;
const message = { get: (subsystem << 8) | 1, delete: (subsystem << 8) | 2 } as const;
/** enum ctattr_type, ctattr_tuple, ctattr_ip, ctattr_l4proto. */
const entry = { original: 1, zone: 18 } as const;
const tuple = { ip: 1, protocol: 2 } as const;
const destination = { 4: 2, 6: 4 } as const;
const destinationPort = 3;
const dnsPort = 53;

/** Forgets all connections that were begun to port 53 of these addresses. Returns how many there were. */
export function forgetConnections(libc: Libc, addresses: readonly string[]): number {
  const netlink = new Netlink(libc, netlinkProtocol.netfilter);
  try {
    const found = ([4, 6] as const).flatMap((family) => connectionsTo(netlink, family, addresses));
    for (const each of found) forget(netlink, each);
    return found.length;
  } finally {
    netlink.close();
  }
}

function connectionsTo(netlink: Netlink, family: Family, addresses: readonly string[]): NetlinkMessage[] {
  const keys = addresses.filter((address) => familyOf(address) === family).map(addressKey);
  if (keys.length === 0) return [];
  const header = Buffer.from([family === 4 ? nfFamily.ip : nfFamily.ip6, 0, 0, 0]);
  return dump(netlink, { type: message.get, payload: header }).flatMap((connection) => {
    const parts = new Map(attributes(connection, nfHeaderLength));
    const original = parts.get(entry.original);
    const zone = parts.get(entry.zone);
    if (original === undefined || !isTo(original, family, keys)) return [];
    const payload = Buffer.concat([
      header,
      nested(entry.original, original),
      ...(zone === undefined ? [] : [attribute(entry.zone, zone)]),
    ]);
    return [{ type: message.delete, flags: netlinkFlag.ack, payload }];
  });
}

function isTo(original: Buffer, family: Family, keys: readonly Buffer[]): boolean {
  const ip = findAttribute(original, tuple.ip);
  const protocol = findAttribute(original, tuple.protocol);
  const address = ip && findAttribute(ip, destination[family]);
  const port = protocol && findAttribute(protocol, destinationPort);
  return port?.readUInt16BE(0) === dnsPort && keys.some((key) => address?.equals(key) ?? false);
}

function dump(netlink: Netlink, request: NetlinkMessage): Buffer[] {
  try {
    return netlink.dump(request);
  } catch (error) {
    // A kernel that tracks nothing has nothing to forget.
    if (isNetlinkError(error, 'EINVAL', 'EOPNOTSUPP', 'ENOENT')) return [];
    throw error;
  }
}

function forget(netlink: Netlink, request: NetlinkMessage): void {
  try {
    netlink.request([request]);
  } catch (error) {
    // It ended by itself meanwhile.
    if (!isNetlinkError(error, 'ENOENT')) throw error;
  }
}
