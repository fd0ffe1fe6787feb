/** The queries of the differential test: what clients of every kind send, and what only testers of conformance do. */
import { type Edns, encodeName, flag, message, opt, query, record, u16 } from '../fake/octets.ts';
import type { Random } from '../fuzz/random.ts';
import { names } from './zones.ts';

export interface Question {
  packet: Buffer;
  overTcp: boolean;
  name: string;
  type: number;
  class: number;
  opcode: number;
  flags: number;
  edns: Edns | undefined;
  /** What is wrong with its form, in a word; undefined where nothing is. */
  fault: string | undefined;
}

const usualTypes = [1, 1, 1, 1, 28, 28, 28, 16, 5, 6, 2, 15, 33, 12, 65];
const rareTypes = [13, 17, 29, 35, 39, 43, 44, 46, 48, 52, 64, 99, 257, 1234, 12_345, 65_280, 65_534, 65_535];
const oddTypes = [0, 41, 249, 250, 251, 252, 253, 254, 255];
/** Those that hold more than a small answer has room for, and those with a name that is hard to carry. */
const favourites = [
  ...['text1k', 'text4k', 'text20k', 'text60k', 'many', 'edge', 'unknown', 'www', 'alias', 'chain0', 'zero', 'short'],
  ...['dangling', 'to-nodata', 'to-other', 'to-sub', 'nowhere', 'extras'],
].map((name) => `${name}.example.`);
const binaryNames = ['a.dot', 'a space', '\xc8\xff\0octets'].map((label) =>
  Buffer.concat([Buffer.of(label.length), Buffer.from(label, 'latin1'), encodeName('example')]),
);

export function anyQuestion(random: Random, id: number): Question {
  const name = random.once(3) ? random.pick(favourites) : random.pick(names);
  const type = typeFor(random, name);
  const of = random.once(40) ? random.pick([3, 4, 0, 254, 255, 4_660]) : 1;
  const opcode = random.once(60) ? random.pick([1, 2, 4, 5, 6, 15]) : 0;
  const plain = random.once(25) ? random.below(0x80) & ~0x80 : random.pick([0x100, 0x100, 0x100, 0x110, 0x120, 0x130]);
  const flags = plain | (opcode << 11);
  const edns = random.once(4) ? undefined : anyEdns(random);
  const asked = { overTcp: random.once(4), name, type, class: of, opcode, flags, edns };
  const form = random.once(40) ? random.pick(faults) : undefined;
  const owner = random.once(60) ? random.pick(binaryNames) : encodeName(respelled(random, name));
  const question = Buffer.concat([owner, u16(type, of)]);
  const additionals = edns === undefined ? [] : [opt(edns)];
  const sections = { id, flags, questions: [question], additionals };
  return { ...asked, packet: form?.packet(random, sections) ?? message(sections), fault: form?.fault };
}

function typeFor(random: Random, name: string): number {
  if (name.startsWith('text') && !random.once(4)) return 16;
  if (name.startsWith('unknown') && !random.once(4)) return random.pick([65_534, 12_345, 1234]);
  if (name.startsWith('extras') && !random.once(4)) return 33;
  if (random.once(8)) return random.pick(rareTypes);
  return random.once(30) ? random.pick(oddTypes) : random.pick(usualTypes);
}

function anyEdns(random: Random): Edns {
  return {
    udpSize: random.pick([0, 100, 512, 513, 1232, 1232, 1232, 1400, 4096, 65_535]),
    dnssecOk: random.once(4),
    ...(random.once(60) && { version: random.pick([1, 255]) }),
    options: random.once(4) ? [random.pick(ednsOptions)] : [],
  };
}

const ednsOptions = [
  { code: 3, data: Buffer.alloc(0) },
  { code: 10, data: Buffer.from('0123456789abcdef', 'hex') },
  { code: 10, data: Buffer.from('0123', 'hex') },
  { code: 8, data: Buffer.from('000118000a0000', 'hex') },
  { code: 11, data: Buffer.alloc(0) },
  { code: 12, data: Buffer.alloc(40) },
  { code: 15, data: Buffer.of(0, 3) },
  { code: 65_100, data: Buffer.from('anything') },
];

/** 0x20: letters of the question in either case. */
function respelled(random: Random, name: string): string {
  if (!random.once(3)) return name;
  return name.replaceAll(/[a-z]/g, (letter) => (random.once(2) ? letter.toUpperCase() : letter));
}

type Sections = Parameters<typeof message>[0] & { questions: Buffer[]; additionals: Buffer[] };

const faults: readonly { fault: string; packet: (random: Random, sections: Sections) => Buffer }[] = [
  { fault: 'no question', packet: (_, { id, flags }) => message({ id, flags } as Sections) },
  { fault: 'two questions', packet: (_, all) => message({ ...all, questions: [...all.questions, ...all.questions] }) },
  { fault: 'two OPT records', packet: (_, all) => message({ ...all, additionals: [opt({}), opt({})] }) },
  {
    fault: 'OPT with a name',
    packet: (_, all) => message({ ...all, additionals: [record('a', 41, 0, Buffer.alloc(0))] }),
  },
  {
    fault: 'octets behind',
    packet: (random, all) => message({ ...all, trailing: random.octets(1 + random.below(9)) }),
  },
  { fault: 'cut off', packet: (random, all) => message(all).subarray(0, 13 + random.below(5)) },
  {
    fault: 'pointer in the question',
    packet: (_, all) => message({ ...all, questions: [Buffer.of(0xc0, 12, 0, 1, 0, 1)] }),
  },
  {
    fault: 'an answer in the query',
    packet: (_, all) => message({ ...all, answers: [record('a', 1, 0, Buffer.alloc(4))] }),
  },
  { fault: 'a response', packet: (_, all) => message({ ...all, flags: (all.flags ?? 0) | flag.qr }) },
];

/** A question that both know, to see that a server still answers. */
export function plainQuestion(id: number): Buffer {
  return query('www.example', { id });
}
