/**
 * Policy routing (rtnetlink(7), ip-rule(8)): what carries our mark is looked up in a table of ours, where each listen address is
 * local, so that the kernel delivers it here although no device has the address.
 */
import { canonicalAddress } from '../../api/v1alpha1/address.ts';
import type { Family } from './family.ts';
import type { DatapathNames } from './names.ts';
import {
  isNetlinkError,
  Netlink,
  type NetlinkMessage,
  netlinkFlag,
  netlinkProtocol,
  type SocketCalls,
} from './netlink.ts';
import { attribute, attributes, hostU32 } from './netlink-attribute.ts';
import { addressKey } from './packet-field.ts';

/** What was found on the way to what is wanted. `reason`: the table is not ours to fill, and nothing was changed. */
export type Ensured = { changed: boolean } | { reason: string };

interface Rule {
  table: number;
  /** Whether it looks at anything beside the mark. */
  narrow: boolean;
}

interface Route {
  /** As the kernel told of it, which is what it takes to remove it. */
  payload: Buffer;
  destination: Buffer;
  prefixLength: number;
  /** Whether it is `local … dev lo`: nobody else has reason to write such a route into a table of its own. */
  delivers: boolean;
  /** Whether it bears our {@link protocol}. */
  lasting: boolean;
}

/** AF_INET, AF_INET6. */
const addressFamily = { 4: 2, 6: 10 } as const;
const addressBits = { 4: 32, 6: 128 } as const;

/** linux/rtnetlink.h: RTM_*. */
const message = { newRoute: 24, delRoute: 25, getRoute: 26, newRule: 32, delRule: 33, getRule: 34 } as const;

/**
 * RTPROT_KERNEL: who made it. systemd-networkd removes, whenever it starts, all rules and routes that it does not know and that
 * are not the kernel's (networkd.conf(5), ManageForeignRoutingPolicyRules).
 */
const protocol = 2;

/** struct rtmsg, enum rtattr_type_t; RTN_LOCAL, RT_SCOPE_HOST, RT_TABLE_COMPAT. */
const routeHeaderLength = 12;
const routeAttribute = { destination: 1, outputDevice: 4, priority: 6, table: 15 } as const;
const localType = 2;
const hostScope = 254;
const compatTable = 252;
/** The kernel gives the loopback device this number in every network namespace. */
const loopback = 1;

/** struct fib_rule_hdr, linux/fib_rules.h: FRA_*, FR_ACT_TO_TBL. */
const ruleHeaderLength = 12;
const ruleAttribute = { priority: 6, mark: 10, table: 15, mask: 16, protocol: 21 } as const;
const lookupAction = 1;
/** FIB_RULE_INVERT: all but those that match. */
const invertFlag = 2;
/** FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_OIFNAME, FRA_UID_RANGE, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE. */
const narrowing = [1, 2, 3, 17, 20, 22, 23, 24];

/** Each method throws a NetlinkError where the kernel refuses; EAFNOSUPPORT where it has no such family. */
export class PolicyRouting {
  readonly #netlink: Netlink;
  readonly #names: DatapathNames;

  constructor(libc: SocketCalls, names: DatapathNames) {
    this.#netlink = new Netlink(libc, netlinkProtocol.route);
    this.#names = names;
  }

  /**
   * Puts the rule and the routes of these addresses in place, and removes those of the obsolete ones. Others stay: another agent
   * that takes over from this one may need them.
   */
  ensure(family: Family, addresses: readonly string[], obsolete: readonly string[] = []): Ensured {
    const routes = this.#routes(family);
    const foreign = routes.filter((route) => !route.delivers);
    if (foreign.length > 0) return { reason: this.#foreignReason(foreign) };
    const { missing, surplus } = compare(routes, addresses, obsolete);
    const rules = this.#rules(family);
    const table = this.#names.routeTable;
    const changes = [
      ...missing.map((destination) => () => this.#addRoute(family, destination)),
      ...surplus.map((route) => () => this.#removeRoute(route)),
      // Ahead of the new one, an old one into another table would win.
      ...rules.filter((rule) => rule.table !== table).map((rule) => () => this.#removeRule(family, rule)),
      ...(rules.some((rule) => rule.table === table && !rule.narrow) ? [] : [() => this.#addRule(family)]),
    ];
    for (const change of changes) change();
    return { changed: changes.length > 0 };
  }

  /**
   * Removes our rule, however often it is there, and our routes. Returns whether there was any of them.
   * @param kept whose rules and routes stay, be they the same ones
   */
  remove(family: Family, kept: readonly DatapathNames[] = []): boolean {
    const { rulePriority, routeTable, marks } = this.#names;
    const theirs = kept.filter(
      (each) => each.rulePriority === rulePriority && each.marks.intercept === marks.intercept,
    );
    const rules = this.#rules(family).filter(({ table }) => !theirs.some((each) => each.routeTable === table));
    for (const rule of rules) this.#removeRule(family, rule);
    const isShared = kept.some((each) => each.routeTable === routeTable);
    const routes = isShared ? [] : this.#routes(family).filter((route) => route.delivers);
    for (const route of routes) this.#removeRoute(route);
    return rules.length + routes.length > 0;
  }

  close(): void {
    this.#netlink.close();
  }

  /** Rules of our priority and our mark; nobody else has reason to make one. */
  #rules(family: Family): Rule[] {
    const { rulePriority, marks } = this.#names;
    const payload = Buffer.alloc(ruleHeaderLength);
    payload[0] = addressFamily[family];
    const rules: Rule[] = [];
    for (const found of this.#dump({ type: message.getRule, payload }, family)) {
      const values = new Map(attributes(found, ruleHeaderLength));
      const number = (type: number, absent: number) => values.get(type)?.readUInt32LE(0) ?? absent;
      if (found[7] !== lookupAction || ((found[8] ?? 0) & invertFlag) !== 0) continue;
      if (number(ruleAttribute.priority, 0) !== rulePriority) continue;
      if (number(ruleAttribute.mark, 0) !== marks.intercept) continue;
      if (number(ruleAttribute.mask, 0xffffffff) !== marks.intercept) continue;
      const narrow = narrowing.some((type) => values.has(type));
      const table = number(ruleAttribute.table, found[4] ?? 0);
      // One that looks at more, and leads elsewhere, is somebody's deliberate exception.
      if (narrow && table !== this.#names.routeTable) continue;
      rules.push({ table, narrow });
    }
    return rules;
  }

  /** All routes of our table. */
  #routes(family: Family): Route[] {
    const table = this.#names.routeTable;
    const header = Buffer.alloc(routeHeaderLength);
    header[0] = addressFamily[family];
    const payload = Buffer.concat([header, hostU32(routeAttribute.table, table)]);
    const routes: Route[] = [];
    for (const found of this.#dump({ type: message.getRoute, payload }, family)) {
      const values = new Map(attributes(found, routeHeaderLength));
      // A kernel before 4.20 tells of all tables.
      if ((values.get(routeAttribute.table)?.readUInt32LE(0) ?? found[4]) !== table) continue;
      const device = values.get(routeAttribute.outputDevice)?.readUInt32LE(0);
      routes.push({
        payload: found,
        destination: values.get(routeAttribute.destination) ?? Buffer.alloc(addressBits[family] / 8),
        prefixLength: found[1] ?? 0,
        delivers: found[7] === localType && device === loopback,
        lasting: found[5] === protocol,
      });
    }
    return routes;
  }

  #dump(request: NetlinkMessage, family: Family): Buffer[] {
    try {
      // Where the family is not there, the kernel may tell of others.
      return this.#netlink.dump(request).filter((payload) => payload[0] === addressFamily[family]);
    } catch (error) {
      // A table without routes does not exist.
      if (isNetlinkError(error, 'ENOENT')) return [];
      throw error;
    }
  }

  #addRoute(family: Family, destination: Buffer): void {
    const { create, excl } = netlinkFlag;
    const table = this.#names.routeTable;
    const header = Buffer.alloc(routeHeaderLength);
    header[0] = addressFamily[family];
    header[1] = addressBits[family];
    header[4] = table < 256 ? table : compatTable;
    header[5] = protocol;
    header[6] = hostScope;
    header[7] = localType;
    const payload = Buffer.concat([
      header,
      attribute(routeAttribute.destination, destination),
      hostU32(routeAttribute.outputDevice, loopback),
      hostU32(routeAttribute.table, table),
    ]);
    // Another agent on this node may have been quicker.
    this.#change({ type: message.newRoute, flags: create | excl, payload }, 'EEXIST');
  }

  #removeRoute(route: Route): void {
    this.#change({ type: message.delRoute, payload: route.payload }, 'ESRCH');
  }

  #addRule(family: Family): void {
    const { create, excl } = netlinkFlag;
    const rule = { table: this.#names.routeTable, narrow: false };
    const payload = Buffer.concat([
      this.#rulePayload(family, rule),
      attribute(ruleAttribute.protocol, Buffer.of(protocol)),
    ]);
    this.#change({ type: message.newRule, flags: create | excl, payload }, 'EEXIST');
  }

  /** The kernel removes the first rule that has all of these; one more call for one more of them. */
  #removeRule(family: Family, rule: Rule): void {
    this.#change({ type: message.delRule, payload: this.#rulePayload(family, rule) }, 'ENOENT');
  }

  #rulePayload(family: Family, { table }: Rule): Buffer {
    const { rulePriority, marks } = this.#names;
    const header = Buffer.alloc(ruleHeaderLength);
    header[0] = addressFamily[family];
    header[4] = table < 256 ? table : compatTable;
    header[7] = lookupAction;
    return Buffer.concat([
      header,
      hostU32(ruleAttribute.priority, rulePriority),
      hostU32(ruleAttribute.mark, marks.intercept),
      hostU32(ruleAttribute.mask, marks.intercept),
      hostU32(ruleAttribute.table, table),
    ]);
  }

  /** `code`: what the kernel says where it is so already. */
  #change(request: NetlinkMessage, code: string): void {
    try {
      this.#netlink.request([request]);
    } catch (error) {
      if (!isNetlinkError(error, code)) throw error;
    }
  }

  #foreignReason(foreign: readonly Route[]): string {
    const { routeTable } = this.#names;
    return `routing table ${routeTable} has routes of somebody else, to ${foreign.map(describe).join(', ')}: choose another table`;
  }
}

/** The addresses that lack a route, and the routes that nobody wants. */
function compare(routes: readonly Route[], addresses: readonly string[], obsolete: readonly string[]) {
  const here = routes.filter(({ delivers, lasting, prefixLength, destination }) => {
    return delivers && lasting && prefixLength === destination.length * 8;
  });
  const destinations = (list: readonly string[]) => list.map(addressKey).map((key) => key.toString('hex'));
  const wanted = new Set(destinations(addresses));
  const gone = new Set(destinations(obsolete).filter((destination) => !wanted.has(destination)));
  const found = new Set(here.map(({ destination }) => destination.toString('hex')));
  return {
    missing: addresses.map(addressKey).filter((key) => !found.has(key.toString('hex'))),
    surplus: here.filter(({ destination }) => gone.has(destination.toString('hex'))),
  };
}

function describe({ destination, prefixLength }: Route): string {
  if (destination.length === 4) return `${destination.join('.')}/${prefixLength}`;
  const groups = destination.toString('hex').match(/.{4}/g) ?? [];
  return `${canonicalAddress(groups.join(':'))}/${prefixLength}`;
}
