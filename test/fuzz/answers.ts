/** Answers of upstream servers that are broken, or hostile. */
import {
  a,
  cname,
  encodeName,
  flag,
  message,
  opt,
  questionName,
  record,
  reply,
  soa,
  txt,
  u16,
} from '../fake/octets.ts';
import { mutate } from './queries.ts';
import type { Random } from './random.ts';

/** Names as owners: whole, compressed, pointing where they must not. */
function owner(random: Random): Buffer {
  switch (random.below(8)) {
    case 0:
      return encodeName('other.example');
    case 1:
      return Buffer.of(0xc0 | random.below(0x40), random.below(256));
    case 2:
      return Buffer.concat([encodeName('deep').subarray(0, -1), Buffer.of(0xc0, random.below(64))]);
    case 3:
      return Buffer.of(0);
    default:
      return questionName;
  }
}

function anyRecord(random: Random): Buffer {
  const ttl = random.pick([0, 1, 30, 300, 86_400, 0x7fffffff, 0x80000000, 0xffffffff]);
  switch (random.below(8)) {
    case 0:
      return soa('example', ttl, random.pick([0, 5, 60, 0xffffffff]));
    case 1:
      return cname('loop.example', ttl, random.pick(['loop.example', 'other.example', 'a']));
    case 2:
      return opt({
        udpSize: random.below(0x10000),
        version: random.below(3),
        extendedRcode: random.pick([0, 0, 1, 255]),
      });
    case 3:
      return record(owner(random), random.pick([6, 41, 46, 250, 255]), ttl, random.octets(random.below(30)));
    case 4:
      return record(owner(random), random.below(0x10000), ttl, random.octets(random.below(300)), random.below(0x10000));
    case 5:
      return txt(owner(random), ttl, 'x'.repeat(random.below(256)));
    default:
      return a(owner(random), ttl, '192.0.2.7');
  }
}

const several = (random: Random, most: number) => Array.from({ length: random.below(most) }, () => anyRecord(random));

function wellCounted(random: Random, query: Buffer): Buffer {
  return reply(query, {
    flags: random.pick([0x180, 0x180, 0x180, 0x5a0, 0x380, random.below(0x8000)]) & ~0xf,
    rcode: random.pick([0, 0, 0, 3, 3, 2, 5, 1, 15]),
    answers: several(random, 6),
    authorities: several(random, 3),
    additionals: several(random, 4),
    trailing: random.once(6) ? random.octets(random.below(60)) : Buffer.alloc(0),
  });
}

/** Aliases that lead back, or nowhere, or on and on. */
function aliases(random: Random, query: Buffer): Buffer {
  const names = ['a', 'b', 'c', 'd'].map((name) => `${name}.example`);
  const links = Array.from({ length: 1 + random.below(200) }, () => cname(random.pick(names), 60, random.pick(names)));
  return reply(query, { rcode: random.pick([0, 0, 3]), answers: [cname('n1.example', 60, 'a.example'), ...links] });
}

/** Each name is one label and a pointer to the name before it; or to itself, or to what comes after it. */
function chainOfPointers(random: Random, query: Buffer): Buffer {
  const links: Buffer[] = [];
  let at = query.length - 11;
  let before = 12;
  const length = 1 + random.below(63);
  for (let left = 1 + random.below(800); left > 0 && at < 0x3fff; left -= 1) {
    const to = random.once(50) ? random.pick([at, at + 1, at + length + 1, 0x3fff, 0]) : before;
    const label = Buffer.concat([Buffer.of(length), Buffer.alloc(length, 0x61)]);
    const link = a(Buffer.concat([label, u16(0xc000 | to)]), random.below(4), '192.0.2.7');
    before = at;
    at += link.length;
    links.push(link);
  }
  return reply(query, { answers: links });
}

/** OPT records where they must not be, with options that are none. */
function oddOpt(random: Random, query: Buffer): Buffer {
  const options = Array.from({ length: random.below(4) }, () => ({
    code: random.pick([3, 8, 10, 11, 12, 15, 65_001]),
    data: random.octets(random.below(40)),
  }));
  const odd = () =>
    opt({ udpSize: random.below(0x10000), version: random.below(3), dnssecOk: random.once(2), options });
  const named = record('x.example', 41, random.below(0x10000), random.octets(random.below(20)), 512);
  return reply(query, {
    answers: random.once(4) ? [odd()] : [a(questionName, 60, '192.0.2.7')],
    authorities: random.once(4) ? [odd()] : [],
    additionals: random.pick([[odd()], [odd(), odd()], [named], [odd(), a(questionName, 60, '192.0.2.7')]]),
  });
}

/** A record whose length says something else than there is. */
function lengthLie(random: Random, query: Buffer): Buffer {
  const [first, second] = [a(questionName, 60, '192.0.2.7'), soa('example', 60, 60)];
  const lying = Buffer.from(random.once(2) ? first : second);
  const at = lying.equals(first) ? 10 : encodeName('example').length + 8;
  lying.writeUInt16BE(random.pick([0, 1, 3, 5, 21, 200, 0xffff]), at);
  return reply(query, random.once(2) ? { answers: [lying, first] } : { rcode: 3, authorities: [lying] });
}

/** Everything is right but class or type: of the question, or of what answers it. */
function mismatch(random: Random, query: Buffer): Buffer {
  const answer = Buffer.from(reply(query, { answers: [a(questionName, 60, '192.0.2.66')] }));
  const field = random.pick([
    query.length - 11 - 4,
    query.length - 11 - 2,
    query.length - 11 + 2,
    query.length - 11 + 4,
  ]);
  answer.writeUInt16BE(random.pick([0, 1, 2, 3, 254, 255, 0xffff]), field);
  return answer;
}

/** As much as a message holds: thousands of records, of which most are nothing but a header. */
function huge(random: Random, query: Buffer): Buffer {
  const smallest = record(questionName, 1, 60, Buffer.alloc(0));
  const count = Math.floor((65_535 - query.length - 11) / smallest.length) - random.below(40);
  return reply(query, { answers: Array.from({ length: count }, () => smallest) });
}

function badlyCounted(random: Random, query: Buffer): Buffer {
  const count = () => random.pick([0, 1, 2, 7, 300, 0xffff]);
  const answers = several(random, 4);
  return reply(query, { answers, counts: [random.pick([1, 1, 1, 0, 2]), count(), count(), count()] });
}

function anotherQuestion(random: Random, query: Buffer): Buffer {
  const answers = [a(questionName, 60, '192.0.2.66')];
  const id = query.readUInt16BE(0);
  switch (random.below(3)) {
    case 0:
      return message({ id, flags: flag.qr, questions: [{ name: 'other.example' }], answers });
    case 1:
      return message({ id, flags: flag.qr | random.below(16), answers });
    default:
      return Buffer.concat([reply(query, { answers }).subarray(0, -20), u16(99, 1), random.octets(16)]);
  }
}

export function hostileAnswer(random: Random, query: Buffer): Buffer {
  switch (random.below(100)) {
    case 0:
      return huge(random, query);
    case 1:
      return random.octets(random.below(600));
    case 2:
      return Buffer.from(query);
    case 3:
    case 4:
    case 5:
    case 6:
      return anotherQuestion(random, query);
    case 7:
    case 8:
      return random.pick([aliases, oddOpt])(random, query);
    case 9:
      return chainOfPointers(random, query);
    case 10:
    case 11:
    case 12:
      return random.pick([lengthLie, mismatch])(random, query);
    default:
      if (random.once(4)) return badlyCounted(random, query);
      return random.once(2) ? wellCounted(random, query) : mutate(random, wellCounted(random, query));
  }
}
