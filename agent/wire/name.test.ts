import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyCanonicalName, nameAt, nameFromText, nameToText, rootName, skipName } from './name.ts';

const octets = (text: string) => Buffer.from(text, 'latin1');

test('a name is skipped to its end, or to the end of its pointer, and nothing is followed', () => {
  const cases: [string, number, number][] = [
    ['\x03www\0', 0, 5],
    ['\0', 0, 1],
    ['..\x01a\0', 2, 5],
    ['\x01a\0\xc0\0', 3, 5],
    ['\x01a\0\x01b\xc0\0', 3, 7],
    ['\x01a\0\x01b\xc0\x03', 3, -1],
    ['\xc0\0', 0, -1],
    ['\x01a\0\xc0', 3, -1],
    ['\x01a', 0, -1],
    ['\x02a\0', 0, -1],
    ['\x40', 0, -1],
    ['\x80\0', 0, -1],
    ['', 0, -1],
  ];
  for (const [text, at, end] of cases) assert.equal(skipName(octets(text), at), end, JSON.stringify(text));
});

test('a name of 255 octets is one; of 256 it is none, skipped or copied', () => {
  const label = `\x3f${'x'.repeat(63)}`;
  const longest = octets(`${label.repeat(3)}\x3d${'y'.repeat(61)}\0`);
  const tooLong = octets(`${label.repeat(3)}\x3e${'y'.repeat(62)}\0`);
  const out = Buffer.alloc(300);
  assert.equal(longest.length, 255);
  assert.equal(skipName(longest, 0), 255);
  assert.equal(copyCanonicalName(longest, 0, out, 0), 255);
  assert.equal(skipName(tooLong, 0), -1);
  assert.equal(copyCanonicalName(tooLong, 0, out, 0), -1);
});

test('a copied name is in lower case, and only its letters', () => {
  const out = Buffer.alloc(300);
  const end = copyCanonicalName(octets('..\x08Az@[`{\xc0\xe0\0'), 2, out, 1);
  assert.equal(out.toString('latin1', 1, end), '\x08az@[`{\xc0\xe0\0');
});

test('a compressed or cut name is not copied', () => {
  const out = Buffer.alloc(300);
  for (const text of ['\x01a\xc0\0', '\x01a', '\x02a', '\x40', '']) {
    assert.equal(copyCanonicalName(octets(text), 0, out, 0), -1, JSON.stringify(text));
  }
});

test('names of our configuration become wire form, with or without the final dot', () => {
  assert.equal(nameFromText('Corp.Example'), '\x04corp\x07example\0');
  assert.equal(nameFromText('corp.example.'), '\x04corp\x07example\0');
  assert.equal(nameFromText('.'), '\0');
});

test('names are shown to people with their odd octets escaped', () => {
  assert.equal(nameToText('\x03www\x07example\0'), 'www.example.');
  assert.equal(nameToText('\0'), '.');
  assert.equal(nameToText('\x06a.b\\ \n\x01\xff\0'), 'a\\.b\\\\\\032\\010.\\255.');
});

test('pointers that lead nowhere but to each other end the name', () => {
  const toItself = Buffer.of(0xc0, 0);
  assert.equal(nameAt(toItself, 0), rootName);
  const toEachOther = Buffer.of(1, 0x61, 0xc0, 4, 0xc0, 2);
  assert.equal(nameAt(toEachOther, 4), rootName);
  assert.equal(nameAt(toEachOther, 0), `\x01a${rootName}`);
  const onwards = Buffer.of(0xc0, 2, 1, 0x61, 0);
  assert.equal(nameAt(onwards, 0), rootName);
});

test('a name is read in lower case, and on where a pointer leads to', () => {
  assert.equal(nameAt(Buffer.of(1, 0x42, 0, 1, 0x41, 0xc0, 0), 3), `\x01a\x01b${rootName}`);
});

test('a name that pointers make too long ends before that', () => {
  const rung = [60, ...Array<number>(60).fill(0x61)];
  const ladder = Buffer.from([...rung, 0, ...[0, 62, 125, 188, 251].flatMap((below) => [...rung, 0xc0, below])]);
  assert.deepEqual(
    [62, 125, 188, 251].map((at) => nameAt(ladder, at).length),
    [123, 184, 245, 245],
  );
});
