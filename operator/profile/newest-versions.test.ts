import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NewestVersions } from './newest-versions.ts';

const seen = (resourceVersion: string) => ({ name: 'p', uid: 'u', resourceVersion });
const answer = (resourceVersion: string) => ({ metadata: seen(resourceVersion) });

test('a write is based on what was seen', () => {
  assert.equal(new NewestVersions().newest(seen('5')), '5');
});

test('one write after the other is based on the one before, whichever of them the store has heard of', () => {
  const versions = new NewestVersions();
  versions.wrote(seen('5'), answer('6'));
  versions.wrote(seen('5'), answer('7'));
  assert.deepEqual(
    [versions.newest(seen('5')), versions.newest(seen('6')), versions.newest(seen('7'))],
    ['7', '7', '7'],
  );
  versions.wrote(seen('6'), answer('8'));
  assert.equal(versions.newest(seen('6')), '8');
});

test('of objects that are gone nothing is remembered', () => {
  const versions = new NewestVersions();
  versions.wrote(seen('5'), answer('6'));
  versions.keepOnly(new Set(['u', 'other']));
  assert.equal(versions.newest(seen('5')), '6');
  versions.keepOnly(new Set(['other']));
  assert.equal(versions.newest(seen('5')), '5');
});

test('what somebody else has written is what counts, and so it is for another object', () => {
  const versions = new NewestVersions();
  versions.wrote(seen('5'), answer('6'));
  assert.equal(versions.newest(seen('9')), '9');
  assert.equal(versions.newest({ name: 'p', uid: 'other', resourceVersion: '5' }), '5');
  versions.wrote(seen('9'), answer('10'));
  assert.deepEqual([versions.newest(seen('9')), versions.newest(seen('5'))], ['10', '5']);
});
