/** What rtnetlink(7) tells of a node: interfaces, their addresses, the rules of policy routing, one routing table. Read only. */
import { canonicalAddress } from '../../../api/v1alpha1/address.ts';
import { isNetlinkError, type Netlink } from '../netlink.ts';
import { attributes, findAttribute, hostU32, textOf } from '../netlink-attribute.ts';
import type { InterfaceAddress, PolicyRule, TableRoute } from './facts.ts';

/** linux/rtnetlink.h. */
const getLink = 18;
const getAddress = 22;
const getRoute = 26;
const getRule = 34;

/** linux/socket.h: AF_INET, AF_INET6. */
const families = [
  [4, 2],
  [6, 10],
] as const;

/** Names by index, those of interfaces that are down included. */
export function interfaceNames(netlink: Netlink): Map<number, string> {
  const names = new Map<number, string>();
  for (const link of netlink.dump({ type: getLink, payload: Buffer.alloc(16) })) {
    const name = findAttribute(link, 3, 16);
    if (name !== undefined) names.set(link.readInt32LE(4), textOf(name));
  }
  return names;
}

/** Every address of every interface: one that is down has its addresses too, and the kernel delivers to them. */
export function interfaceAddresses(netlink: Netlink, names: ReadonlyMap<number, string>): InterfaceAddress[] {
  return netlink.dump({ type: getAddress, payload: Buffer.alloc(8) }).flatMap((message) => {
    // IFA_LOCAL; IPv6 has IFA_ADDRESS alone, and IPv4 has the far end there where there is one.
    const address = addressOf(findAttribute(message, 2, 8) ?? findAttribute(message, 1, 8));
    const index = message.readUInt32LE(4);
    return address === undefined ? [] : [{ interface: names.get(index) ?? `interface ${index}`, address }];
  });
}

/** linux/fib_rules.h: FR_ACT_NOP, FIB_RULE_INVERT. */
const doesNothing = 3;
const inverted = 2;
/** FRA_SRC, FRA_IIFNAME, FRA_OIFNAME, FRA_L3MDEV, FRA_UID_RANGE, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE. */
const conditions = [2, 3, 17, 19, 20, 22, 23, 24];

export function policyRulesOf(netlink: Netlink): PolicyRule[] {
  return families.flatMap(([family, number]) => {
    const payload = Buffer.alloc(12);
    payload.writeUInt8(number, 0);
    return netlink.dump({ type: getRule, payload }).flatMap((rule) => {
      if (rule.readUInt8(7) === doesNothing) return [];
      const found = new Map(attributes(rule, 12));
      const destination = addressOf(found.get(1));
      const number32 = (type: number) => found.get(type)?.readUInt32LE(0);
      return [
        {
          family,
          priority: number32(6) ?? 0,
          table: number32(15) ?? rule.readUInt8(4),
          mark: number32(10) ?? 0,
          mask: number32(16) ?? 0,
          ...(destination !== undefined && { to: { address: destination, length: rule.readUInt8(1) } }),
          narrow: rule.readUInt8(3) !== 0 || conditions.some((type) => found.has(type)),
          inverted: (rule.readUInt32LE(8) & inverted) !== 0,
        },
      ];
    });
  });
}

/** Routes of one table. */
export function routesOf(netlink: Netlink, table: number): TableRoute[] {
  return families.flatMap(([family, number]) => {
    const header = Buffer.alloc(12);
    header.writeUInt8(number, 0);
    const payload = Buffer.concat([header, hostU32(15, table)]);
    let routes: Buffer[];
    try {
      routes = netlink.dump({ type: getRoute, payload });
    } catch (error) {
      // A table without routes does not exist.
      if (isNetlinkError(error, 'ENOENT', 'EAFNOSUPPORT', 'EOPNOTSUPP')) return [];
      throw error;
    }
    return routes.flatMap((route) => {
      const found = new Map(attributes(route, 12));
      // Older kernels list all tables.
      if ((found.get(15)?.readUInt32LE(0) ?? route.readUInt8(4)) !== table) return [];
      const isLocal = route.readUInt8(7) === routeTypeLocal;
      const destination = addressOf(found.get(1)) ?? 'default';
      return [
        {
          family,
          table,
          text: `${isLocal ? 'local ' : ''}${destination}/${route.readUInt8(1)}`,
          isLocalOnLoopback: isLocal && found.get(4)?.readUInt32LE(0) === loopbackIndex,
        },
      ];
    });
  });
}

/** RTN_LOCAL. */
const routeTypeLocal = 2;
/** The loopback device is the first one of each network namespace. */
const loopbackIndex = 1;

function addressOf(octets: Buffer | undefined): string | undefined {
  if (octets === undefined) return undefined;
  if (octets.length === 4) return [...octets].join('.');
  if (octets.length !== 16) return undefined;
  const groups = Array.from({ length: 8 }, (_, group) => octets.readUInt16BE(group * 2).toString(16));
  return canonicalAddress(groups.join(':'));
}
