/** RFC 2181 §5.2: "the TTLs of all RRs in an RRSet must be the same"; a client that finds them different takes them for the smallest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, cname, query, questionName, record, reply, soa, type } from '../../fake/octets.ts';

test('records of one set have the smallest of their TTLs, those of other sets their own', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, {
      answers: [
        cname('www.example', 500, 'a.example'),
        a('a.example', 300, '192.0.2.1'),
        a('A.example', 100, '192.0.2.2'),
        a('b.example', 400, '192.0.2.3'),
      ],
      additionals: [a('b.example', 200, '192.0.2.4')],
    });
  const expected = [
    'www.example 500 CNAME a.example',
    'a.example 100 A 192.0.2.1',
    'A.example 100 A 192.0.2.2',
    'b.example 200 A 192.0.2.3',
  ];
  for (const _ of ['forwarded', 'cached']) {
    assert.deepEqual((await agent.answer(query('www.example'))).answers, expected);
  }
});

test('a name that is written in full and one that is compressed are one name', async () => {
  const agent = new FakeAgent();
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, { answers: [a(questionName, 300, '192.0.2.1'), a('www.example', 100, '192.0.2.2')] });
  const { answers } = await agent.answer(query('www.example'));
  assert.deepEqual(answers, ['www.example 100 A 192.0.2.1', 'www.example 100 A 192.0.2.2']);
});

test('signatures of one name are no set: each has the TTL of what it signs', async () => {
  const agent = new FakeAgent();
  const rrsig = 46;
  agent.upstream.answer = ({ bytes }) =>
    reply(bytes, {
      authorities: [
        record('example', rrsig, 300, Buffer.alloc(20, 1)),
        record('example', rrsig, 100, Buffer.alloc(20, 2)),
        soa('example', 60, 60),
      ],
    });
  const octets = await agent.octets(query('www.example', { type: type.TXT }));
  for (const ttl of [300, 100])
    assert.ok(octets.includes(Buffer.of(0, rrsig, 0, 1, 0, 0, ttl >> 8, ttl & 0xff)), `${ttl}`);
});

test('pointers that lead round in a circle, or nowhere, end', async () => {
  const agent = new FakeAgent();
  // `b` + a pointer to itself, reached by a pointer from the second record: each points backwards, and both are walked.
  agent.upstream.answer = ({ bytes }) => {
    const at = bytes.length - 11;
    const circle = Buffer.of(1, 0x62, 0xc0, at);
    const first = record(questionName, type.TXT, 300, circle);
    const dataAt = at + 12;
    const owner = Buffer.of(0xc0, dataAt);
    circle.writeUInt8(dataAt, 3);
    return reply(bytes, { answers: [record(questionName, type.TXT, 300, circle), a(owner, 100, '192.0.2.1'), first] });
  };
  assert.equal((await agent.octets(query('a', { type: type.TXT }))).readUInt16BE(2) & 0xf, 0);
});
