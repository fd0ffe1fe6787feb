/**
 * Messages for tests, written octet by octet, so that a test can write what no library would. They are read through message.ts,
 * so that our own parser is not its own judge.
 */
import { readMessage } from './message.ts';

export const type = { A: 1, NS: 2, CNAME: 5, SOA: 6, TXT: 16, AAAA: 28, OPT: 41, RRSIG: 46, ANY: 255 } as const;
export const flag = { qr: 0x8000, aa: 0x400, tc: 0x200, rd: 0x100, ra: 0x80, ad: 0x20, cd: 0x10 } as const;

export interface Question {
  name: string;
  type?: number;
  class?: number;
}

export interface Sections {
  id?: number;
  flags?: number;
  questions?: readonly (Question | Buffer)[];
  answers?: readonly Buffer[];
  authorities?: readonly Buffer[];
  additionals?: readonly Buffer[];
  /** Says other counts than there are: question, answer, authority, additional. */
  counts?: [number, number, number, number];
  /** Octets behind the last record. */
  trailing?: Buffer;
}

export function message(sections: Sections): Buffer {
  const { id = 0, flags = 0, questions = [], answers = [], authorities = [], additionals = [] } = sections;
  const { counts = [questions.length, answers.length, authorities.length, additionals.length] } = sections;
  const asked = questions.map((question) => (Buffer.isBuffer(question) ? question : encodeQuestion(question)));
  const head = u16(id, flags, ...counts);
  return Buffer.concat([head, ...asked, ...answers, ...authorities, ...additionals, sections.trailing ?? none]);
}

const none = Buffer.alloc(0);

/** A question in two words, `www.example.com` A by default, as a stub resolver sends it: RD, no EDNS. */
export function query(name = 'www.example.com', sections: Sections & Omit<Question, 'name'> = {}): Buffer {
  const question: Question = { name, type: sections.type ?? type.A, class: sections.class ?? 1 };
  return message({ id: 0x1234, flags: flag.rd, questions: [question], ...sections });
}

/** The same with an OPT record. */
export function ednsQuery(name?: string, edns: Edns = {}, sections: Parameters<typeof query>[1] = {}): Buffer {
  return query(name, { additionals: [opt(edns)], ...sections });
}

/** An upstream's answer: id, flags and question taken from the query. */
export function reply(to: Buffer, sections: Sections & { rcode?: number } = {}): Buffer {
  const question = to.subarray(12, questionEnd(to));
  const flags = (sections.flags ?? flag.rd | flag.ra) | flag.qr | (sections.rcode ?? 0);
  return message({ id: to.readUInt16BE(0), questions: [Buffer.from(question)], ...sections, flags });
}

export function questionEnd(of: Buffer): number {
  let at = 12;
  while ((of[at] ?? 0) !== 0) at += (of[at] as number) + 1;
  return at + 5;
}

export function encodeName(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  const octets = labels.map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, 'latin1')]));
  return Buffer.concat([...octets, Buffer.of(0)]);
}

function encodeQuestion(question: Question): Buffer {
  return Buffer.concat([encodeName(question.name), u16(question.type ?? type.A, question.class ?? 1)]);
}

/** @param name in text, or in wire form, where it may be compressed */
export function record(name: string | Buffer, recordType: number, ttl: number, data: Buffer, recordClass = 1): Buffer {
  const owner = typeof name === 'string' ? encodeName(name) : name;
  return Buffer.concat([owner, u16(recordType, recordClass), u32(ttl), u16(data.length), data]);
}

/** Points to the question's name. */
export const questionName = Buffer.of(0xc0, 12);

export function a(name: string | Buffer, ttl: number, address: string): Buffer {
  return record(name, type.A, ttl, Buffer.from(address.split('.').map(Number)));
}

export function cname(name: string, ttl: number, target: string): Buffer {
  return record(name, type.CNAME, ttl, encodeName(target));
}

export function txt(name: string | Buffer, ttl: number, ...texts: string[]): Buffer {
  const data = texts.map((text) => Buffer.concat([Buffer.of(text.length), Buffer.from(text)]));
  return record(name, type.TXT, ttl, Buffer.concat(data));
}

export function soa(name: string, ttl: number, minimum: number): Buffer {
  const names = [encodeName(`ns.${name}`), encodeName(`admin.${name}`)];
  return record(name, type.SOA, ttl, Buffer.concat([...names, u32(1, 2, 3, 4, minimum)]));
}

export interface Edns {
  udpSize?: number;
  version?: number;
  dnssecOk?: boolean;
  extendedRcode?: number;
  options?: readonly { code: number; data: Buffer }[];
}

export function opt({ udpSize = 1232, version = 0, dnssecOk = false, extendedRcode = 0, options = [] }: Edns): Buffer {
  const data = options.map((option) => Buffer.concat([u16(option.code, option.data.length), option.data]));
  const ttl = extendedRcode * 0x1000000 + version * 0x10000 + (dnssecOk ? 0x8000 : 0);
  return record('', type.OPT, ttl, Buffer.concat(data), udpSize);
}

export function u16(...values: number[]): Buffer {
  const octets = Buffer.alloc(values.length * 2);
  values.forEach((value, index) => {
    octets.writeUInt16BE(value, index * 2);
  });
  return octets;
}

export function u32(...values: number[]): Buffer {
  const octets = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    octets.writeUInt32BE(value >>> 0, index * 4);
  });
  return octets;
}

export interface Reading {
  id: number;
  /** With the upper bits of OPT. */
  rcode: number;
  /** The bits of {@link flag} that are set, in words. */
  flags: string[];
  question: string;
  /** `NAME TTL TYPE DATA`; of a SOA only its MINIMUM. */
  answers: string[];
  authorities: string[];
  additionals: string[];
  edns: { udpSize: number; dnssecOk: boolean; version: number; options: number[] } | undefined;
  /** RFC 8914 info code. */
  extendedError: number | undefined;
}

/** Throws where the message is malformed. */
export function read(octets: Buffer): Reading {
  const { id, edns, extendedError, name, type, class: cls, ...sections } = readMessage(octets);
  const bits = octets.readUInt16BE(2);
  const optTtl = octets.lastIndexOf(Buffer.of(0, 0, 41)) + 5;
  return {
    id,
    rcode: (bits & 0xf) + (edns === undefined ? 0 : (octets[optTtl] as number) * 16),
    flags: Object.entries(flag).flatMap(([word, bit]) => ((bits & bit) === 0 ? [] : [word])),
    question: `${name} ${cls} ${type}`,
    answers: sections.answers.map(shortened),
    authorities: sections.authorities.map(shortened),
    additionals: sections.additionals.map(shortened),
    edns: edns && { ...edns, options: edns.options.map(({ code }) => code) },
    extendedError: extendedError?.code,
  };
}

function shortened(line: string): string {
  return line.replace(/ SOA .* (\d+)$/, ' SOA minimum=$1');
}
