/**
 * Records as zone files write them (RFC 1035 §5.1), safe to show on a terminal: whatever is not printable ASCII stands as
 * \DDD. Data of types without a form here stands as octets (RFC 3597 §5).
 */
import type { Reply, ResourceRecord } from './message.ts';
import { typeName, typeNumber } from './record-type.ts';

/** `www.corp.example. 30 IN A 192.0.2.10`. */
export function presentRecord(record: ResourceRecord): string {
  const type = typeName(typeNumber(record.type) ?? 0);
  return `${presentName(record.name)} ${record.ttl ?? 0} ${record.class ?? 'IN'} ${type} ${presentData(record)}`;
}

/** The data of a record alone. */
export function presentData(record: ResourceRecord): string {
  switch (record.type) {
    case 'A':
    case 'AAAA':
      return record.data;
    case 'CNAME':
    case 'DNAME':
    case 'NS':
    case 'PTR':
      return presentName(record.data);
    case 'MX':
      return `${record.data.preference} ${presentName(record.data.exchange)}`;
    case 'SRV': {
      const { priority, weight, port, target } = record.data;
      return `${priority} ${weight} ${port} ${presentName(target)}`;
    }
    case 'SOA': {
      const { mname, rname, serial, refresh, retry, expire, minimum } = record.data;
      return `${presentName(mname)} ${presentName(rname)} ${serial} ${refresh} ${retry} ${expire} ${minimum}`;
    }
    case 'TXT':
      return [record.data].flat().map(presentText).join(' ');
    case 'CAA':
      return `${record.data.flags ?? 0} ${escaped(record.data.tag)} ${presentText(record.data.value)}`;
    default:
      return presentOther(record.data);
  }
}

/** With a trailing dot: it is meant as it stands, no search path applies. */
export function presentName(name: string): string {
  return name === '.' ? '.' : `${escaped(name)}.`;
}

/** RFC 8914 §5.2, those that a forwarder sends. */
const extendedErrors: Record<number, string> = {
  3: 'Stale Answer',
  13: 'Cached Error',
  14: 'Not Ready',
  15: 'Blocked',
  17: 'Filtered',
  18: 'Prohibited',
  19: 'Stale NXDOMAIN Answer',
  22: 'No Reachable Authority',
  23: 'Network Error',
};

/** `3 (Stale Answer): "upstream is down"`. */
export function presentExtendedError({ code, text }: Reply['extendedErrors'][number]): string {
  const meaning = extendedErrors[code];
  return `${code}${meaning === undefined ? '' : ` (${meaning})`}${text === '' ? '' : `: ${presentText(text)}`}`;
}

function presentText(text: string | Uint8Array): string {
  return `"${escaped(text, '"')}"`;
}

/** Names and texts come from anywhere: an escape sequence of a terminal must not reach one. */
function escaped(text: string | Uint8Array, special = ''): string {
  return Array.from(Buffer.from(text), (octet) => {
    const character = String.fromCharCode(octet);
    if (octet < 0x20 || octet > 0x7e) return `\\${String(octet).padStart(3, '0')}`;
    return special.includes(character) && special !== '' ? `\\${character}` : character;
  }).join('');
}

/** Field by field, in the order of the wire, where dns-packet knows the fields. */
function presentOther(data: unknown): string {
  if (Buffer.isBuffer(data)) return `\\# ${data.length} ${data.toString('hex')}`.trim();
  return Object.values(data as object)
    .flat()
    .map((field) => (Buffer.isBuffer(field) ? field.toString('hex') : escaped(String(field))))
    .join(' ');
}
