/** Packets that look like queries, and what remains of them after an accident. */
import { ednsQuery, encodeName, message, opt, type Question, query, record, u16 } from '../fake/octets.ts';
import type { Random } from './random.ts';

const names = ['www.example.com', 'a', '.', 'kube.cluster.local', 'id.server', 'x'.repeat(63), 'WwW.eXample.com'];
const types = [0, 1, 2, 5, 6, 16, 28, 33, 41, 46, 64, 128, 249, 250, 251, 252, 255, 256, 32_769, 65_535];
const classes = [1, 1, 1, 1, 3, 4, 0, 254, 255, 65_535];
const interesting = [0x00, 0x01, 0x0c, 0x29, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff];

function wellFormed(random: Random): Buffer {
  const question: Question = { name: nameOf(random), type: random.pick(types), class: random.pick(classes) };
  const flags = random.once(3) ? random.below(0x10000) & 0x7fff : random.pick([0x100, 0x110, 0x120, 0x000]);
  const id = random.below(0x10000);
  if (random.once(3)) return query(undefined, { id, flags, questions: [question] });
  const options = Array.from({ length: random.below(4) }, () => ({
    code: random.pick([3, 8, 10, 11, 12, 15, 65_001, random.below(0x10000)]),
    data: random.octets(random.below(20)),
  }));
  const udpSize = random.pick([0, 1, 511, 512, 513, 1232, 4096, 65_535]);
  const edns = { udpSize, version: random.once(5) ? random.below(256) : 0, dnssecOk: random.once(2), options };
  const extra = random.once(6) ? [random.pick([opt(edns), record('a', 250, 0, random.octets(16), 255)])] : [];
  return ednsQuery(undefined, {}, { id, flags, questions: [question], additionals: [opt(edns), ...extra] });
}

function nameOf(random: Random): string {
  if (random.once(2)) return random.pick(names);
  // From far too short to a little too long.
  const labels = Array.from({ length: random.below(130) }, () =>
    'l'.repeat(1 + random.below(random.pick([2, 12, 63]))),
  );
  return labels.join('.').slice(0, random.pick([20, 240, 253, 254, 260]));
}

/** Right in form, and wrong in what it says. */
function absurd(random: Random): Buffer {
  const counts = [0, 1, 1, 1, 2, 3, 0xffff];
  const rr = () => record(random.pick(names), random.pick(types), random.below(100), random.octets(random.below(30)));
  return message({
    id: random.below(0x10000),
    flags: random.pick([0, 0x100, 0x2800, 0x7900, 0x8180]),
    questions: Array.from({ length: random.below(3) }, () => ({ name: random.pick(names), type: random.pick(types) })),
    answers: random.once(4) ? [rr()] : [],
    authorities: random.once(4) ? [rr()] : [],
    additionals: Array.from({ length: random.below(4) }, () => (random.once(2) ? rr() : opt({}))),
    counts: [random.pick(counts), random.pick(counts), random.pick(counts), random.pick(counts)],
    trailing: random.octets(random.pick([0, 0, 1, 11, 700])),
  });
}

/** A question whose name is octets of chance: pointers, long labels, no end. */
function strangeName(random: Random): Buffer {
  const start = encodeName(random.pick(names)).subarray(0, -1);
  const tail = Buffer.from(Array.from({ length: random.below(12) }, () => random.pick(interesting)));
  return message({
    id: random.below(0x10000),
    flags: 0x100,
    questions: [Buffer.concat([start, tail, u16(1, 1)])],
    additionals: random.once(2) ? [opt({})] : [],
    counts: [1, 0, 0, random.below(2)],
  });
}

/** Breaks a packet as lines and liars do: octets changed, cut out, doubled, cut off. */
export function mutate(random: Random, packet: Buffer): Buffer {
  let mutant = packet;
  for (let times = 1 + random.below(4); times > 0; times -= 1) {
    const at = random.below(mutant.length + 1);
    switch (random.below(6)) {
      case 0:
        mutant = mutant.subarray(0, at);
        break;
      case 1:
        mutant = Buffer.concat([mutant.subarray(0, at), random.octets(1 + random.below(8)), mutant.subarray(at)]);
        break;
      case 2:
        mutant = Buffer.concat([mutant.subarray(0, at), mutant.subarray(at + 1 + random.below(8))]);
        break;
      case 3: {
        const until = at + random.below(40);
        mutant = Buffer.concat([mutant.subarray(0, until), mutant.subarray(at)]);
        break;
      }
      default:
        mutant = Buffer.from(mutant);
        if (at < mutant.length) mutant[at] = random.once(2) ? random.pick(interesting) : random.below(256);
    }
  }
  return mutant;
}

export function anyQuery(random: Random): Buffer {
  switch (random.below(10)) {
    case 0:
      return random.octets(random.below(random.pick([16, 80, 600])));
    case 1:
      return absurd(random);
    case 2:
      return strangeName(random);
    case 3:
    case 4:
    case 5:
      return wellFormed(random);
    default:
      return mutate(random, wellFormed(random));
  }
}
