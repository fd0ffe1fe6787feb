import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CacheCount } from '../agent/cache-tally.ts';
import { upstreamCounts } from '../agent/forward/upstream.ts';
import { Metrics } from '../agent/metrics.ts';
import { listenerCounts, zoneCounts } from '../agent/server/plan.ts';
import { Tallies } from '../agent/tallies.ts';
import { connectionCounts } from '../agent/upstream-connections.ts';

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

/** Labels whose values are words of ours, which a reader has to find explained. */
const worded = ['reason', 'origin', 'outcome', 'source'];

test('the reference names the labels of what the serving thread counts, and explains each reason', async () => {
  const metrics = new Metrics('1.2.3');
  const tallies = new Tallies((notice) => metrics.add(notice));
  tallies.open('listener', { listener: 'node' }, listenerCounts);
  tallies.open('zone', { listener: 'node', zone: '.' }, zoneCounts);
  tallies.open('upstream', { upstream: '192.0.2.1:53', transport: 'udp' }, upstreamCounts);
  tallies.open('connection', { upstream: '192.0.2.1:53', transport: 'tcp' }, connectionCounts);
  tallies.open('cache', {}, Object.keys(CacheCount).length);
  const rows = new Map(
    [...page.matchAll(/^\| `(localdns_\w+)` \| ([^|]*) \| (.*) \|$/gm)].map(([, name, labels, meaning]) => [
      name,
      { labels: labels?.split(', ').filter((label) => label !== '') ?? [], meaning: meaning ?? '' },
    ]),
  );
  let seen = 0;
  for (const [, name = '', text = ''] of (await metrics.expose()).matchAll(/^(localdns_\w+)\{(.*)\} /gm)) {
    const row = rows.get(name);
    if (!documented.has(name)) continue;
    assert.ok(row !== undefined, name);
    seen += 1;
    const labels = [...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, label = '', value = '']) => ({ label, value }));
    assert.deepEqual(labels.map(({ label }) => label).sort(), [...row.labels].sort(), name);
    for (const { label, value } of labels) {
      if (worded.includes(label)) assert.ok(row.meaning.includes(`\`${value}\``), `${name}: ${label} ${value}`);
    }
  }
  assert.ok(seen > 40);
});
