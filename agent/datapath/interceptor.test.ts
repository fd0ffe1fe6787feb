import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { suite, test } from 'node:test';
import { FakeClock } from '../../test/fake/clock.ts';
import { sampleConfig } from '../../test/fake/node-config.ts';
import { eventually } from '../../test/tools/eventually.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Interception } from './datapath.ts';
import { Interceptor } from './interceptor.ts';
import { type DatapathNames, usualNames } from './names.ts';
import { nodeNames } from './node-names.ts';
import type { InterfaceAddress, NodeFacts, Wanted } from './preflight/facts.ts';

const service = '10.96.0.10';
const startKey = Buffer.alloc(32);
const [listener] = sampleConfig().listeners;
assert.ok(listener);
const config = sampleConfig({
  clusterDNS: { namespace: 'kube-system', service: 'kube-dns', addresses: [service] },
  listeners: [{ ...listener, name: 'cluster', addresses: ['169.254.10.11'] }],
});

/** A node whose interfaces, and nothing else, are in the way. */
function nodeWith(wanted: Wanted, addresses: readonly InterfaceAddress[]): NodeFacts {
  return {
    ...{ platform: 'linux', libcTrouble: undefined, capabilities: 0xffffn, nftVersion: '1.0.6', refused: new Map() },
    ...{ hasIpv6: true, interfaces: [], addresses, sockets: [], bindTrials: new Map(), sysctls: new Map() },
    ...{ ruleset: [], legacyTables: [], policyRules: [], routes: [], wanted },
  };
}

class Scene {
  nowMs = 0;
  looks = 0;
  addresses: InterfaceAddress[] = [];
  readonly said: Interception[] = [];
  readonly logged: string[] = [];
  readonly #due: { atMs: number; callback: () => void }[] = [];
  readonly #interceptor: Interceptor;
  /** What the last arrangement listens on; it is made again on every chance. */
  listening: Promise<string[]> = Promise.resolve([]);

  /** Those of an agent that lives beside, until it has ended. */
  othersNames: DatapathNames | undefined;
  /** What the last look was for, and the arrangement that came of it. */
  wanted: Wanted | undefined;
  names: DatapathNames | undefined;

  constructor() {
    const clock: Clock = {
      nowMs: () => this.nowMs,
      after: (delayMs, callback) => {
        const timer = { atMs: this.nowMs + delayMs, callback };
        this.#due.push(timer);
        return { cancel: () => void this.#due.splice(this.#due.indexOf(timer) >>> 0, 1) };
      },
    };
    const note = (_fields: object, message: string) => void this.logged.push(message);
    const log = { info: () => {}, warn: note, error: note } as unknown as Log;
    this.#interceptor = new Interceptor({
      ...{
        names: {
          given: usualNames,
          startId: () => 0,
          othersThan: (names) =>
            [usualNames, ...(this.othersNames ? [this.othersNames] : [])].filter((n) => n !== names),
          choose: async () => this.othersNames ?? usualNames,
          note: async () => {},
          removeOthers: async () => {},
        },
        isOff: false,
        startKey,
        clock,
        log,
      },
      ...{ isServing: async () => true, received: () => 0, loops: () => 0, onMisled: () => {}, onDescriptor: () => {} },
      onChange: (interception) => this.said.push(interception),
      onChance: () => this.arrange(),
      look: async (wanted) => {
        this.looks += 1;
        this.wanted = wanted;
        return nodeWith(wanted, this.addresses);
      },
    });
  }

  arrange(): void {
    this.listening = this.#interceptor
      .arrange(config, { clusterDns: [], nodeDns: [], given: {} })
      .then(({ plan, names }) => {
        this.names = names;
        return plan.addresses.map(({ address }) => address);
      });
  }

  async pass(milliseconds: number): Promise<void> {
    this.nowMs += milliseconds;
    const due = this.#due.filter(({ atMs }) => atMs <= this.nowMs);
    for (const timer of due) this.#due.splice(this.#due.indexOf(timer), 1);
    for (const { callback } of due) callback();
    await this.listening;
  }

  get timers(): number {
    return this.#due.length;
  }
}

suite('what is in the way', () => {
  const ipvs = { interface: 'kube-ipvs0', address: service };

  test('is looked at again now and then, told once, and when it has gone all is intercepted', async () => {
    const scene = new Scene();
    scene.addresses = [ipvs];
    scene.arrange();
    assert.deepEqual(await scene.listening, ['169.254.10.11']);
    await scene.pass(29_999);
    scene.arrange();
    await scene.listening;
    assert.equal(scene.looks, 1);
    await scene.pass(1);
    assert.deepEqual([scene.looks, scene.logged.length], [2, 1]);
    scene.addresses = [];
    await scene.pass(30_000);
    assert.deepEqual(await scene.listening, ['169.254.10.11', service]);
    assert.equal(scene.timers, 0);
    await scene.pass(60_000);
    scene.arrange();
    await scene.listening;
    assert.equal(scene.looks, 3);
  });

  test('may be in the way of everything: nothing is intercepted, with the reason, until it has gone', async () => {
    const scene = new Scene();
    scene.addresses = [ipvs, { interface: 'localdns', address: '169.254.10.11' }];
    scene.arrange();
    assert.deepEqual(await scene.listening, []);
    assert.deepEqual(
      scene.said.map(({ intercepting, reason }) => [intercepting, reason]),
      [[false, 'AnotherNodeLocalDNS']],
    );
    scene.addresses = [ipvs];
    await scene.pass(30_000);
    assert.deepEqual(await scene.listening, ['169.254.10.11']);
  });
});

test('under the names of an agent that lives beside it looks at the node, and under its own as soon as that one has ended', async () => {
  const scene = new Scene();
  const beside: DatapathNames = { ...usualNames, table: 'beside' };
  scene.othersNames = beside;
  scene.arrange();
  await scene.listening;
  assert.deepEqual([scene.names, scene.wanted?.names, scene.wanted?.otherNames], [beside, beside, [usualNames]]);
  await scene.pass(500);
  assert.equal(scene.looks, 1);
  scene.othersNames = undefined;
  await scene.pass(500);
  await eventually('the names that were given', 10_000, () => scene.names === usualNames);
  assert.deepEqual([scene.looks, scene.wanted?.names], [2, usualNames]);
  assert.equal(scene.timers, 0);
});

test('where nothing is intercepted its servers are looked at for loops all the same, each minute, until it is at an end', async (t) => {
  const server = createSocket('udp4').bind(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  let asked = 0;
  server.on('message', (message) => {
    assert.match(message.toString('latin1'), /loop.localdns/);
    asked += 1;
  });
  const clock = new FakeClock();
  const logged: string[] = [];
  let loops = 0;
  const log = { info: () => {}, error: ({ reason }: { reason: string }) => logged.push(reason) } as unknown as Log;
  const interceptor = new Interceptor({
    ...{ names: nodeNames(undefined, { given: usualNames, startKey, clock, log }), isOff: true, startKey, clock, log },
    ...{ isServing: async () => true, received: () => 0 },
    ...{ loops: () => loops, onMisled: () => {}, onDescriptor: () => {}, onChange: () => {}, onChance: () => {} },
  });
  const arrangement = await interceptor.arrange(config, { clusterDns: [], nodeDns: [], given: {} });
  const upstreams = [`127.0.0.1:${server.address().port}`];
  await interceptor.commit(arrangement, upstreams);
  await interceptor.commit(arrangement, upstreams);
  await clock.advance(1_000);
  await eventually('the first question', 5_000, () => asked === 1);
  await clock.advance(5_000);
  assert.deepEqual(logged, []);
  await clock.advance(55_000);
  await eventually('the second question', 5_000, () => asked === 2);
  loops += 1;
  await clock.advance(1_000);
  assert.deepEqual(logged, ['LoopFound']);
  assert.equal(clock.pending, 1);
  await interceptor.remove();
  assert.equal(clock.pending, 0);
});
