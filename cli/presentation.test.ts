import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResourceRecord } from './message.ts';
import { presentExtendedError, presentRecord } from './presentation.ts';
import { typeName, typeNumber } from './record-type.ts';

const at = { name: 'www.corp.example', ttl: 30 };
const records: [ResourceRecord, string][] = [
  [{ ...at, type: 'A', data: '192.0.2.1' }, 'www.corp.example. 30 IN A 192.0.2.1'],
  [{ ...at, type: 'CNAME', data: 'web.corp.example' }, 'www.corp.example. 30 IN CNAME web.corp.example.'],
  [
    { ...at, type: 'SRV', data: { priority: 0, weight: 50, port: 5432, target: 'db.corp.example' } },
    'www.corp.example. 30 IN SRV 0 50 5432 db.corp.example.',
  ],
  [
    { ...at, type: 'TXT', data: [Buffer.from('plain'), Buffer.from('quote " and \u001b[31mred\u00ff')] },
    'www.corp.example. 30 IN TXT "plain" "quote \\" and \\027[31mred\\195\\191"',
  ],
  [
    { ...at, type: 'UNKNOWN_65' as 'CERT', data: Buffer.from([0, 1, 0xab]) },
    'www.corp.example. 30 IN HTTPS \\# 3 0001ab',
  ],
  [{ ...at, type: 'UNKNOWN_4711' as 'CERT', data: Buffer.alloc(0) }, 'www.corp.example. 30 IN TYPE4711 \\# 0'],
  [
    { ...at, type: 'DS', data: { keyTag: 1, algorithm: 8, digestType: 2, digest: Buffer.from([0xab]) } },
    'www.corp.example. 30 IN DS 1 8 2 ab',
  ],
  [{ ...at, name: 'evil\u001b]0;x.example', type: 'A', data: '192.0.2.1' }, 'evil\\027]0;x.example. 30 IN A 192.0.2.1'],
];

for (const [record, line] of records) {
  test(`shows ${line.slice(0, 70)}`, () => assert.equal(presentRecord(record), line));
}

test('an extended error has its name, if it has one', () => {
  assert.equal(presentExtendedError({ code: 3, text: 'late' }), '3 (Stale Answer): "late"');
  assert.equal(presentExtendedError({ code: 999, text: '' }), '999');
});

test('types have names and numbers', () => {
  assert.deepEqual(['aaaa', 'HTTPS', 'TYPE65', 'type28', '33', 'TYPE65536', 'AAAAA', ''].map(typeNumber), [
    28,
    65,
    65,
    28,
    33,
    undefined,
    undefined,
    undefined,
  ]);
  assert.deepEqual([65, 4711].map(typeName), ['HTTPS', 'TYPE4711']);
});
