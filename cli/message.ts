/**
 * DNS messages for the command line and the embedded cluster DNS: the one door to dns-packet. That library allocates by the
 * counts in a header, throws on what is malformed, and changes names with unusual octets; so a query is judged here first, by
 * its counts and by a walk over the question, and every exception ends here as a value.
 */
import { type Answer, decode, encode, type Packet } from 'dns-packet';
import { typeNumber } from './record-type.ts';

export type ResourceRecord = Exclude<Answer, { type: 'OPT' }>;

/** RFC 1035 §4.1.1, RFC 6895 §2.3. */
export const rcodes = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  YXDOMAIN: 6,
  YXRRSET: 7,
  NXRRSET: 8,
  NOTAUTH: 9,
  NOTZONE: 10,
  BADVERS: 16,
} as const;
export type Rcode = keyof typeof rcodes;

const headerLength = 12;
const flag = { qr: 0x8000, aa: 0x0400, tc: 0x0200, rd: 0x0100, ra: 0x0080, ad: 0x0020, cd: 0x0010 };

/** RFC 9715 §3: what fits through any path without fragments. */
export const advertisedUdpSize = 1232;
/** RFC 1035 §4.2.1: what every client takes without EDNS. */
const plainUdpSize = 512;

/** One question as a server received it. */
export interface Query {
  id: number;
  /** In lower case; see domain-name.ts for the form. */
  name: string;
  /** The same in the client's spelling, which the answer repeats (RFC 4343 §4.1). */
  spelling: string;
  type: string;
  /** The question section as it came. */
  question: Buffer;
  recursionDesired: boolean;
  /** Largest UDP answer that the client takes; undefined where it sent no OPT (RFC 6891 §6.2.3). */
  udpSize: number | undefined;
}

/** A query to answer, the answer to one that cannot be, or silence: to answer an answer could go on for ever. */
export type Received = { query: Query } | { refusal: Buffer } | undefined;

/** No stub sends more; bounds what parsing can cost. */
const maxQueryLength = 2048;

export function readQuery(packet: Buffer): Received {
  if (packet.length < headerLength) return undefined;
  const flags = packet.readUInt16BE(2);
  if ((flags & flag.qr) !== 0) return undefined;
  if (((flags >> 11) & 0xf) !== 0) return { refusal: refusal(packet, 'NOTIMP') };
  const [questions = 0, answers = 0, authorities = 0, additionals = 0] = [4, 6, 8, 10].map((at) =>
    packet.readUInt16BE(at),
  );
  if (packet.length > maxQueryLength || questions !== 1 || answers + authorities !== 0 || additionals > 2) {
    return { refusal: refusal(packet, 'FORMERR') };
  }
  const asked = readQuestion(packet);
  const opt = asked === undefined ? undefined : readOpt(packet);
  if (asked === undefined || opt === undefined) return { refusal: refusal(packet, 'FORMERR') };

  const query: Query = {
    id: packet.readUInt16BE(0),
    name: asked.name.toLowerCase(),
    spelling: asked.name,
    type: opt.type,
    question: packet.subarray(headerLength, asked.end),
    recursionDesired: (flags & flag.rd) !== 0,
    udpSize: opt.udpSize,
  };
  if (opt.version > 0) return { refusal: encodeReply(query, { rcode: 'BADVERS' }) };
  if (packet.readUInt16BE(asked.end - 2) !== 1) return { refusal: encodeReply(query, { rcode: 'REFUSED' }) };
  return { query };
}

/** Walks the one question: labels only, because there is nothing before it that a pointer could point to. */
function readQuestion(packet: Buffer): { name: string; end: number } | undefined {
  const labels: string[] = [];
  let at = headerLength;
  for (;;) {
    const length = packet[at];
    if (length === undefined || length > 63) return undefined;
    at++;
    if (length === 0) break;
    labels.push(presentLabel(packet.subarray(at, at + length)));
    at += length;
    if (at - headerLength > 254) return undefined;
  }
  if (at + 4 > packet.length) return undefined;
  return { name: labels.join('.') || '.', end: at + 4 };
}

function presentLabel(octets: Uint8Array): string {
  return Array.from(octets, (octet) => {
    const character = String.fromCharCode(octet);
    return /[\w-]/.test(character) ? character : `\\${String(octet).padStart(3, '0')}`;
  }).join('');
}

/** Undefined where the message is malformed or has two OPTs (RFC 6891 §6.1.1). Without an OPT, version 0 and no size. */
function readOpt(packet: Buffer): { type: string; version: number; udpSize: number | undefined } | undefined {
  const decoded = tryDecode(packet);
  const type = decoded?.questions?.[0]?.type;
  if (decoded === undefined || type === undefined) return undefined;
  const opts = (decoded.additionals ?? []).filter((record) => record.type === 'OPT');
  if (opts.length > 1) return undefined;
  const [opt] = opts;
  if (opt === undefined) return { type, version: 0, udpSize: undefined };
  return { type, version: opt.ednsVersion, udpSize: Math.max(plainUdpSize, opt.udpPayloadSize) };
}

export interface ReplyContent {
  rcode: Rcode;
  isAuthoritative?: boolean;
  answers?: readonly ResourceRecord[];
  authorities?: readonly ResourceRecord[];
  additionals?: readonly ResourceRecord[];
}

/**
 * The answer in wire form; at most `maxLength` octets. A larger one becomes empty with TC set, so that the client repeats
 * over TCP (RFC 2181 §9); only additional records are left out without a word.
 */
export function encodeReply(query: Query, content: ReplyContent, maxLength = 65_535): Buffer {
  const { answers = [], authorities = [], additionals = [] } = content;
  for (const extra of [additionals, []]) {
    const reply = assemble(query, content, { answers, authorities, additionals: extra }, 0);
    if (reply.length <= maxLength) return reply;
  }
  return assemble(query, content, { answers: [], authorities: [], additionals: [] }, flag.tc);
}

/** The largest UDP answer to this query: the client's size, within what paths carry. */
export function udpLimit({ udpSize }: Query): number {
  return Math.min(udpSize ?? plainUdpSize, advertisedUdpSize);
}

type Sections = Required<Pick<ReplyContent, 'answers' | 'authorities' | 'additionals'>>;

function assemble(
  query: Query,
  { rcode, isAuthoritative }: ReplyContent,
  sections: Sections,
  extraFlags: number,
): Buffer {
  const code = rcodes[rcode];
  const opt: Answer[] =
    query.udpSize === undefined
      ? []
      : [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: advertisedUdpSize,
            extendedRcode: code >> 4,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ];
  const body = encode({
    type: 'response',
    id: query.id,
    flags: (code & 0xf) | extraFlags | (isAuthoritative ? flag.aa : 0) | (query.recursionDesired ? flag.rd : 0),
    answers: sections.answers.map(copyText),
    authorities: [...sections.authorities],
    additionals: [...sections.additionals, ...opt],
  });
  // The question goes back octet by octet; the library compresses nothing, so no pointer moves.
  const reply = Buffer.concat([body.subarray(0, headerLength), query.question, body.subarray(headerLength)]);
  reply.writeUInt16BE(1, 4);
  return reply;
}

/** The library replaces the strings of TXT data by buffers, in place. */
function copyText(record: ResourceRecord): ResourceRecord {
  return record.type === 'TXT' ? { ...record, data: [record.data].flat() } : record;
}

/** An answer to what cannot be read further than its header (RFC 8906 §3): the header alone. */
function refusal(packet: Buffer, rcode: Rcode): Buffer {
  const reply = Buffer.alloc(headerLength);
  packet.copy(reply, 0, 0, 2);
  const kept = packet.readUInt16BE(2) & (0x7800 | flag.rd);
  reply.writeUInt16BE(flag.qr | kept | rcodes[rcode], 2);
  return reply;
}

/** The private EDNS option by which an agent says where an answer came from (RFC 6891 §9, experimental range). */
const provenanceOption = 65_001;
/** RFC 8914 §2. */
const extendedErrorOption = 15;

const provenances = ['forwarded', 'cache', 'stale', 'local'] as const;
export type Provenance = (typeof provenances)[number];

export interface Reply {
  id: number;
  rcode: string;
  /** As dig names them: qr aa tc rd ra ad cd. */
  flags: string[];
  isTruncated: boolean;
  question: { name: string; type: number } | undefined;
  answers: ResourceRecord[];
  authorities: ResourceRecord[];
  additionals: ResourceRecord[];
  /** RFC 8914. */
  extendedErrors: { code: number; text: string }[];
  /** Undefined where the server is no LocalDNS agent. */
  provenance: Provenance | undefined;
}

/**
 * A query with an OPT that asks for the provenance of the answer. `name` must have passed parseDomainName. The library's
 * types know only the types and options of its tables; it writes any number.
 */
export function encodeQuery({ id, name, type }: { id: number; name: string; type: number }): Buffer {
  const query: Packet = {
    type: 'query',
    id,
    flags: flag.rd,
    questions: [{ name, type: `UNKNOWN_${type}` as 'A' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: advertisedUdpSize,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [{ code: provenanceOption as 12, data: Buffer.alloc(0) }],
      },
    ],
  };
  return encode(query);
}

/** Undefined where the packet is no well-formed answer. */
export function readReply(packet: Buffer): Reply | undefined {
  if (packet.length < headerLength) return undefined;
  const bits = packet.readUInt16BE(2);
  if ((bits & flag.qr) === 0) return undefined;
  const decoded = tryDecode(packet);
  if (decoded === undefined) return undefined;

  const question = decoded.questions?.[0];
  const opt = (decoded.additionals ?? []).find((record) => record.type === 'OPT');
  const option = (code: number) =>
    (opt?.options ?? []).filter((candidate) => (candidate.code as number) === code).map(({ data }) => data);
  const code = (bits & 0xf) | ((opt?.extendedRcode ?? 0) << 4);
  const provenance = option(provenanceOption)[0]?.[0];
  return {
    id: packet.readUInt16BE(0),
    rcode: Object.entries(rcodes).find(([, number]) => number === code)?.[0] ?? `RCODE${code}`,
    flags: Object.entries(flag).flatMap(([name, bit]) => ((bits & bit) === 0 ? [] : [name])),
    isTruncated: (bits & flag.tc) !== 0,
    question: question && { name: question.name, type: typeNumber(question.type) ?? 0 },
    answers: plainRecords(decoded.answers),
    authorities: plainRecords(decoded.authorities),
    additionals: plainRecords(decoded.additionals),
    extendedErrors: option(extendedErrorOption).flatMap((data) =>
      data === undefined || data.length < 2 ? [] : [{ code: data.readUInt16BE(0), text: data.toString('utf8', 2) }],
    ),
    provenance: provenance === undefined ? undefined : provenances[provenance],
  };
}

function plainRecords(records: readonly Answer[] | undefined): ResourceRecord[] {
  return (records ?? []).filter((record) => record.type !== 'OPT');
}

function tryDecode(packet: Buffer): ReturnType<typeof decode> | undefined {
  try {
    return decode(packet);
  } catch {
    return undefined;
  }
}
