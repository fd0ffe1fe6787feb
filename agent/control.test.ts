import { deepEqual, equal } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { NodeConfig } from '../api/v1alpha1/node-config.ts';
import { settle } from '../test/fake/clock.ts';
import { eventually } from '../test/tools/eventually.ts';
import type { Desired, Outcome, ToControl, ToServing } from './channel.ts';
import type { ConfigSink } from './config/config-source.ts';
import { Control } from './control.ts';
import { type Arrangement, Interceptor } from './datapath/interceptor.ts';
import { usualNames } from './datapath/names.ts';
import { parseAgentOptions } from './options.ts';
import { queryLogMemory } from './query-log.ts';
import type { Probed } from './trial/trial.ts';

const withinMs = 5_000;
const folder = mkdtempSync(join(tmpdir(), 'localdns-control-'));
after(() => rmSync(folder, { recursive: true }));

const config: NodeConfig = {
  formatVersion: 1,
  clusterDomain: 'cluster.local',
  clusterDNS: { namespace: '', service: '', addresses: [] },
  listeners: [
    { name: 'cluster', addresses: ['169.254.10.11'], intercept: true, tracked: false, serverBlocks: [] },
    { name: 'node', addresses: ['169.254.10.10', 'fd00::10'], intercept: true, tracked: false, serverBlocks: [] },
  ],
  upstreams: [],
};
const listening = [{ name: 'node' as const, address: '169.254.10.10', port: 53 }];

suite('the control worker', () => {
  let serving: MessagePort | undefined;
  afterEach(async () => {
    serving?.postMessage({ kind: 'stop' } satisfies ToControl);
    await eventually('the end', withinMs, () => stopped);
    serving?.close();
  });
  let stopped = false;

  async function start(resolvConf: string, ...argv: string[]) {
    const path = join(mkdtempSync(join(folder, 'case-')), 'resolv.conf');
    writeFileSync(path, resolvConf);
    const { port1, port2 } = new MessageChannel();
    serving = port2;
    stopped = false;
    const desired: { number: number; desired: Desired | undefined }[] = [];
    port2.on('message', (message: ToServing) => {
      if (message.kind === 'desired') desired.push(message);
      if (message.kind === 'stopped') stopped = true;
      if (message.kind === 'probe') asked.push(message.number);
    });
    const asked: number[] = [];
    const reports: Outcome[] = [];
    let sink: ConfigSink | undefined;
    const options = parseAgentOptions(
      [
        '--node-name',
        'n',
        '--no-datapath',
        '--resolv-conf',
        path,
        '--metrics',
        '127.0.0.1:0',
        '--log-level',
        'error',
        ...argv,
      ],
      {},
    );
    const control = new Control(
      port1,
      { options, version: '1.2.3', startKey: new Uint8Array(32), queryLog: queryLogMemory(1024) },
      (given) => {
        sink = given;
        return { start: async () => {}, stop: async () => port1.close(), report: (outcome) => reports.push(outcome) };
      },
    );
    await control.start();
    return {
      desired,
      reports,
      asked,
      probe: (...names: string[]) => control.probe(names),
      probed: (which: number, probes: Probed[]) =>
        port2.postMessage({ kind: 'probed', number: asked[which] ?? 0, probes } satisfies ToControl),
      edit: (text: string) => writeFileSync(path, text),
      offer: (clusterDns: string[], changes: Partial<NodeConfig> = {}) =>
        sink?.offer({ config: { ...config, ...changes }, clusterDns }),
      outcome: (outcome: Outcome, number = desired.at(-1)?.number ?? 0) =>
        port2.postMessage({ kind: 'outcome', number, outcome } satisfies ToControl),
      comes: (count: number, limitMs = withinMs) =>
        eventually(`configuration ${count}`, limitMs, () => desired.length >= count),
    };
  }

  test('never takes the agent for a resolver of the node, from the first list on', async () => {
    const { desired, offer, comes, edit, outcome } = await start(
      'nameserver 169.254.10.10\nnameserver fd00::10\nnameserver 192.0.2.1\n',
    );
    offer(['10.0.0.1:53']);
    await comes(1);
    deepEqual(desired[0]?.desired?.destinations, { clusterDns: ['10.0.0.1:53'], nodeDns: ['192.0.2.1:53'] });
    outcome({ listening });
    edit('nameserver 192.0.2.2\nnameserver 169.254.10.10\n');
    await comes(2);
    deepEqual(desired[1]?.desired?.destinations.nodeDns, ['192.0.2.2:53']);
  });

  test('nor where it listens on all addresses of the machine, nor an IPv4 address that is written as an IPv6 one', async () => {
    const any = ['--listen-cluster', '0.0.0.0:53', '--listen-node', '127.0.0.1:1053'];
    const servers = '127.0.0.1:1053,[::ffff:127.0.0.1]:1053,127.7.7.7:53,[::1]:53,192.0.2.1:1053';
    const { desired, offer, comes } = await start('', ...any, '--node-dns', servers);
    offer([]);
    await comes(1);
    deepEqual(desired[0]?.desired?.destinations.nodeDns, ['[::1]:53', '192.0.2.1:1053']);
  });

  test('opens listeners on port 53, or where the options say; none that the configuration does not name', async () => {
    const { desired, offer, comes } = await start('', '--listen-cluster', '127.0.0.1:1053');
    offer([]);
    await comes(1);
    deepEqual(desired[0]?.desired?.listen, {
      cluster: [{ address: '127.0.0.1', port: 1053 }],
      node: [
        { address: '169.254.10.10', port: 53 },
        { address: 'fd00::10', port: 53 },
      ],
    });
  });

  test('what became of one configuration is not told of the next one, and leads no query to it', async (context) => {
    const { reports, offer, outcome, comes } = await start('nameserver 192.0.2.1');
    const commit = context.mock.method(Interceptor.prototype, 'commit');
    offer(['10.0.0.1:53']);
    await comes(1);
    outcome({ listening });
    await eventually('the report', withinMs, () => reports.length === 1);
    let prepared = () => {};
    const prepare = Interceptor.prototype.prepare;
    context.mock.method(Interceptor.prototype, 'prepare', async function (this: Interceptor, to: Arrangement) {
      await new Promise<void>((resolve) => {
        prepared = resolve;
      });
      return prepare.call(this, to);
    });
    offer(['10.0.0.2:53']);
    outcome({ listening }, 1);
    await settle();
    prepared();
    await comes(2);
    await settle();
    deepEqual([reports.length, commit.mock.callCount()], [1, 1]);
    outcome({ listening }, 2);
    await eventually('the report', withinMs, () => reports.length === 2);
    equal(commit.mock.callCount(), 2);
  });

  test('looks for loops at all servers but those that are asked over TLS alone', async (context) => {
    const { offer, outcome, comes } = await start('nameserver 192.0.2.1');
    const commit = context.mock.method(Interceptor.prototype, 'commit');
    const upstreams = [
      { name: 'secret', servers: ['192.0.2.7:853'], tls: { serverName: 'dns.example' } },
      { name: 'plain', servers: ['192.0.2.8:53'] },
    ];
    offer(['10.0.0.1:53'], { upstreams });
    await comes(1);
    outcome({ listening });
    await eventually('the commit', withinMs, () => commit.mock.callCount() === 1);
    deepEqual(commit.mock.calls[0]?.arguments[1], ['10.0.0.1:53', '192.0.2.1:53', '192.0.2.8:53']);
  });

  test('hands over what is new alone, and answers an equal offer with the outcome that is known', async () => {
    const { desired, reports, offer, outcome, comes } = await start('nameserver 192.0.2.1');
    offer(['10.0.0.1:53']);
    offer(['10.0.0.1:53']);
    await comes(1);
    equal(reports.length, 0, 'nothing is known yet');
    outcome({ listening });
    await eventually('the report', withinMs, () => reports.length === 1);
    offer(['10.0.0.1:53']);
    await eventually('the same report', withinMs, () => reports.length === 2);
    offer(['10.0.0.2:53']);
    await comes(2);
    deepEqual(
      desired.map(({ number }) => number),
      [1, 2],
    );
    // What became of the first one is no news any more.
    outcome({ listening: [] }, 1);
    outcome({ listening });
    await eventually('the report', withinMs, () => reports.length === 3);
    deepEqual(reports.at(-1)?.listening, listening);
  });

  test('the same under other names in the kernel is put there, and its marks are handed over', async (context) => {
    const { desired, reports, offer, outcome, comes } = await start('nameserver 192.0.2.1');
    let names = usualNames;
    const arrange = async (): Promise<Arrangement> => {
      return { listen: {}, plan: { addresses: [], backends: { cluster: [], node: [] }, clusterDns: [] }, names };
    };
    context.mock.method(Interceptor.prototype, 'arrange', arrange);
    const commit = context.mock.method(Interceptor.prototype, 'commit');
    offer([]);
    await comes(1);
    deepEqual(desired[0]?.desired?.marks, usualNames.marks);
    outcome({ listening });
    await eventually('the report', withinMs, () => reports.length === 1);
    names = { ...usualNames, table: 'foo' };
    offer([]);
    await comes(2);
    outcome({ listening });
    await eventually('the second commit', withinMs, () => commit.mock.callCount() === 2);
    deepEqual(commit.mock.calls[1]?.arguments[0].names, names);
  });

  test('tries again where a socket could not be opened, and not where the configuration is wrong', async () => {
    const { desired, offer, outcome, comes, reports } = await start('nameserver 192.0.2.1');
    offer([]);
    await comes(1);
    outcome({ refused: { code: 'LISTEN', error: 'taken' }, listening: [] });
    await comes(2);
    deepEqual(desired[1]?.desired, desired[0]?.desired);
    outcome({ refused: { code: 'CONFIG', error: 'wrong' }, listening: [] });
    await eventually('the report', withinMs, () => reports.length === 2);
    offer(['10.0.0.1:53']);
    await comes(3);
    equal(desired.length, 3);
  });

  test('names are asked for where queries are served', async () => {
    const { asked, probe, probed } = await start('nameserver 192.0.2.1');
    const first = probe('a.example');
    const second = probe('b.example');
    await eventually('the questions', withinMs, () => asked.length === 2);
    probed(1, [{ name: 'b.example', ok: false, message: 'the answer is SERVFAIL' }]);
    probed(0, [{ name: 'a.example', ok: true }]);
    deepEqual(await first, [{ name: 'a.example', ok: true }]);
    deepEqual(await second, [{ name: 'b.example', ok: false, message: 'the answer is SERVFAIL' }]);
  });
});
