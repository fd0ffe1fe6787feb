import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from 'dns-packet';
import { encodeQuery, encodeReply, type Query, readQuery, readReply, udpLimit } from './message.ts';

const query = encodeQuery({ id: 0x1234, name: 'web.demo.svc.cluster.local', type: 1 });

/** The query with some octets changed. */
function changed(edits: Record<number, number>): Buffer {
  const packet = Buffer.from(query);
  for (const [at, octet] of Object.entries(edits)) packet[Number(at)] = octet;
  return packet;
}

/** A well-formed query with more of something than there should be. */
function crowded({ questions = 1, additionals = 0 }): Buffer {
  return encode({
    type: 'query',
    id: 0x1234,
    questions: new Array(questions).fill({ type: 'A', name: 'a.example' }),
    additionals: new Array(additionals).fill({ type: 'A', name: 'a.example', data: '192.0.2.1' }),
  });
}

const optOffset = query.length - 15;

function verdict(packet: Buffer): string {
  const received = readQuery(packet);
  if (received === undefined) return 'silence';
  if ('query' in received) return 'query';
  const reply = readReply(received.refusal);
  assert.equal(reply?.id, 0x1234);
  return reply.rcode;
}

const verdicts: [title: string, packet: Buffer, verdict: string][] = [
  ['a query is one', query, 'query'],
  ['less than a header gets silence', query.subarray(0, 11), 'silence'],
  ['an answer gets silence', changed({ 2: 0x81 }), 'silence'],
  ['another opcode gets NOTIMP (RFC 8906 §3.1.4)', changed({ 2: 0x29 }), 'NOTIMP'],
  ['no question gets FORMERR', changed({ 5: 0 }), 'FORMERR'],
  ['two questions get FORMERR (RFC 9619 §4)', crowded({ questions: 2 }), 'FORMERR'],
  ['a count of records that are not there gets FORMERR', changed({ 11: 2 }), 'FORMERR'],
  ['OPT and a signature are additional records that a query may have', crowded({ additionals: 2 }), 'query'],
  ['more of them get FORMERR, so that none has to be paid for', crowded({ additionals: 3 }), 'FORMERR'],
  ['a pointer in the question gets FORMERR', changed({ 12: 0xc0, 13: 0 }), 'FORMERR'],
  ['a cut question gets FORMERR', query.subarray(0, 20), 'FORMERR'],
  ['another class is refused', changed({ [optOffset - 1]: 3 }), 'REFUSED'],
  ['another version of EDNS gets BADVERS (RFC 6891 §6.1.3)', changed({ [optOffset + 6]: 1 }), 'BADVERS'],
];

for (const [title, packet, wanted] of verdicts) {
  test(title, () => assert.equal(verdict(packet), wanted));
}

test("a refusal keeps of the flags what is the asker's own", () => {
  const received = readQuery(changed({ 2: 0x2b, 3: 0x70 }));
  assert.ok(received !== undefined && 'refusal' in received);
  assert.deepEqual(readReply(received.refusal)?.flags, ['qr', 'rd']);
});

test('two OPTs get FORMERR (RFC 6891 §6.1.1)', () => {
  const opt = query.subarray(optOffset);
  const packet = Buffer.concat([query, opt]);
  packet[11] = 2;
  assert.equal(verdict(packet), 'FORMERR');
});

function received(packet: Buffer): Query {
  const verdict = readQuery(packet);
  assert.ok(verdict !== undefined && 'query' in verdict);
  return verdict.query;
}

test('a label with a dot in it is not two labels', () => {
  const label = Buffer.from('\x0fweb.demo.strange');
  label[0] = label.length - 1;
  const packet = Buffer.concat([query.subarray(0, 12), label, Buffer.from([0, 0, 1, 0, 1])]);
  packet[11] = 0;
  assert.equal(received(packet).name, 'web\\046demo\\046strange');
});

test('a random packet never throws', () => {
  // A fixed sequence (Numerical Recipes' generator), so that a failure comes back.
  let state = 1;
  const random = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 20_000; round++) {
    const packet = Buffer.from(query.subarray(0, 1 + random(query.length)));
    for (let edits = random(6); edits > 0; edits--) packet[random(packet.length)] = random(256);
    readQuery(packet);
    packet[2] = (packet[2] ?? 0) | 0x80;
    readReply(packet);
  }
});

test('OPT comes back only to who sent one, and the size counts from 512 up to what paths carry', () => {
  const withOpt = received(query);
  const plain = encode({ type: 'query', id: 1, questions: [{ name: 'a.b', type: 'A' }] });
  assert.equal(encodeReply(withOpt, { rcode: 'NOERROR' }).readUInt16BE(10), 1);
  assert.equal(encodeReply(received(plain), { rcode: 'NOERROR' }).readUInt16BE(10), 0);
  const sizes = [plain, changed({ [optOffset + 3]: 0, [optOffset + 4]: 100 }), changed({ [optOffset + 3]: 0xff })];
  assert.deepEqual(
    sizes.map((packet) => udpLimit(received(packet))),
    [512, 512, 1232],
  );
});

test('an agent says where its answer came from, another server does not', () => {
  const answer = (options: { code: number; data: Buffer }[]) =>
    readReply(
      encode({
        type: 'response',
        questions: [{ name: 'a.b', type: 'A' }],
        additionals: [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: 1232,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: options as [],
          },
        ],
      }),
    );
  const provenance = (octets: number[]) => answer([{ code: 65001, data: Buffer.from(octets) }])?.provenance;
  assert.deepEqual([[0], [1], [2], [3], [9], []].map(provenance), [
    'forwarded',
    'cache',
    'stale',
    'local',
    undefined,
    undefined,
  ]);
  assert.equal(answer([])?.provenance, undefined);
  const error = Buffer.concat([Buffer.from([0, 3]), Buffer.from('upstream is down')]);
  assert.deepEqual(answer([{ code: 15, data: error }])?.extendedErrors, [{ code: 3, text: 'upstream is down' }]);
});

test('a reply that is torn is none', () => {
  const reply = Buffer.from(query);
  reply[2] = 0x81;
  reply.writeUInt16BE(0xffff, 6);
  assert.equal(readReply(reply), undefined);
});
