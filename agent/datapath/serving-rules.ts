/**
 * The rules that intercept, as messages that make them. Pure. test/golden/ruleset/serving.{ip,ip6}.nft says the same in the
 * words of nft(8), for people, and a test holds the two against each other in a kernel.
 *
 * They never change while an agent runs: what a configuration changes are elements of sets. Sets, each of addresses: `served`
 * is listened on; `alive` is answered at the moment; `holding`: its TCP connections go on; `tracked` is seen by connection
 * tracking, and `itself` maps each of these to itself; `clusterdns`: the packets of these are never intercepted, or cluster
 * DNS, which asks the node's resolvers, would be sent round in a circle; `proved`: packets of these sources, over this
 * transport to this address, get through everybody's INPUT rules; `trying`: one packet of these is on trial. `flows` has the TCP connections that began with us.
 */
import { type Family, nftFamily } from './family.ts';
import type { DatapathNames } from './names.ts';
import type { NetlinkMessage } from './netlink.ts';
import {
  addressField,
  bitwise,
  compare,
  count,
  dnat,
  type Expression,
  flipMarkBit,
  hasMarkBit,
  loaded,
  lookup,
  metaKey,
  metaLoad,
  notrack,
  overProtocol,
  payloadLoad,
  portField,
  protocolNumber,
  putInto,
  setConntrackZone,
  setMarkBit,
  socketTransparency,
  tcpFlag,
  tcpFlagsField,
  translate,
  verdict,
} from './nf-expression.ts';
import {
  anonymousSet,
  type BaseChain,
  newAnonymousSet,
  newChain,
  newCounter,
  newRule,
  newSet,
  newTable,
  type SetDefinition,
} from './nf-object.ts';
import { portKey } from './packet-field.ts';
import { beforeServices } from './ruleset.ts';

export const counterNames = [
  'intercepted_udp',
  'intercepted_tcp',
  'tried_udp',
  'tried_tcp',
  'proved',
  'arrived_udp',
  'arrived_tcp',
  'local_udp',
  'local_tcp',
  'answered',
  'left',
] as const;
export type CounterName = (typeof counterNames)[number];

/** Before connection tracking, and after what others put there; last of all at their delivery. */
const raw = -300;
const afterEverybody = 32_000;

const dnsPort = 53;
/** Longer than a client's idle connection is kept. */
const flowMs = 60_000;
const provedMs = 3_600_000;
const retryMs = 300_000;
const maxSources = 65_536;

/** A device's name as the kernel compares it. */
const loopbackDevice = Buffer.from('lo'.padEnd(16, '\0'));

/** A rule is made of parts; each is what nft(8) has one word or one comparison for. */
type Part = readonly Expression[];
interface Chain {
  base?: BaseChain;
  rules: readonly (readonly Part[])[];
}

export function servingSets(family: Family): Record<string, SetDefinition> {
  const address = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const key = [address] as const;
  const way = [address, 'inet_proto', address] as const;
  return {
    served: { key },
    alive: { key, timeout: true },
    holding: { key, timeout: true },
    tracked: { key },
    itself: { key, data: address },
    clusterdns: { key },
    flows: { key: [address, 'inet_service', address], dynamicSize: maxSources, timeout: true },
    proved: { key: way, dynamicSize: maxSources, timeout: true },
    trying: { key: way, dynamicSize: maxSources, timeout: true },
  };
}

/**
 * Every packet of the node passes the first rules: they begin with the port, a comparison, and look into sets only then.
 *
 * @param gated whether the mark of the gate is asked for: in the output hook nothing else tells whether the agent's process lives
 * @param udpOrTcp matches what goes over one of these, by a set that each such rule has for itself
 */
function servingChains(
  family: Family,
  { marks, routeTable }: DatapathNames,
  gated: boolean,
  udpOrTcp: () => Part,
): Record<string, Chain> {
  const { source, destination } = addressField[family];
  const from = (set: string): Part => [payloadLoad(source), lookup(set)];
  const fromNoneOf = (set: string): Part => [payloadLoad(source), lookup(set, { inverted: true })];
  const to = (set: string): Part => [payloadLoad(destination), lookup(set)];
  const toNoneOf = (set: string): Part => [payloadLoad(destination), lookup(set, { inverted: true })];
  const fromPort = loaded(payloadLoad(portField.source), 'eq', portKey(dnsPort));
  const toPort = loaded(payloadLoad(portField.destination), 'eq', portKey(dnsPort));
  const udp = overProtocol('udp');
  const tcpWithSyn = (operation: 'eq' | 'neq'): Part => [
    ...overProtocol('tcp'),
    payloadLoad(tcpFlagsField),
    bitwise(Buffer.from([tcpFlag.syn | tcpFlag.ack]), Buffer.from([0])),
    compare(operation, Buffer.from([tcpFlag.syn])),
  ];
  const [begins, goesOn] = [tcpWithSyn('eq'), tcpWithSyn('neq')];
  const addressSlots = source.length / 4;
  const flow: Part = [
    payloadLoad(source),
    payloadLoad(portField.source, addressSlots),
    payloadLoad(destination, addressSlots + 1),
  ];
  const itsFlow: Part = [...flow, lookup('flows')];
  const noteFlow = (operation: 'add' | 'update'): Part => [
    ...overProtocol('tcp'),
    ...flow,
    putInto(operation, 'flows', flowMs),
  ];
  /** Rules of a node may drop one transport, or what goes to one address, and let the rest pass. */
  const way: Part = [
    payloadLoad(source),
    metaLoad(metaKey.l4proto, addressSlots),
    payloadLoad(destination, addressSlots + 1),
  ];
  const itsWay = (set: string, inverted = false): Part => [...way, lookup(set, { inverted })];
  const noteWay = (set: string, timeoutMs: number): Part => [...way, putInto('add', set, timeoutMs)];
  const ourSocket = loaded(socketTransparency(), 'eq', Buffer.from([1]));
  const fromOutside = loaded(metaLoad(metaKey.interfaceIn), 'neq', loopbackDevice);
  const toItself = loaded(metaLoad(metaKey.interfaceOut), 'eq', loopbackDevice);
  const toOthers = loaded(metaLoad(metaKey.interfaceOut), 'neq', loopbackDevice);
  const marked = hasMarkBit(marks.intercept);
  // The gate's bit is taken off again: it is nobody's business.
  const passedTheGate = gated ? [...hasMarkBit(marks.gate), ...flipMarkBit(marks.gate)] : [];
  const counted = (name: CounterName): Part => [count(name)];
  const untracked: Part = [notrack()];
  // What is tracked here would hold on to its way without translation after we are gone, for as long as somebody asks from one
  // port: in a zone of its own nobody finds it then.
  const ownZone: Part = setConntrackZone(routeTable);
  const accept: Part = [verdict('accept')];
  const leave: Part = [verdict('return')];
  const goto = (chain: string): Part => [verdict('goto', chain)];
  const jump = (chain: string): Part => [verdict('jump', chain)];
  return {
    take: {
      rules: [
        [toNoneOf('tracked'), untracked],
        [to('tracked'), ownZone],
        [setMarkBit(marks.intercept), accept],
      ],
    },
    begin: { rules: [[noteFlow('add'), goto('take')]] },
    go_on: { rules: [[noteFlow('update'), goto('take')]] },
    from_pods: {
      rules: [
        [from('clusterdns'), leave],
        [udp, to('alive'), itsWay('proved'), ourSocket, counted('intercepted_udp'), goto('take')],
        [goesOn, to('holding'), itsFlow, ourSocket, counted('intercepted_tcp'), goto('go_on')],
        [toNoneOf('alive'), leave],
        [begins, itsWay('proved'), ourSocket, counted('intercepted_tcp'), goto('begin')],
        [itsWay('trying'), leave],
        [udp, ourSocket, noteWay('trying', retryMs), counted('tried_udp'), goto('take')],
        [begins, ourSocket, noteWay('trying', retryMs), counted('tried_tcp'), goto('take')],
      ],
    },
    from_node: {
      rules: [
        // Of the node's own nothing is tracked, whatever the listener: kube-proxy refuses what is new, on its way to a Service and
        // not translated. And policies are about pods.
        // Heartbeats, which are marked from their beginning.
        [marked, untracked],
        [marked, accept],
        [hasMarkBit(marks.own), leave],
        [from('clusterdns'), leave],
        [udp, to('alive'), counted('local_udp'), untracked, goto('take')],
        [goesOn, to('holding'), itsFlow, counted('local_tcp'), untracked, goto('go_on')],
        [begins, to('alive'), counted('local_tcp'), untracked, goto('begin')],
      ],
    },
    answers: {
      rules: [
        [toOthers, counted('answered')],
        // Without a second look: a zone would have it tracked after all.
        [toItself, untracked, leave],
        [fromNoneOf('tracked'), untracked],
        [from('tracked'), ownZone],
      ],
    },
    arrived: {
      rules: [
        [udp, counted('arrived_udp')],
        [overProtocol('tcp'), counted('arrived_tcp')],
        // A connection on trial is ours only once its SYN has come through: the client repeats one that has not from the same port,
        // and that goes elsewhere.
        [itsWay('proved', true), noteFlow('add')],
        [itsWay('proved', true), counted('proved'), noteWay('proved', provedMs)],
      ],
    },
    // Tracked packets meet the rules of Services: they are told that their address is settled.
    shield: {
      base: { type: 'nat', hook: 'prerouting', priority: beforeServices },
      rules: [[marked, to('tracked'), [payloadLoad(destination), translate('itself'), dnat(nftFamily[family])]]],
    },
    prerouting: {
      base: { type: 'filter', hook: 'prerouting', priority: raw },
      rules: [[toPort, to('served'), udpOrTcp(), fromOutside, jump('from_pods')]],
    },
    output: {
      base: { type: 'route', hook: 'output', priority: raw },
      rules: [
        [fromPort, from('served'), udpOrTcp(), jump('answers')],
        [toPort, passedTheGate, to('served'), udpOrTcp(), jump('from_node')],
      ],
    },
    input: {
      base: { type: 'filter', hook: 'input', priority: afterEverybody },
      rules: [[marked, fromOutside, jump('arrived')]],
    },
    leaving: {
      base: { type: 'filter', hook: 'output', priority: afterEverybody },
      rules: [[fromPort, from('served'), udpOrTcp(), toOthers, counted('left')]],
    },
  };
}

export function servingChainNames(family: Family, names: DatapathNames): string[] {
  return Object.keys(servingChains(family, names, false, () => []));
}

/** What makes the table, which must not be there; its sets are empty, so it lets everything pass. */
export function servingMessages(
  family: Family,
  table: string,
  names: DatapathNames,
  { owned }: { owned: boolean },
): NetlinkMessage[] {
  const at = { family: nftFamily[family], table } as const;
  const sets = Object.entries(servingSets(family)).map(([name, definition], index) =>
    newSet(at, name, index + 1, definition),
  );
  let id = sets.length;
  const anonymous: NetlinkMessage[] = [];
  const protocols = [protocolNumber.tcp, protocolNumber.udp].map((number) => Buffer.from([number]));
  const udpOrTcp = (): Part => {
    id += 1;
    anonymous.push(...newAnonymousSet(at, id, 'inet_proto', protocols));
    return [metaLoad(metaKey.l4proto), lookup(anonymousSet, { setId: id })];
  };
  const chains = Object.entries(servingChains(family, names, owned, udpOrTcp));
  return [
    newTable(at, owned),
    ...chains.map(([name, { base }]) => newChain(at, name, base)),
    ...counterNames.map((name) => newCounter(at, name)),
    ...sets,
    ...anonymous,
    ...chains.flatMap(([name, { rules }]) => rules.map((parts) => newRule(at, name, parts.flat()))),
  ];
}
