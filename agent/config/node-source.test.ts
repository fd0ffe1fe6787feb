import { deepEqual, equal } from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, suite, test } from 'node:test';
import type { NodeHealth } from '../../api/v1alpha1/node.ts';
import { revisionOf } from '../../api/v1alpha1/node-config.ts';
import { FakeApiServer, fail } from '../../kube/api-server.fake.ts';
import { sampleBlock, sampleConfig } from '../../test/fake/node-config.ts';
import { eventually } from '../../test/tools/eventually.ts';
import type { Outcome } from '../channel.ts';
import { figuresOf } from '../figures.ts';
import type { Log } from '../log.ts';
import { parseAgentOptions } from '../options.ts';
import { listenerCounts } from '../server/plan.ts';
import type { Offer } from './config-source.ts';
import { NodeSource } from './node-source.ts';

const withinMs = 5_000;
const node = 'node-1';
const folder = mkdtempSync(join(tmpdir(), 'localdns-node-source-'));
after(() => rmSync(folder, { recursive: true }));

const config = (clusterDomain = 'cluster.local') =>
  sampleConfig({
    clusterDomain,
    clusterDNS: { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10', 'fd00::10'] },
    listeners: [
      {
        name: 'cluster',
        addresses: ['169.254.10.11'],
        intercept: true,
        tracked: false,
        serverBlocks: [sampleBlock({ protocol: 'ForceTCP' })],
      },
    ],
  });
const usual = revisionOf(config());
const other = revisionOf(config('cluster.example'));
const listening = [{ name: 'cluster' as const, address: '169.254.10.11', port: 53 }];
const serviceServers = ['10.96.0.10:53', '[fd00::10]:53'];

suite('the node as a source of configurations', () => {
  let api: FakeApiServer;
  let stateDir: string;
  let kubeconfig: string;
  const sources: NodeSource[] = [];

  beforeEach(async () => {
    api = new FakeApiServer(['localdnsnodes', 'endpointslices']);
    const home = mkdtempSync(join(folder, 'case-'));
    stateDir = join(home, 'state');
    kubeconfig = join(home, 'kubeconfig');
    writeKubeconfig(await api.start());
  });
  afterEach(async () => {
    await Promise.all(sources.splice(0).map((source) => source.stop()));
    await api.stop();
  });

  function writeKubeconfig(server: string): void {
    const text = {
      'current-context': 'here',
      contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server } }],
      users: [{ name: 'u', user: {} }],
    };
    writeFileSync(kubeconfig, JSON.stringify(text));
  }

  /** A source whose configurations all come into force, unless `outcomeOf` says otherwise. */
  async function start(outcomeOf: (offer: Offer | undefined) => Outcome = () => ({ listening })) {
    const offers: (Offer | undefined)[] = [];
    const said: string[] = [];
    const counts = new Float64Array(listenerCounts);
    const say = (_fields: object, text: string) => said.push(text);
    const log = { info: say, warn: say, error: say } as unknown as Log;
    const options = parseAgentOptions(['--node-name', node, '--kubeconfig', kubeconfig, '--state-dir', stateDir], {});
    const source = new NodeSource(options, '1.2.3', {
      log,
      offer: (offer) => {
        offers.push(offer);
        setImmediate(() => source.report(outcomeOf(offer)));
      },
      figures: () => figuresOf([counts]),
      probe: async (names) => names.map((name) => ({ name, ok: true })),
      fatal: (lines) => said.push(...lines),
    });
    sources.push(source);
    await source.start();
    const offered = (wanted: string, is: (offer: Offer | undefined) => boolean) =>
      eventually(wanted, withinMs, () => offers.length > 0 && is(offers.at(-1)));
    return { source, offers, said, offered };
  }

  const put = (spec: unknown) => {
    const object = api.get('localdnsnodes', node);
    api.put('localdnsnodes', {
      ...object,
      metadata: { name: node, ...(object && { uid: object.metadata.uid ?? '' }) },
      spec,
    });
  };
  const putEndpoints = (...addresses: string[]) => {
    api.put('endpointslices', {
      metadata: { name: 'kube-dns-1', namespace: 'kube-system', labels: { 'kubernetes.io/service-name': 'kube-dns' } },
      addressType: 'IPv4',
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
      ports: [{ name: 'dns-tcp', port: 53, protocol: 'TCP' }],
    } as never);
  };
  interface Told {
    observedGeneration: number;
    appliedRevision: string;
    lastError: string;
    agentVersion: string;
    configVersions: number[];
    health?: NodeHealth;
    conditions: { type: string; status: string; reason: string }[];
  }
  const status = () => api.get('localdnsnodes', node)?.status as Told | undefined;
  const conditions = () => status()?.conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`) ?? [];
  const spec = (revision: string, body: unknown = config()) => ({ profile: 'default', revision, config: body });
  const onDisk = () => {
    const path = join(stateDir, 'last-good.json');
    return existsSync(path) && (JSON.parse(readFileSync(path, 'utf8')) as { revision: string; clusterDns: string[] });
  };
  const revisionOnDisk = () => {
    const lastGood = onDisk();
    return lastGood ? lastGood.revision : false;
  };

  test('offers what the LocalDnsNode says, with the Service until its endpoints are known, and reports and keeps it', async () => {
    put(spec(usual));
    const { offers, offered } = await start();
    await offered('the Service', (offer) => offer?.clusterDns.join() === serviceServers.join());
    deepEqual(offers[0]?.config, config());
    putEndpoints('10.0.0.2', '10.0.0.1');
    await offered('endpoints', (offer) => offer?.clusterDns.join() === '10.0.0.1:53,10.0.0.2:53');
    await eventually('the status', withinMs, () => status()?.appliedRevision === usual);
    deepEqual(conditions(), ['ConfigApplied=True Applied', 'Serving=True ListenersAnswering']);
    await eventually('the disk', withinMs, () => revisionOnDisk() === usual);
    put(spec(other, config('cluster.example')));
    await offered('the edit', (offer) => offer?.config.clusterDomain === 'cluster.example');
    await eventually('its status', withinMs, () => status()?.appliedRevision === other);
  });

  test('refuses a configuration that is not the one of its revision, and serves on', async () => {
    put(spec(usual));
    const { offers } = await start();
    await eventually('the status', withinMs, () => status()?.appliedRevision === usual);
    put(spec(usual, config('cluster.example')));
    await eventually('the refusal', withinMs, () => conditions()[0] === 'ConfigApplied=False Refused');
    equal(offers.at(-1)?.config.clusterDomain, 'cluster.local');
    equal(conditions()[1], 'Serving=True ListenersAnswering');
  });

  test('writes its status no more once it is stopped, though what it wrote last has failed', async () => {
    put(spec(usual));
    const { source, said } = await start();
    await eventually('the status', withinMs, () => status()?.appliedRevision === usual);
    api.script = ({ subresource }, response) => {
      if (subresource === 'status') fail(response, 500, 'InternalError', 'as scripted', {});
      return subresource === 'status';
    };
    source.report({ listening: [], silent: 'does not answer' });
    const complaints = () => said.filter((text) => text.startsWith('the status cannot be written')).length;
    await eventually('a failure', withinMs, () => complaints() > 0);
    await source.stop();
    source.report({ listening });
    const before = complaints();
    // Were it to go on, it would have tried again after one second.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    equal(complaints(), before);
  });

  test('puts its status right where somebody else has changed it', async () => {
    put(spec(usual));
    await start();
    await eventually('the status', withinMs, () => status()?.appliedRevision === usual);
    const object = api.get('localdnsnodes', node);
    api.put('localdnsnodes', { ...object, status: { appliedRevision: 'bogus', conditions: [] } } as never);
    await eventually(
      'the status again',
      withinMs,
      () => status()?.appliedRevision === usual && conditions().length === 2,
    );
  });

  test('starts from the last good configuration while the API server is away, endpoints included', async () => {
    put(spec(usual));
    putEndpoints('10.0.0.1');
    const first = await start();
    await first.offered('endpoints', (offer) => offer?.clusterDns.join() === '10.0.0.1:53');
    await eventually('the disk', withinMs, () => revisionOnDisk() === usual);
    await first.source.stop();
    await api.stop();
    const { offers } = await start();
    deepEqual(offers, [{ config: config(), clusterDns: ['10.0.0.1:53'] }]);
    await api.start(Number(new URL(JSON.parse(readFileSync(kubeconfig, 'utf8')).clusters[0].cluster.server).port));
    put(spec(other, config('cluster.example')));
    await eventually('the edit', 4 * withinMs, () => offers.at(-1)?.config.clusterDomain === 'cluster.example');
  });

  test('keeps and reports the old one when the newest cannot be read, whatever happens to the old one meanwhile', async () => {
    put(spec(usual));
    const { offers, offered } = await start();
    await eventually('the status', withinMs, () => status()?.appliedRevision === usual);
    put(spec('v1-b', { ...config(), formatVersion: 99 }));
    await eventually('the refusal', withinMs, () => status()?.observedGeneration === 2);
    const refused = ['ConfigApplied=False Refused', 'Serving=True ListenersAnswering'];
    deepEqual(conditions(), refused);
    equal(status()?.appliedRevision, usual);
    putEndpoints('10.0.0.1');
    await offered('endpoints', (offer) => offer?.clusterDns.join() === '10.0.0.1:53');
    put(spec('v1-c', { ...config(), formatVersion: 98 }));
    await eventually('the next refusal', withinMs, () => status()?.observedGeneration === 3);
    deepEqual(conditions(), refused);
    equal(
      offers.every((offer) => offer?.config.clusterDomain === 'cluster.local'),
      true,
    );
    put(spec(other, config('cluster.example')));
    await eventually('the remedy', withinMs, () => status()?.appliedRevision === other);
    const applied = api.seen
      .filter(({ subresource }) => subresource === 'status')
      .map(({ body }) => (body?.status as Told | undefined)?.conditions[0]?.status);
    deepEqual(
      applied.filter((word, at) => word !== applied[at - 1]),
      ['True', 'False', 'True'],
    );
    deepEqual([conditions()[0], status()?.lastError], ['ConfigApplied=True Applied', '']);
  });

  test('says in the status why a configuration could not be brought into force, and does not keep it', async () => {
    put(spec(usual));
    const error = 'cannot listen on 169.254.10.11 port 53 (UDP): another process has it';
    await start(() => ({ refused: { code: 'LISTEN', error }, listening: [] }));
    await eventually('the status', withinMs, () => status()?.lastError === error);
    deepEqual(conditions(), ['ConfigApplied=False ListenFailed', 'Serving=False ListenFailed']);
    equal(revisionOnDisk(), false);
  });

  test('offers nothing any more once the LocalDnsNode is gone, and forgets it on disk', async () => {
    put(spec(usual));
    const { offers, offered } = await start();
    await eventually('the disk', withinMs, () => revisionOnDisk() === usual);
    api.remove('localdnsnodes', node);
    await offered('nothing', (offer) => offer === undefined);
    await eventually('the disk', withinMs, () => revisionOnDisk() === false);
    put(spec(usual));
    await offered('it is back', (offer) => offer !== undefined);
    equal(offers.length > 2, true);
  });

  test('leaves once its LocalDnsNode is withdrawn, and says so when nothing is led to it and nobody listens', async () => {
    put(spec(usual));
    const interception = { intercepting: true, reason: 'Intercepting', message: 'led here' } as const;
    const { source, offered } = await start(() => ({ listening, interception }));
    await eventually('the disk', withinMs, () => revisionOnDisk() === usual);
    put({ ...spec(usual), withdrawnAt: '2026-01-01T00:00:00Z' });
    await offered('nothing', (offer) => offer === undefined);
    await eventually('the disk', withinMs, () => revisionOnDisk() === false);
    source.report({ listening: [], interception });
    source.report({ listening });
    source.report({ listening: [], interception: { ...interception, intercepting: false, message: 'led elsewhere' } });
    await eventually('the status', withinMs, () => status()?.observedGeneration === 2);
    deepEqual(conditions(), [
      'ConfigApplied=True Withdrawn',
      'Serving=False Withdrawn',
      'Intercepting=False Withdrawn',
    ]);
    equal(status()?.appliedRevision, undefined);
    const told = api.seen.filter(({ body }) => (body?.status as Told | undefined)?.observedGeneration === 2);
    equal(told.length, 1);
    put(spec('v1-b', { ...config(), formatVersion: 99 }));
    await eventually('the refusal', withinMs, () => status()?.observedGeneration === 3);
    equal(status()?.appliedRevision, undefined);
    put(spec(usual));
    await offered('it is back', (offer) => offer !== undefined);
    await eventually('it serves', withinMs, () => status()?.appliedRevision === usual);
  });

  test('forgets a last good configuration whose LocalDnsNode went away meanwhile', async () => {
    put(spec(usual));
    const first = await start();
    await eventually('the disk', withinMs, () => revisionOnDisk() === usual);
    await first.source.stop();
    api.remove('localdnsnodes', node);
    const { offers, offered } = await start();
    equal(offers[0]?.config.clusterDomain, 'cluster.local');
    await offered('nothing', (offer) => offer === undefined);
    await eventually('the disk', withinMs, () => revisionOnDisk() === false);
  });

  test('says from its first word on which versions of it and of configurations there are', async () => {
    put(spec('v2-a', { formatVersion: 2 }));
    await start();
    await eventually('the refusal', withinMs, () => conditions()[0] === 'ConfigApplied=False Refused');
    deepEqual([status()?.agentVersion, status()?.configVersions], ['1.2.3', [1]]);
  });

  test('tells once how the node serves with a revision, also after it was started again', async () => {
    const trial = { soakSeconds: 1, probes: ['www.example'] };
    put({ ...spec(usual), trial });
    const first = await start();
    await eventually('the health', withinMs, () => status()?.health !== undefined);
    const health = status()?.health;
    deepEqual(
      [health?.revision, health?.soakSeconds, health?.queries, health?.before, health?.probes],
      [usual, 1, 0, undefined, [{ name: 'www.example', ok: true }]],
    );
    await first.source.stop();
    const { said } = await start();
    putEndpoints('10.0.0.1');
    // Another offer, and another outcome: the soak of the next one ends only after what would be told again.
    put({ ...spec(other, config('cluster.example')), trial });
    await eventually('it goes with its revision', withinMs, () => status()?.appliedRevision === other);
    equal(status()?.health, undefined);
    await eventually('the next health', withinMs, () => status()?.health?.revision === other);
    equal(said.filter((text) => text.startsWith('how the node serves')).length, 1);
  });

  test('keeps the health that an agent before has told', async () => {
    const before = { revision: usual, soakSeconds: 60, queries: 7, servFailPermille: 0, p99Micros: 0 };
    put({ ...spec(usual), trial: { soakSeconds: 0, probes: [] } });
    const health = { ...before, measuredAt: '2026-01-01T00:00:00Z' };
    api.put('localdnsnodes', { ...api.get('localdnsnodes', node), status: { health } } as never);
    await start();
    await eventually('the status', withinMs, () => status()?.appliedRevision === usual);
    deepEqual(status()?.health, health);
    putEndpoints('10.0.0.1');
    await eventually('the endpoints', withinMs, () => {
      const lastGood = onDisk();
      return lastGood ? lastGood.clusterDns.length === 1 : false;
    });
    deepEqual(status()?.health, health);
  });

  test('keeps it also where facts have changed meanwhile', async () => {
    const trial = { soakSeconds: 600, probes: [], attempt: 2 };
    const figures = { soakSeconds: 60, queries: 7, servFailPermille: 0, p99Micros: 0 };
    const health = { ...figures, attempt: 2, profileRevision: 'p-1', measuredAt: '2026-01-01T00:00:00Z' };
    put({ ...spec(usual), trial, profileRevision: 'p-1' });
    const status0 = { health: { ...health, revision: 'v1-of-before' } };
    api.put('localdnsnodes', { ...api.get('localdnsnodes', node), status: status0 } as never);
    await start();
    await eventually('the status', withinMs, () => status()?.appliedRevision === usual);
    deepEqual(status()?.health, { ...health, revision: usual });
  });

  test('measures anew what is tried anew, also where an agent before has told of the attempt before', async () => {
    const trial = { soakSeconds: 0, probes: ['www.example'] };
    put({ ...spec(usual), trial: { ...trial, attempt: 2 } });
    const before = { revision: usual, soakSeconds: 60, queries: 7, servFailPermille: 0, p99Micros: 0 };
    const health = { ...before, attempt: 1, measuredAt: '2026-01-01T00:00:00Z' };
    api.put('localdnsnodes', { ...api.get('localdnsnodes', node), status: { health } } as never);
    await start();
    await eventually('the health of this attempt', withinMs, () => status()?.health?.attempt === 2);
    put({ ...spec(usual), trial: { ...trial, attempt: 3 } });
    await eventually('that of the next', withinMs, () => status()?.health?.attempt === 3);
    equal(status()?.appliedRevision, usual);
  });

  test('says so where there is no kubeconfig', async () => {
    rmSync(kubeconfig);
    const { said, offers } = await start();
    deepEqual(said, ['no kubeconfig; trying again']);
    deepEqual(offers, []);
  });
});
