import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LabelSelector } from '../../api/v1alpha1/profile.ts';
import { type Claim, lacking, meets, requirementsOf } from './pod-selectors.ts';

const asked = (selector: LabelSelector) => requirementsOf(selector) ?? assert.fail('it asks for too much');
const labels = (matchLabels: Record<string, string>) => asked({ matchLabels });
const some = <T>(length: number, make: (at: number) => T): T[] => Array.from({ length }, (_, at) => make(at));

/** `bits` are needed by the pods, or allowed to them. */
const claim = (matchLabels: Record<string, string>, needed: number, allowed = 0): Claim => ({
  ...{ requirements: labels(matchLabels), needed, allowed },
});

/** With how often others could have had their turn. */
function result(claims: readonly Claim[], most?: number): { lacks: (number | undefined)[]; turns: number } {
  const steps = lacking(claims, most);
  for (let turns = 0; ; turns += 1) {
    const { done, value } = steps.next();
    if (done) return { lacks: value, turns };
  }
}

test('selectors ask for the same in whatever words and order', () => {
  const inWords = asked({
    matchExpressions: [
      { key: 'b', operator: 'In', values: ['2'] },
      { key: 'a', operator: 'In', values: ['1'] },
      { key: 'c', operator: 'NotIn', values: ['y', 'x'] },
    ],
  });
  const notIn = { key: 'c', operator: 'NotIn' as const, values: ['x', 'y'] };
  assert.deepEqual(inWords, asked({ matchLabels: { a: '1', b: '2' }, matchExpressions: [notIn] }));
  assert.deepEqual(asked({}), []);
  assert.notDeepEqual(labels({ a: '1' }), labels({ a: '2' }));
});

test('a selector that asks for more than anybody means is not compared', () => {
  const values = (length: number) => some(length, (at) => `v${at}`);
  const notIn = (length: number): LabelSelector => ({
    matchExpressions: [{ key: 'a', operator: 'NotIn', values: values(length) }],
  });
  assert.notEqual(requirementsOf(notIn(999)), undefined);
  assert.equal(requirementsOf(notIn(1_000)), undefined);
  const entries = (length: number) => Object.fromEntries(values(length).map((key) => [key, '']));
  assert.equal(requirementsOf({ matchLabels: entries(1_000) })?.length, 1_000);
  assert.equal(requirementsOf({ matchLabels: entries(1_001) }), undefined);
});

test('what is granted is granted to those who are asked for more, and to nobody else', () => {
  const grants = [
    claim({}, 0, 1),
    claim({ app: 'web' }, 0, 2),
    claim({ app: 'web' }, 0, 4),
    claim({ app: 'web', tier: 'front' }, 0, 8),
    claim({ tier: 'front' }, 0, 16),
  ];
  const lacks = (matchLabels: Record<string, string>) => result([...grants, claim(matchLabels, 63)]).lacks.at(-1);
  assert.equal(lacks({}), 63 - 1);
  assert.equal(lacks({ app: 'web' }), 63 - 1 - 2 - 4);
  assert.equal(lacks({ app: 'web', tier: 'front' }), 32);
  assert.equal(lacks({ app: 'other' }), 63 - 1);
});

test('what a selector needs and is allowed itself is not missed, nor is what nobody needs', () => {
  const claims = [claim({ app: 'a' }, 3, 1), claim({ app: 'a' }, 4, 2), claim({ app: 'b' }, 0, 8)];
  assert.deepEqual(result(claims).lacks, [0, 4, 0]);
});

test('each selector is compared with few others, however many there are', () => {
  // Each asks for what all ask for and for what one other asks for.
  const claims = some(2_000, (at) => claim({ all: 'a', app: `a${at}`, pair: `${at >> 1}` }, 3, 1 + (at & 1)));
  const narrow = some(2_000, (at) => claim({ all: 'a', app: `a${at}`, pair: `${at >> 1}`, tier: 'front' }, 3));
  const { lacks } = result([...claims, ...narrow], 20_000);
  assert.deepEqual(lacks.slice(0, 2), [2, 1]);
  assert.deepEqual(lacks.slice(2_000, 2_002), [2, 1]);
  assert.equal(lacks.includes(undefined), false);
});

test('selectors that ask for as much as one another are not compared', () => {
  const all = some(60, (at) => `k${at}`);
  const pairs = all.flatMap((one, at) => all.slice(0, at).map((other) => [one, other]));
  const without = (pair: readonly string[]) =>
    Object.fromEntries(all.flatMap((key) => (pair.includes(key) ? [] : [[key, '']])));
  const claims = pairs.map((pair, at) => claim(without(pair), 3, 1 + (at & 1)));
  assert.equal(result(claims, 1_000).lacks.includes(undefined), false);
});

test('what takes too long to compare is not found out', () => {
  const random = (at: number, of: number) =>
    Number.parseInt(
      Math.sin(at * 31 + of)
        .toString()
        .slice(-6),
      10,
    );
  const mixed = some(1_000, (at) => {
    const keys = some(40, (of) => `k${of}`).filter((_, of) => random(at, of) % 2 === 0);
    return claim(Object.fromEntries(keys.map((key) => [key, ''])), 3, 1 + (at & 1));
  });
  const { lacks } = result(mixed);
  assert.equal(lacks.includes(undefined), false);
  const hurried = result(mixed, 20_000).lacks;
  const unknown = hurried.filter((lack) => lack === undefined).length;
  assert.ok(unknown > 500 && unknown < 1_000, `${unknown} not found out`);
  for (const [at, lack] of hurried.entries()) if (lack !== undefined) assert.equal(lack, lacks[at]);
});

test('what comparing takes is counted by labels and not by selectors, and others have their turn meanwhile', () => {
  const all = some(60, (at) => `k${at}`);
  const pairs = all.flatMap((one, at) => all.slice(0, at).map((other) => [one, other]));
  // Each but for what all of these ask for, and the pods in question are not asked for.
  const grants = pairs.map((pair) => {
    const keys = ['last', ...all.filter((key) => !pair.includes(key))];
    return claim(Object.fromEntries(keys.map((key) => [key, ''])), 0, 1);
  });
  const pods = claim(Object.fromEntries([...all, 'x', 'y'].map((key) => [key, ''])), 1);
  const whole = result([...grants, pods], 200_000);
  const hurried = result([...grants, pods], 50_000);
  assert.deepEqual(
    [whole, hurried].map(({ lacks }) => lacks.at(-1)),
    [1, undefined],
  );
  assert.ok(whole.turns > hurried.turns + 5, `${whole.turns} turns, and ${hurried.turns}`);
});

test('a selector is about pods with given labels alone where it asks for all of them', () => {
  const dns = { 'k8s-app': 'kube-dns' };
  assert.equal(meets(labels({ 'k8s-app': 'kube-dns', a: '1' }), dns), true);
  assert.equal(meets(labels({ 'k8s-app': 'x' }), dns), false);
  assert.equal(meets(labels({}), dns), false);
});
