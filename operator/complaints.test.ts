import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeClock } from '../kube/clock.fake.ts';
import { ApiError, UnreachableError } from '../kube/errors.ts';
import { Complaints } from './complaints.ts';
import type { Log } from './log.ts';
import { classify, TerminalError } from './runtime/errors.ts';

let clock: FakeClock;
let lines: string[];
let complaints: Complaints;

beforeEach(() => {
  clock = new FakeClock();
  lines = [];
  const write = (level: string) => (first: object | string, message?: string) => {
    lines.push(`${level} ${message ?? first}${typeof first === 'object' && 'more' in first ? ` +${first.more}` : ''}`);
  };
  complaints = new Complaints(
    { debug: () => {}, info: write('info'), warn: write('warn'), error: write('error') } as Log,
    clock,
  );
});

test('an API server that is away is one line for all stores, and one when all follow again', () => {
  for (const plural of ['nodes', 'services'])
    complaints.store(plural, { code: 'KUBE_UNREACHABLE', message: `away (${plural})` });
  complaints.store('nodes', undefined);
  complaints.store('services', undefined);
  assert.deepEqual(lines, ['warn away (nodes); retrying', 'info following the API server again']);
});

test('two kinds that are missing are two lines', () => {
  for (const plural of ['a', 'b']) complaints.store(plural, { code: 'KUBE_RESOURCE_MISSING', message: `no ${plural}` });
  assert.equal(lines.length, 2);
});

test('the same failure of many keys is one line a minute, with the number of the others', () => {
  const away = classify(new UnreachableError('away'));
  for (let count = 0; count < 100; count++) complaints.reconcile(`node/${count}`, away, 100);
  clock.advance(60_000);
  complaints.reconcile('node/0', away, 100);
  assert.deepEqual(lines, ['warn away', 'warn away +99']);
});

test('a failure is logged with the node or the profile that it is about', () => {
  const fields: object[] = [];
  const keep = (first: object) => void fields.push(first);
  complaints = new Complaints({ debug: keep, info: keep, warn: keep, error: keep } as unknown as Log, clock);
  complaints.reconcile('node/n1', classify(new UnreachableError('away')), 100);
  complaints.reconcile('profile/default', classify(new TerminalError('wrong')), undefined);
  complaints.reconcile('node/n2', classify(new ApiError(409, 'Conflict', 'changed')), 100);
  assert.deepEqual(fields, [
    { duty: 'node', node: 'n1', code: 'KUBE_UNREACHABLE', retryAfterMs: 100 },
    { duty: 'profile', profile: 'default', code: 'TERMINAL' },
    { duty: 'node', node: 'n2', code: 'KUBE_API_409', retryAfterMs: 100 },
  ]);
});

test('what only an edit can help is an error', () => {
  complaints.reconcile('k', classify(new TerminalError('wrong')), undefined);
  assert.deepEqual(lines, ['error wrong']);
});

test('what the API server says of a profile is a line for each, and one that is away is one for all', () => {
  const refused = classify(new ApiError(500, '', 'request is too large'));
  for (const name of ['a', 'b', 'a']) complaints.reconcile(`profile/${name}`, refused, 100);
  assert.equal(lines.length, 2);
  const away = classify(new UnreachableError('away'));
  for (const name of ['a', 'b']) complaints.reconcile(`profile/${name}`, away, 100);
  assert.equal(lines.length, 3);
});
