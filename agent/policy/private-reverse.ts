/**
 * Names of private addresses, about which no server in the public Internet knows anything: each of their zones is empty here
 * (RFC 6303 §3), but for what somebody does know.
 */
import { isIPv4 } from 'node:net';
import * as header from '../wire/header.ts';
import { type LocalRecord, writeLocalAnswer } from '../wire/local-answer.ts';
import { nameFromText } from '../wire/name.ts';
import { setU32 } from '../wire/octets.ts';
import { prefixFromText } from '../wire/prefix.ts';
import { classIn } from '../wire/query.ts';
import { typeSoa } from '../wire/records.ts';
import { Suffixes } from '../wire/suffixes.ts';
import type { Policy } from './policy.ts';

/** RFC 6303 §4, and RFC 7793 for the addresses that providers share. */
const emptyNetworks = [
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'],
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '255.255.255.255/32'],
  ...['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24'],
  ...['::/128', '::1/128', 'fd00::/8', 'fe80::/10', '2001:db8::/32'],
];

/** Short: a range that is known tomorrow shall not be missing for long. */
const ttlSeconds = 300;

const reverseEnds = ['in-addr.arpa', 'ip6.arpa'].map(nameFromText);

interface EmptyZone {
  name: string;
  soa: LocalRecord;
}

/**
 * @param exceptRanges networks whose addresses have names here: those of pods and Services
 * @param zones that are configured: what is theirs is asked of their servers
 */
export function privateReverse(exceptRanges: readonly string[], zones: readonly string[]): Policy {
  const empty = new Suffixes(new Map(emptyNetworks.flatMap(reverseZones).map((name) => [name, emptyZone(name)])));
  const configured = zones.filter((zone) => zone !== '.').map(nameFromText);
  const known = [...exceptRanges.flatMap(reverseZones), ...configured];
  const excepted = new Suffixes(new Map(known.map((name) => [name, true])));
  // Nothing is below a name that does not exist (RFC 8020): these have to.
  const above = new Set(known.flatMap(parentsOf));
  return (query, out, limit) => {
    const { name } = query;
    if (query.class !== classIn || !reverseEnds.some((end) => name.endsWith(end))) return 0;
    const zone = empty.longest(name);
    if (zone === undefined || excepted.longest(name) !== undefined) return 0;
    if (name === zone.name && query.type === typeSoa)
      return writeLocalAnswer(out, query, limit, { records: [zone.soa] });
    const exists = name === zone.name || above.has(name);
    return writeLocalAnswer(out, query, limit, {
      rcode: exists ? header.rcode.noError : header.rcode.nxDomain,
      authority: { ...zone.soa, ownerLength: zone.name.length },
    });
  };
}

/**
 * The names below which all addresses of a network have theirs, and no others, in canonical wire form: one where it ends with a
 * label, an octet (RFC 1035 §3.5) or four bits (RFC 3596 §2.5), else one for each label that it ends within.
 */
export function reverseZones(network: string): string[] {
  const { octets, bits } = prefixFromText(network);
  const isV4 = isIPv4(network.split('/')[0] ?? '');
  const [bitsPerLabel, top] = isV4 ? ([8, 'in-addr.arpa'] as const) : ([4, 'ip6.arpa'] as const);
  const units = isV4 ? [...octets] : [...octets].flatMap((octet) => [octet >> 4, octet & 0xf]);
  const labels = Math.ceil(bits / bitsPerLabel);
  const free = labels * bitsPerLabel - bits;
  const fixed = units.slice(0, labels);
  const last = ((fixed.pop() ?? 0) >> free) << free;
  const ends = labels === 0 ? [[]] : Array.from({ length: 2 ** free }, (_, index) => [...fixed, last + index]);
  return ends.map((end) =>
    nameFromText([...end.reverse().map((unit) => unit.toString(isV4 ? 10 : 16)), top].join('.')),
  );
}

function parentsOf(name: string): string[] {
  const parents: string[] = [];
  for (let at = name.charCodeAt(0) + 1; name.charCodeAt(at) > 0; at += name.charCodeAt(at) + 1) {
    parents.push(name.slice(at));
  }
  return parents;
}

/** RFC 6303 §3: the zone's own name as its server, and nobody to write to. */
function emptyZone(name: string): EmptyZone {
  const names = Buffer.from(name + nameFromText('nobody.invalid'), 'latin1');
  const numbers = Buffer.alloc(20);
  for (const [index, value] of [1, 3600, 1200, 604_800, ttlSeconds].entries()) setU32(numbers, index * 4, value);
  return { name, soa: { type: typeSoa, ttlSeconds, data: Buffer.concat([names, numbers]) } };
}
