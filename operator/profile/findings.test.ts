import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProfileSpec } from '../../api/v1alpha1/profile.ts';
import { type Findings, FindingsAside, find } from './findings.ts';
import { rememberingJudge } from './judge.ts';

const target = { addresses: ['192.0.2.1'] };
const withPatterns = (...patterns: string[]): ProfileSpec => ({
  redirects: [{ name: 'r', match: { patterns }, target }],
});

const fieldsOf = (found: Findings | undefined) =>
  found?.patterns.flatMap(({ errors }) => errors.map(({ field }) => field));

/** Each look at the clock takes a millisecond. */
function aside(): FindingsAside {
  let nowMs = 0;
  return new FindingsAside(() => nowMs++);
}

test('what is wrong with a spec is found a pattern at a time', () => {
  const steps = find(withPatterns('good', 'a[', 'also'));
  let taken = 0;
  for (;;) {
    const { done, value } = steps.next();
    if (!done) {
      taken += 1;
      continue;
    }
    assert.equal(taken, 4);
    assert.deepEqual(fieldsOf(value), ['spec.redirects[0].match.patterns[1]']);
    assert.deepEqual(value.errors, []);
    return;
  }
});

test('a spec without patterns is searched at once, and one with patterns aside, for so long at a time', () => {
  const findings = aside();
  assert.deepEqual(findings.of({ searchPath: 'Spec' })?.errors, []);
  assert.equal(findings.isOpen, false);
  const spec = withPatterns('a', 'b', 'c', 'd', 'e[');
  assert.equal(findings.of(spec), undefined);
  assert.equal(findings.goOn(4), false);
  assert.equal(findings.of(spec), undefined);
  assert.equal(findings.goOn(100), true);
  assert.equal(findings.isOpen, false);
  assert.deepEqual(fieldsOf(findings.of(spec)), ['spec.redirects[0].match.patterns[4]']);
});

test('of many specs that take long a few are searched at each look, and the others aside', () => {
  let nowMs = 0;
  // Each look at the clock takes as long as the largest spec.
  const findings = new FindingsAside(() => {
    nowMs += 10;
    return nowMs;
  });
  const specs = Array.from({ length: 5 }, (_, at): ProfileSpec => ({ blockedDomains: [{ domain: `d${at}.example` }] }));
  const known = (): boolean[] => specs.map((spec) => findings.of(spec) !== undefined);
  assert.deepEqual(known(), [true, true, false, false, false]);
  assert.equal(findings.isOpen, true);
  findings.forgetUnasked();
  const another: ProfileSpec = {};
  assert.notEqual(findings.of(another), undefined);
  findings.goOn(10_000);
  assert.deepEqual(known(), [true, true, true, true, true]);
});

test('the shortest search comes first, however many long ones there are', () => {
  const findings = aside();
  const long = withPatterns(...Array.from({ length: 50 }, (_, at) => `long${at}`));
  const short = withPatterns('short');
  findings.of(long);
  findings.goOn(4);
  findings.of(short);
  assert.equal(findings.goOn(6), true);
  assert.notEqual(findings.of(short), undefined);
  assert.equal(findings.of(long), undefined);
});

test('what nobody asks about any more is not searched any longer', () => {
  const findings = aside();
  findings.of(withPatterns('a'));
  findings.forgetUnasked();
  assert.equal(findings.isOpen, true);
  findings.forgetUnasked();
  assert.equal(findings.isOpen, false);
});

test('patterns are judged once a spec, whatever becomes of the addresses that it leads to', () => {
  let searches = 0;
  const findings = aside();
  const judge = rememberingJudge(undefined, (spec) => {
    searches += 1;
    return findings.of(spec);
  });
  const spec: ProfileSpec = {
    redirects: [
      { name: 'r', match: { patterns: ['a', 'b['] }, target: { serviceRef: { namespace: 'emulator', name: 'cloud' } } },
    ],
  };
  const at = (address: string) =>
    judge(spec, {
      ...{ clusterDns: { namespace: 'kube-system', service: 'kube-dns', addresses: [] }, ranges: [] },
      serviceTarget: () => ({ kind: 'addresses', addresses: [address] }),
    });
  assert.equal(at('10.96.0.1').kind, 'unknown');
  findings.goOn(100);
  const [first, second] = [at('10.96.0.1'), at('10.96.0.2')];
  assert.ok(first.kind === 'rendered' && second.kind === 'rendered');
  assert.equal(first.leftOut.length, 1);
  assert.notEqual(first.revision, second.revision);
  assert.equal(searches, 3);
  assert.equal(findings.isOpen, false);
});
