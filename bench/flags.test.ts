import { match, throws } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { chartOptions } from './flags.ts';

test('the options that are measured are those of the chart', () => {
  const daemonSet = readFileSync(
    join(import.meta.dirname, '../charts/localdns/templates/agent/daemonset.yaml'),
    'utf8',
  );
  match(chartOptions(daemonSet), /^--\S+$/);
  throws(() => chartOptions('env: []'), /no NODE_OPTIONS/);
});
