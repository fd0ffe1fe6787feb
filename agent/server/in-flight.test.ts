import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { octetsOf, questionFor } from '../../test/fake/cache-entry.ts';
import type { DetachedQuery } from '../wire/query.ts';
import { InFlight } from './in-flight.ts';
import type { Zone } from './plan.ts';
import { Resolution } from './resolution.ts';

const resolutionOf = (query: DetachedQuery) => new Resolution(query, {} as Zone, undefined, []);
/** Whatever the name, as if all hashes led to one place. */
const alike = (name: string): DetachedQuery => ({ ...questionFor(name), hash: 7 });

test('a question that is out is found by an equal one, whatever its case, and by no other', () => {
  const inFlight = new InFlight();
  const resolution = resolutionOf(questionFor('www.example'));
  inFlight.add(resolution);
  equal(inFlight.find(questionFor('WWW.Example')), resolution);
  equal(inFlight.find(questionFor('www.example.org')), undefined);
  inFlight.delete(resolution);
  equal(inFlight.find(questionFor('www.example')), undefined);
  equal(inFlight.size, 0);
});

test('questions that share a hash are told apart by name, type, class and flags', () => {
  const inFlight = new InFlight();
  const resolutions = ['one', 'two', 'ten'].map((name) => resolutionOf(alike(name)));
  for (const resolution of resolutions) inFlight.add(resolution);
  deepEqual(
    ['one', 'TWO', 'ten', 'six', 'once'].map((name) => inFlight.find(alike(name))),
    [...resolutions, undefined, undefined],
  );
  const asked = alike('one');
  // The type 65 is no letter.
  const ofType = (type: number) => ({
    questionIn: Buffer.concat([octetsOf(asked).subarray(0, -4), Buffer.of(0, type, 0, 1)]),
    questionAt: 0,
  });
  const other = resolutionOf({ ...asked, ...ofType(65) });
  inFlight.add(other);
  equal(inFlight.find({ ...asked, ...ofType(97) }), undefined);
  equal(inFlight.find({ ...asked, ...ofType(65) }), other);
  equal(inFlight.find({ ...asked, questionFlags: 2 }), undefined);
});

test('of those in one place any may go, once, and the others stay', () => {
  for (const gone of [0, 1, 2]) {
    const inFlight = new InFlight();
    const resolutions = ['one', 'two', 'ten'].map((name) => resolutionOf(alike(name)));
    for (const resolution of resolutions) inFlight.add(resolution);
    inFlight.delete(resolutions[gone] as Resolution);
    inFlight.delete(resolutions[gone] as Resolution);
    deepEqual(
      resolutions.map(({ query }) => inFlight.find(query) !== undefined),
      [0, 1, 2].map((place) => place !== gone),
    );
    equal(inFlight.size, 2);
  }
});

test('all are found while the table grows', () => {
  const inFlight = new InFlight();
  const queries = Array.from({ length: 1_000 }, (_, name) => questionFor(`n${name}.example`));
  for (const query of queries) inFlight.add(resolutionOf(query));
  for (const query of queries) equal(inFlight.find(query)?.query, query);
});
