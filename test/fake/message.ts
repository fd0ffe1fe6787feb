/** DNS messages for tests, built and read by dns-packet: another hand than the agent's own wire code. */
import dnsPacket, { type Answer, type DecodedPacket, type RecordType } from 'dns-packet';

/** As the agent's local option 65001 answers. */
export const origins = ['forwarded', 'cache', 'stale', 'local'] as const;
export type OriginName = (typeof origins)[number];

const originOption = 65001;
const extendedErrorOption = 15;
const flagBits = { AA: 0x0400, TC: 0x0200, RD: 0x0100, RA: 0x0080, AD: 0x0020, CD: 0x0010 } as const;
export type Flag = keyof typeof flagBits;

const rcodeNames = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

export interface QueryParts {
  name: string;
  /** `A`, `TYPE65`; A where it is absent. */
  type?: string;
  class?: 'IN' | 'CH';
  id?: number;
  /** RD alone where it is absent. */
  flags?: readonly Flag[];
  /** False: no OPT record. */
  edns?: false | EdnsParts;
}

export interface EdnsParts {
  udpSize?: number;
  dnssecOk?: boolean;
  version?: number;
  /** Ask where the answer came from. */
  asksOrigin?: boolean;
  options?: readonly { code: number; data: Buffer }[];
}

export interface AnswerParts {
  /** `NOERROR` where it is absent. */
  rcode?: string;
  /** QR and RA, and RD where the query had it, are always set. */
  flags?: readonly Flag[];
  /** Records as `www.example. 300 A 192.0.2.1`. */
  answers?: readonly string[];
  authorities?: readonly string[];
  additionals?: readonly string[];
  /** An OPT record where the query had one; false for none. */
  edns?: false | EdnsParts;
}

/** A message as a person reads it. */
export interface Message {
  id: number;
  isAnswer: boolean;
  rcode: string;
  flags: Flag[];
  /** As spelled in the message. */
  name: string;
  type: string;
  class: string;
  /** `www.example 300 A 192.0.2.1`; names without the final dot, except the root's. */
  answers: string[];
  authorities: string[];
  /** Without OPT. */
  additionals: string[];
  edns: { udpSize: number; dnssecOk: boolean; version: number; options: { code: number; data: Buffer }[] } | undefined;
  extendedError: { code: number; text: string } | undefined;
  origin: OriginName | undefined;
}

export function buildQuery(parts: QueryParts): Buffer {
  const { name, type = 'A', class: cls = 'IN', id = 0x1234, flags = ['RD'], edns = {} } = parts;
  return Buffer.from(
    dnsPacket.encode({
      type: 'query',
      id,
      flags: bitsOf(flags),
      questions: [{ name, type: typeName(type), class: cls }],
      additionals: edns === false ? [] : [optRecord(edns)],
    }),
  );
}

/** The answer to `query`, under its id and question. */
export function buildAnswer(query: Buffer, parts: AnswerParts = {}): Buffer {
  const asked = dnsPacket.decode(query);
  const { rcode = 'NOERROR', flags = [], edns } = parts;
  const code = rcodeNames.indexOf(rcode);
  const extended = code < 0 ? Number(/^RCODE(\d+)$/.exec(rcode)?.[1]) : code;
  if (Number.isNaN(extended)) throw new Error(`no response code ${rcode}`);
  const hasOpt = asked.additionals?.some(({ type }) => type === 'OPT') === true;
  const opt = edns === false || (edns === undefined && !hasOpt) ? [] : [optRecord(edns ?? {}, extended >> 4)];
  const echoed = flagsOf(asked.flags ?? 0).filter((flag) => flag === 'RD');
  return Buffer.from(
    dnsPacket.encode({
      type: 'response',
      id: asked.id ?? 0,
      flags: bitsOf([...echoed, 'RA', ...flags]) | (extended & 0xf),
      questions: asked.questions ?? [],
      answers: (parts.answers ?? []).map(recordFromText),
      authorities: (parts.authorities ?? []).map(recordFromText),
      additionals: [...(parts.additionals ?? []).map(recordFromText), ...opt],
    }),
  );
}

export function readMessage(message: Buffer): Message {
  const packet = dnsPacket.decode(message);
  const question = packet.questions?.[0];
  const opt = packet.additionals?.find((record) => record.type === 'OPT');
  const options = opt?.options.map(({ code, data }) => ({ code: Number(code), data: data as Buffer })) ?? [];
  const info = options.find(({ code }) => code === extendedErrorOption)?.data;
  const from = options.find(({ code }) => code === originOption)?.data;
  const bits = message.readUInt16BE(2);
  const code = (bits & 0xf) | ((opt?.extendedRcode ?? 0) << 4);
  return {
    id: packet.id ?? 0,
    isAnswer: packet.type === 'response',
    rcode: rcodeNames[code] ?? `RCODE${code}`,
    flags: flagsOf(bits),
    name: question?.name ?? '',
    type: question === undefined ? '' : numericType(question.type),
    class: question?.class ?? '',
    answers: textOf(packet.answers),
    authorities: textOf(packet.authorities),
    additionals: textOf(packet.additionals?.filter(({ type }) => type !== 'OPT')),
    edns: opt && {
      udpSize: opt.udpPayloadSize,
      dnssecOk: (opt.flags & 0x8000) !== 0,
      version: opt.ednsVersion,
      options,
    },
    extendedError: info && { code: info.readUInt16BE(0), text: info.toString('utf8', 2) },
    // An origin option without its octet is what a client sends.
    origin: from === undefined || from.length === 0 ? undefined : origins[from[0] ?? -1],
  };
}

/** `www.example. 300 A 192.0.2.1`, SOA as `m.example r.example SERIAL REFRESH RETRY EXPIRE MINIMUM`. */
export function recordFromText(text: string): Answer {
  const [name = '', ttl = '', type = '', ...words] = text.trim().split(/\s+/);
  if (!/^\d+$/.test(ttl) || words.length === 0) throw new Error(`not a record: ${text}`);
  const data = dataFromWords(type, words, text);
  return { name, ttl: Number(ttl), type: typeName(type), class: 'IN', data } as Answer;
}

function dataFromWords(type: string, words: string[], text: string): unknown {
  const number = (at: number) => Number(words[at]);
  switch (type) {
    case 'SOA':
      return {
        mname: words[0],
        rname: words[1],
        serial: number(2),
        refresh: number(3),
        retry: number(4),
        expire: number(5),
        minimum: number(6),
      };
    case 'MX':
      return { preference: number(0), exchange: words[1] };
    case 'SRV':
      return { priority: number(0), weight: number(1), port: number(2), target: words[3] };
    case 'TXT':
      return words.join(' ');
    case 'A':
    case 'AAAA':
    case 'CNAME':
    case 'NS':
    case 'PTR':
    case 'DNAME':
      return words[0];
    default:
      // RFC 3597 §5: any type, its data in hexadecimal.
      if (/^TYPE\d+$/.test(type)) return Buffer.from(words.join(''), 'hex');
      throw new Error(`no type ${type}: ${text}`);
  }
}

function textOf(records: DecodedPacket['answers']): string[] {
  return (records ?? []).map((record) => {
    if (record.type === 'OPT') return 'OPT';
    const { name, type, data, ttl } = record as { name: string; type: string; data: unknown; ttl?: number };
    return `${name} ${ttl} ${numericType(type)} ${dataText(type, data)}`;
  });
}

function dataText(type: string, data: unknown): string {
  if (typeof data === 'string') return data;
  if (Buffer.isBuffer(data)) return data.toString('hex');
  if (type === 'TXT') return (data as Buffer[]).map((part) => part.toString('latin1')).join(' ');
  return Object.values(data as object).join(' ');
}

/** dns-packet writes `UNKNOWN_65`. */
function typeName(type: string): RecordType {
  return type.replace(/^TYPE/, 'UNKNOWN_') as RecordType;
}

function numericType(type: string): string {
  return type.replace(/^UNKNOWN_/, 'TYPE');
}

function optRecord(
  { udpSize = 1232, dnssecOk = false, version = 0, asksOrigin = false, options = [] }: EdnsParts,
  extendedRcode = 0,
): Answer {
  const all = asksOrigin ? [...options, { code: originOption, data: Buffer.alloc(0) }] : options;
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: udpSize,
    extendedRcode,
    ednsVersion: version,
    flags: dnssecOk ? 0x8000 : 0,
    flag_do: dnssecOk,
    options: all,
  } as unknown as Answer;
}

function bitsOf(flags: readonly Flag[]): number {
  return flags.reduce((bits, flag) => bits | flagBits[flag], 0);
}

function flagsOf(bits: number): Flag[] {
  return (Object.keys(flagBits) as Flag[]).filter((flag) => (bits & flagBits[flag]) !== 0);
}
