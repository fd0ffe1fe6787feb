import assert from 'node:assert/strict';
import { test } from 'node:test';
import { a, cname, opt, query, questionName, reply, soa, type } from '../../test/fake/octets.ts';
import { hasQuestion, walkRecords } from './records.ts';

const asked = query('a.example');

test('a walk collects what cache and answer need, and cuts off OPT and what follows it', () => {
  const message = reply(asked, {
    answers: [cname('a.example', 300, 'b.example'), a('b.example', 200, '192.0.2.7')],
    authorities: [soa('example', 400, 100)],
    additionals: [a('ns.example', 500, '192.0.2.8'), opt({ extendedRcode: 3 }), a('late.example', 1, '192.0.2.9')],
  });
  const walk = walkRecords(message, asked.length, type.A);
  assert.deepEqual(
    walk?.ttlOffsets.map((at) => message.readUInt32BE(at)),
    [300, 200, 400, 500],
  );
  assert.equal(walk?.minTtl, 200);
  assert.deepEqual([walk?.answers, walk?.answersOfType, walk?.authorities, walk?.additionals], [2, 1, 1, 1]);
  assert.equal(message.readUInt32BE(walk?.soaTtlOffset ?? 0), 400);
  assert.equal(walk?.soaMinimum, 100);
  assert.equal(walk?.extendedRcode, 3);
  assert.deepEqual(message.subarray(walk?.end).subarray(0, 3), Buffer.of(0, 0, 41));
});

test('every answer that is cut off is malformed, wherever the cut', () => {
  for (const additionals of [[], [opt({})]]) {
    const message = reply(asked, { answers: [a(questionName, 60, '192.0.2.7')], additionals });
    assert.notEqual(walkRecords(message, asked.length, type.A), undefined);
    for (let length = asked.length; length < message.length; length += 1) {
      assert.equal(walkRecords(message.subarray(0, length), asked.length, type.A), undefined, `${length}`);
    }
  }
});

test('a question is the same without regard to case, and to nothing else', () => {
  const question = asked.subarray(12);
  assert.ok(hasQuestion(reply(query('A.EXAMPLE')), question));
  for (const other of [query('b.example'), query('a.example', { type: 28 }), query('a.example', { class: 3 })]) {
    assert.ok(!hasQuestion(reply(other), question));
  }
  // 0x20 apart, but no letters.
  assert.ok(!hasQuestion(reply(query('[')), query('{').subarray(12)));
  assert.ok(!hasQuestion(reply(asked).subarray(0, -1), question));
});
