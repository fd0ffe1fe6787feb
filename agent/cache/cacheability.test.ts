import assert from 'node:assert/strict';
import { test } from 'node:test';
import { a, cname, flag, opt, query, questionName, reply, soa, type } from '../../test/fake/octets.ts';
import { walkRecords } from '../wire/records.ts';
import { boundTtls, type CacheBounds, cacheableSeconds } from './cacheability.ts';

const asked = query('a.example');
const usual: CacheBounds = { maxTtlSeconds: 3600, maxNegativeTtlSeconds: 60, staleSeconds: 0 };

function judged(sections: Parameters<typeof reply>[1], bounds: Partial<CacheBounds> = {}, askedType: number = type.A) {
  const message = reply(asked, sections);
  const walk = walkRecords(message, asked.length, askedType);
  assert.ok(walk !== undefined);
  const all = { ...usual, ...bounds };
  boundTtls(message, walk, all);
  const told = walk.ttlOffsets.map((at) => message.readUInt32BE(at));
  return { seconds: cacheableSeconds(message, walk, askedType, all), told };
}

const positive = { answers: [a(questionName, 300, '192.0.2.7'), a(questionName, 300, '192.0.2.8')] };

test('an answer is cached for its shortest TTL, and for the bound of its block where that is shorter', () => {
  assert.deepEqual(judged(positive), { seconds: 300, told: [300, 300] });
  assert.deepEqual(judged(positive, { maxTtlSeconds: 20 }), { seconds: 20, told: [20, 20] });
});

test('with cacheDurationInSeconds 0 nothing is cached, and TTLs pass as they are', () => {
  assert.deepEqual(judged(positive, { maxTtlSeconds: 0 }), { seconds: 0, told: [300, 300] });
  const negative = { rcode: 3, authorities: [soa('example', 900, 600)] };
  assert.deepEqual(judged(negative, { maxTtlSeconds: 0 }), { seconds: 0, told: [600] });
});

test('truncated answers, failures and meta types are not cached', () => {
  assert.equal(judged({ ...positive, flags: flag.tc }).seconds, 0);
  for (const rcode of [1, 2, 4, 5, 9, 10]) assert.equal(judged({ ...positive, rcode }).seconds, 0, `${rcode}`);
  assert.equal(judged({ ...positive, additionals: [opt({ extendedRcode: 1 })] }).seconds, 0);
  for (const meta of [128, 255]) assert.equal(judged(positive, {}, meta).seconds, 0, `${meta}`);
});

test('a negative answer is cached for the shortest of SOA, MINIMUM, CNAME and both bounds', () => {
  const chain = (ttl: number) => ({
    answers: [cname('a.example', ttl, 'b.example')],
    authorities: [soa('example', 50, 40)],
  });
  assert.deepEqual(judged(chain(300)), { seconds: 40, told: [300, 40] });
  assert.deepEqual(judged(chain(30)), { seconds: 30, told: [30, 40] });
  assert.deepEqual(judged(chain(300), { maxNegativeTtlSeconds: 10 }), { seconds: 10, told: [300, 10] });
  assert.deepEqual(judged(chain(300), { maxTtlSeconds: 5 }), { seconds: 5, told: [5, 5] });
});

test('a positive answer is not shortened by the SOA beside it', () => {
  const answer = { answers: [cname('a.example', 300, 'b.example'), a('b.example', 300, '192.0.2.7')] };
  assert.equal(judged({ ...answer, authorities: [soa('example', 300, 5)] }).seconds, 300);
});
