import { deepEqual, equal } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RunFolder } from '../test/tools/run-folder.ts';
import { takes } from './contenders.ts';
import { inOtherCases, Load } from './dnsperf.ts';
import { commandLine, lineUpSection } from './line-up.ts';

const places = { folder: '/tmp/run-1', root: '/src/localdns', ports: { '<upstream>': 5301, '<port>': 5302 } };

test('a command line says nothing of the machine and of the run that it was', () => {
  const args = ['-conf', '/tmp/run-1/coredns.Corefile', '--cache-size=53020', '--port=5302', '--server=127.0.0.1#5301'];
  equal(
    commandLine({ env: { GOMAXPROCS: '1' }, command: '/opt/tools/coredns', args }, places),
    'GOMAXPROCS=1 coredns -conf <folder>/coredns.Corefile --cache-size=53020 --port=<port> --server=127.0.0.1#<upstream>',
  );
  const ours = ['/src/localdns/dist/localdns.js', '--metrics', '127.0.0.1:40001'];
  equal(commandLine({ command: '/opt/node', args: ours }, places), 'node dist/localdns.js --metrics 127.0.0.1:<other>');
  equal(commandLine({ command: '/src/localdns/bin/localdns', args: [] }, places), 'bin/localdns');
});

test('configuration that two have alike is shown once', () => {
  const files = ['.:<port> {', '}'].join('\n');
  const one = { server: 'CoreDNS', version: '1', command: 'coredns', files: [files] };
  const text = lineUpSection(
    [one, { ...one, server: 'CoreDNS, one thread' }, { server: 'LocalDNS', command: 'node', files: [] }],
    'commit 1',
  );
  equal(text.filter((line) => line === files).length, 1);
  equal(text.includes('CoreDNS, CoreDNS, one thread:'), true);
  equal(text.includes('| LocalDNS | commit 1 | `node` |'), true);
});

test('a server is asked what its loads say, and one that nobody knows is asked nothing', () => {
  deepEqual(
    ['LocalDNS', 'CoreDNS, one thread', 'C echo', 'subject'].map((server) => takes(server, 'misses, UDP')),
    [true, true, false, false],
  );
});

test('in other cases the names are the same, and hardly a query comes again', async () => {
  const folder = new RunFolder('bench');
  try {
    const file = join(folder.path, 'few');
    writeFileSync(file, 'first-name.services.example A\nsecond-name.services.example A\n');
    const lines = Load.namesIn(inOtherCases(folder, file, 100));
    equal(lines.length, 200);
    deepEqual([...new Set(lines.map((line) => line.toLowerCase()))].sort(), [
      'first-name.services.example a',
      'second-name.services.example a',
    ]);
    equal(new Set(lines).size > 190, true);
  } finally {
    await folder.remove();
  }
});
