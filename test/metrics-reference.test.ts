import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const page = readFileSync(new URL('../docs/reference/metrics.md', import.meta.url), 'utf8');
const documented = new Set([...page.matchAll(/^\| `(localdns_\w+)`/gm)].map(([, name]) => name));

/** Names as the sources declare them; those of the process itself come from the library. */
function declared(source: string): string[] {
  const text = readFileSync(new URL(`../${source}`, import.meta.url), 'utf8');
  return [...text.matchAll(/'(localdns_\w+[a-z])'/g)].map(([, name]) => name as string);
}

test('the reference names every metric of the agent and the operator, and no other', () => {
  const names = new Set([...declared('agent/metrics.ts'), ...declared('operator/metrics.ts')]);
  assert.ok(names.size > 20);
  assert.deepEqual([...names].sort(), [...documented].sort());
});
