/**
 * An answer's octets as values that two servers' answers can be compared by: names written out, whatever was compressed how;
 * sections without order (RFC 2181 §5: a set has none). Read by other code than the agent's.
 */

export interface Reading {
  id: number;
  rcode: number;
  flags: string;
  /** Octets of the question: the spelling counts (RFC 4343 §4.1). */
  question: string;
  answer: string;
  authority: string;
  additional: string;
  /** UDP size, version and flags of OPT. */
  edns: string;
  /** Codes of its options. */
  options: string;
  /** By record, without its TTL. */
  ttls: Map<string, number>;
  length: number;
}

const flagBits = { qr: 0x8000, aa: 0x400, tc: 0x200, rd: 0x100, ra: 0x80, z: 0x40, ad: 0x20, cd: 0x10 } as const;
const typeOpt = 41;

/** RFC 3597 §4: in these types' data names may be compressed. Octets in front of the first name; how many names. */
const namesIn = new Map<number, readonly [before: number, names: number]>([
  ...[2, 3, 4, 5, 7, 8, 9, 12].map((type) => [type, [0, 1]] as const),
  ...[6, 14, 17].map((type) => [type, [0, 2]] as const),
  ...[15, 18, 21].map((type) => [type, [2, 1]] as const),
  [33, [6, 1]],
  [39, [0, 1]],
]);

/** Throws where the message is malformed. */
export function readAnswer(message: Buffer): Reading {
  const bits = message.readUInt16BE(2);
  const [questions = 0, ...counts] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  let at = 12;
  for (let question = 0; question < questions; question += 1) at = nameAt(message, at).end + 4;
  const question = message.toString('latin1', 12, at);
  const ttls = new Map<string, number>();
  let edns = '';
  let options = '';
  let extendedRcode = 0;
  const sections = counts.map((count) => {
    const lines: string[] = [];
    for (let record = 0; record < count; record += 1) {
      const owner = nameAt(message, at);
      const [type, of] = [message.readUInt16BE(owner.end), message.readUInt16BE(owner.end + 2)];
      const ttl = message.readUInt32BE(owner.end + 4);
      const data = owner.end + 10;
      at = data + message.readUInt16BE(owner.end + 8);
      if (at > message.length) throw new Error('a record that is cut off');
      if (type === typeOpt) {
        extendedRcode = ttl >>> 24;
        edns = `${of} version ${(ttl >>> 16) & 0xff} flags ${(ttl & 0xffff).toString(16)}`;
        options = optionsOf(message.subarray(data, at));
        continue;
      }
      const line = `${owner.name} ${of} ${type} ${dataText(message, type, data, at)}`;
      ttls.set(line, ttl);
      lines.push(line);
    }
    return lines.sort().join('\n');
  });
  if (at !== message.length) throw new Error(`${message.length - at} octets behind the last record`);
  const [answer = '', authority = '', additional = ''] = sections;
  return {
    id: message.readUInt16BE(0),
    rcode: extendedRcode * 16 + (bits & 0xf),
    flags: `opcode ${(bits >> 11) & 0xf} ${Object.entries(flagBits)
      .flatMap(([name, bit]) => ((bits & bit) === 0 ? [] : [name]))
      .join(' ')}`,
    ...{ question, answer, authority, additional, edns, options, ttls },
    length: message.length,
  };
}

function optionsOf(data: Buffer): string {
  const codes: number[] = [];
  for (let at = 0; at < data.length; at += 4 + data.readUInt16BE(at + 2)) codes.push(data.readUInt16BE(at));
  return codes.sort((a, b) => a - b).join(' ');
}

function dataText(message: Buffer, type: number, from: number, to: number): string {
  const places = namesIn.get(type);
  if (places === undefined) return message.toString('hex', from, to);
  const [before, names] = places;
  let at = from + before;
  let text = message.toString('hex', from, at);
  for (let number = 0; number < names; number += 1) {
    const { name, end } = nameAt(message, at);
    text += ` ${name}`;
    at = end;
  }
  return `${text} ${message.toString('hex', at, to)}`;
}

/** In small letters; dots and what cannot be printed are escaped. */
function nameAt(message: Buffer, from: number): { name: string; end: number } {
  let name = '';
  let end = -1;
  for (let at = from, jumps = 0; ; ) {
    const length = message.readUInt8(at);
    if (length >= 0xc0) {
      if (end < 0) end = at + 2;
      at = message.readUInt16BE(at) & 0x3fff;
      jumps += 1;
      if (jumps > 64) throw new Error('a name without an end');
      continue;
    }
    at += 1 + length;
    if (length === 0) return { name: name === '' ? '.' : name, end: end < 0 ? at : end };
    const label = message.toString('latin1', at - length, at).toLowerCase();
    name += `${label.replaceAll(/[^!-~]|[.\\]/g, (octet) => `\\${octet.charCodeAt(0)}`)}.`;
  }
}
