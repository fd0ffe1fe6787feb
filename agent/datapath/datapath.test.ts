import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, settle } from '../../test/fake/clock.ts';
import type { Log } from '../log.ts';
import { Datapath, type Interception, type Rules } from './datapath.ts';
import type { Family } from './family.ts';
import type { Pulse } from './heartbeat.ts';
import type { Counters, FamilyPlan } from './node-rules.ts';
import type { DatapathPlan, PlannedAddress } from './plan.ts';
import { counterNames } from './serving-rules.ts';
import type { LifeSigns } from './serving-table.ts';

const own = '169.254.10.11';
const service = '10.96.0.10';
const beatMs = 500;
const beating: Pulse = { udp: true, tcp: true, overtaken: false };
const silent: Pulse = { udp: false, tcp: false, overtaken: false };

function planOf(...addresses: string[]): DatapathPlan {
  const planned = (address: string): PlannedAddress => ({ listener: 'cluster', address, own: true, tracked: false });
  return { addresses: addresses.map(planned), backends: { cluster: [], node: [] }, clusterDns: [] };
}

/** Rules that change nothing, and tell what they were told. */
class ScriptedRules implements Rules {
  readonly plans = new Map<Family, FamilyPlan>();
  /** Of each time that signs were given. */
  readonly signs: LifeSigns[] = [];
  doubts = 0;
  looks = 0;
  closed = false;
  owned = false;
  counted: Partial<Counters> = {};
  /** What somebody has changed at the next look. */
  changed: string[] = [];
  refusal: Error | undefined;

  get families(): Family[] {
    return [...this.plans.keys()];
  }

  async put(family: Family, plan: FamilyPlan): Promise<void> {
    if (this.refusal !== undefined) throw this.refusal;
    this.plans.set(family, plan);
  }

  async giveLifeSigns(signs: (family: Family) => LifeSigns): Promise<void> {
    this.signs.push(signs(4));
  }

  async doubtEverybody(): Promise<void> {
    this.doubts += 1;
  }

  counters(): Counters {
    return Object.fromEntries(counterNames.map((name) => [name, this.counted[name] ?? 0])) as Counters;
  }

  fallbackPackets = () => 7;

  async restore(): Promise<string[]> {
    this.looks += 1;
    return this.changed;
  }

  async remove(family: Family): Promise<void> {
    this.plans.delete(family);
  }

  close(): void {
    this.closed = true;
  }
}

class Scene {
  readonly clock = new FakeClock();
  readonly rules = new ScriptedRules();
  readonly silent = new Map<string, Pulse>();
  asked: readonly string[] = [];
  beats = 0;
  answerMs = 0;
  serving = true;
  received = 0;
  loops = false;
  misled = 0;
  readonly said: Interception[] = [];
  readonly datapath: Datapath;

  constructor() {
    const quiet = () => undefined;
    this.datapath = new Datapath({
      rules: this.rules,
      heartbeat: { ask: (addresses) => this.#ask(addresses), close: quiet },
      loopProbe: { found: async () => this.loops },
      clock: this.clock,
      log: { info: quiet, warn: quiet, error: quiet } as unknown as Log,
      isServing: async () => this.serving,
      received: () => this.received,
      onChange: (interception) => this.said.push(interception),
      onMisled: () => {
        this.misled += 1;
      },
    });
  }

  async #ask(addresses: readonly string[]): Promise<Map<string, Pulse>> {
    this.asked = addresses;
    this.beats += 1;
    if (this.answerMs > 0) await new Promise<void>((resolve) => this.clock.after(this.answerMs, resolve));
    return new Map(addresses.map((address) => [address, this.silent.get(address) ?? beating]));
  }

  async serve(...addresses: string[]): Promise<void> {
    const plan = planOf(...addresses);
    await this.datapath.prepare(plan);
    await this.datapath.commit(plan);
  }

  get last(): Interception | undefined {
    return this.said.at(-1);
  }

  /** What the last signs say, each `address milliseconds`. */
  signs(set: keyof LifeSigns): string[] {
    return (this.rules.signs.at(-1)?.[set] ?? []).map(({ address, milliseconds }) => `${address} ${milliseconds}`);
  }
}

test('nobody is led to sockets that are not open yet; then each beat gives what the last answer is worth', async () => {
  const scene = new Scene();
  const plan = planOf(own, service);
  await scene.datapath.prepare(plan);
  assert.deepEqual(scene.rules.plans.get(4)?.served, [own, service]);
  assert.deepEqual([scene.beats, scene.signs('alive'), scene.clock.pending], [0, [], 0]);
  await scene.datapath.commit(plan);
  assert.deepEqual(scene.asked, [own, service]);
  assert.deepEqual(scene.signs('alive'), [`${own} 1500`, `${service} 1500`]);
  assert.deepEqual(scene.last, {
    intercepting: true,
    reason: 'Intercepting',
    message: `queries to ${own}, ${service} are answered here`,
  });
  scene.answerMs = 100;
  await scene.clock.advance(beatMs + 100);
  assert.equal(scene.beats, 2);
  // An answer is worth something from when it was asked for.
  assert.deepEqual(scene.signs('alive'), [`${own} 1400`, `${service} 1400`]);
  await scene.clock.advance(10 * beatMs);
  assert.equal(scene.beats, 12);
  assert.equal(scene.said.length, 1);
});

test('a beat that hangs is neither joined by others nor followed by all that it held up', async () => {
  const scene = new Scene();
  await scene.serve(own);
  scene.answerMs = 10 * beatMs;
  await scene.clock.advance(9 * beatMs);
  assert.equal(scene.beats, 2);
  scene.answerMs = 0;
  await scene.clock.advance(4 * beatMs);
  assert.ok(scene.beats > 2 && scene.beats <= 5, String(scene.beats));
});

for (const pulse of [
  { udp: false, tcp: true },
  { udp: true, tcp: false },
]) {
  test(`an address that does not answer ${pulse.udp ? 'TCP' : 'UDP'} is renewed no more, and others are`, async () => {
    const scene = new Scene();
    await scene.serve(own, service);
    scene.silent.set(service, { ...silent, ...pulse });
    await scene.clock.advance(beatMs);
    // One that fails takes nothing away.
    assert.deepEqual(scene.signs('alive'), [`${own} 1500`, `${service} 1000`]);
    assert.equal(scene.last?.intercepting, true);
    await scene.clock.advance(2 * beatMs);
    assert.deepEqual(scene.signs('alive'), [`${own} 1500`]);
    assert.deepEqual(scene.signs('holding'), [`${own} 1500`, `${service} 1500`], 'connections go on');
    await scene.clock.advance(beatMs);
    assert.deepEqual([scene.last?.intercepting, scene.last?.reason], [false, 'NotAnswering']);
    assert.match(scene.last?.message ?? '', /the listener on 10\.96\.0\.10 does not answer/);
    assert.equal(scene.datapath.facts.missedBeats, 4);
    scene.silent.clear();
    await scene.clock.advance(beatMs);
    assert.equal(scene.last?.intercepting, true);
  });
}

test('connections go on for as long as the serving thread answers, and not much longer', async () => {
  const scene = new Scene();
  await scene.serve(own);
  scene.serving = false;
  await scene.clock.advance(2 * beatMs);
  assert.deepEqual(scene.signs('holding'), [`${own} 500`]);
  assert.deepEqual(scene.signs('alive'), [`${own} 1500`]);
  await scene.clock.advance(beatMs);
  assert.deepEqual(scene.signs('holding'), []);
});

test('an address that goes takes no new queries at once, and its connections go on for 5 s', async () => {
  const scene = new Scene();
  await scene.serve(own, service);
  const next = planOf(own);
  await scene.datapath.prepare(next);
  assert.deepEqual(scene.signs('alive'), [`${own} 1500`]);
  assert.deepEqual(scene.signs('holding'), [`${own} 1500`, `${service} 1500`]);
  await scene.datapath.commit(next);
  assert.deepEqual(scene.asked, [own]);
  assert.deepEqual(scene.rules.plans.get(4)?.served, [own, service]);
  await scene.clock.advance(4_999);
  assert.deepEqual(scene.signs('holding'), [`${own} 1500`, `${service} 1500`]);
  await scene.clock.advance(1);
  assert.deepEqual(scene.rules.plans.get(4)?.served, [own]);
  assert.deepEqual(scene.signs('holding'), [`${own} 1500`]);
});

test('withdrawal waits for no beat, and none follows it', async () => {
  const scene = new Scene();
  await scene.serve(own);
  scene.answerMs = 400;
  await scene.clock.advance(beatMs);
  const before = scene.rules.signs.length;
  await scene.datapath.withdraw();
  assert.equal(scene.rules.signs.length, before + 1);
  assert.deepEqual([scene.signs('alive'), scene.signs('holding')], [[], [`${own} 5000`]]);
  await scene.clock.advance(10 * beatMs);
  assert.equal(scene.rules.signs.length, before + 1, 'the answer that came late gives no sign');
  assert.equal(scene.beats, 2);
});

test('a loop ends interception at once for five minutes, or until the configuration changes', async () => {
  const scene = new Scene();
  await scene.serve(own);
  scene.loops = true;
  await scene.clock.advance(beatMs);
  assert.deepEqual([scene.last?.intercepting, scene.last?.reason], [false, 'LoopFound']);
  assert.deepEqual([scene.signs('alive'), scene.signs('holding')], [[], []]);
  scene.loops = false;
  await scene.clock.advance(5 * 60_000 - beatMs);
  assert.deepEqual(scene.signs('alive'), []);
  assert.equal(scene.last?.reason, 'LoopFound');
  await scene.clock.advance(beatMs);
  assert.deepEqual(scene.signs('alive'), [`${own} 1500`]);
  assert.equal(scene.last?.intercepting, true);
  scene.loops = true;
  await scene.clock.advance(beatMs);
  assert.equal(scene.last?.intercepting, false);
  scene.loops = false;
  await scene.serve(own);
  assert.equal(scene.last?.intercepting, true);
});

test('queries that pass all rules and reach no socket end interception', async () => {
  const scene = new Scene();
  await scene.serve(own);
  for (const passed of [100, 200, 300]) {
    scene.rules.counted = { intercepted_udp: passed, arrived_udp: passed };
    await scene.clock.advance(beatMs);
  }
  assert.deepEqual([scene.last?.intercepting, scene.last?.reason], [false, 'InputDropped']);
  assert.match(scene.last?.message ?? '', /BPF/);
  assert.deepEqual(scene.signs('alive'), []);
});

test('answers that do not leave the node end interception for five minutes; one that is between two hooks is not lost', async () => {
  const scene = new Scene();
  await scene.serve(own);
  for (const [answered, left] of [
    [100, 98],
    [200, 200],
    [300, 299],
    [400, 400],
  ] as const) {
    scene.rules.counted = { answered, left };
    await scene.clock.advance(beatMs);
    assert.equal(scene.last?.intercepting, true, `${left} of ${answered}`);
  }
  scene.rules.counted = { answered: 403, left: 400 };
  await scene.clock.advance(beatMs);
  assert.deepEqual([scene.last?.intercepting, scene.last?.reason], [false, 'AnswersDropped']);
  assert.deepEqual([scene.signs('alive'), scene.signs('holding'), scene.rules.doubts], [[], [], 1]);
  await scene.clock.advance(5 * 60_000);
  assert.deepEqual(scene.signs('alive'), [`${own} 1500`]);
});

test('a rule that begins to drop intercepted queries: everybody is doubted, and the condition says so', async () => {
  const scene = new Scene();
  await scene.serve(own);
  scene.rules.counted = { tried_udp: 1, proved: 1, intercepted_udp: 500, arrived_udp: 501 };
  scene.received = 501;
  await scene.clock.advance(beatMs);
  assert.equal(scene.rules.doubts, 0);
  scene.rules.counted = { ...scene.rules.counted, intercepted_tcp: 100 };
  await scene.clock.advance(beatMs);
  assert.equal(scene.rules.doubts, 1);
  scene.rules.counted = { ...scene.rules.counted, tried_udp: 4 };
  await scene.clock.advance(2 * beatMs);
  assert.deepEqual([scene.last?.intercepting, scene.last?.reason], [false, 'InputDropped']);
  assert.match(scene.last?.message ?? '', /hook INPUT/);
  // One pod's packets get through: the others' are left alone.
  scene.rules.counted = { ...scene.rules.counted, tried_udp: 5, proved: 2, arrived_udp: 502 };
  await scene.clock.advance(beatMs);
  assert.equal(scene.last?.intercepting, true);
  assert.match(scene.last?.message ?? '', /those of some pods, over one transport/);
  assert.equal(scene.datapath.facts.counters.get(4)?.proved, 2);
});

test('what somebody changes is put right within 2 s; whoever does it five times means it', async () => {
  const scene = new Scene();
  await scene.serve(own);
  scene.rules.changed = ['table ip localdns'];
  const everyLook = 4 * beatMs;
  await scene.clock.advance(4 * everyLook);
  assert.deepEqual([scene.datapath.facts.restorations, scene.last?.intercepting], [4, true]);
  await scene.clock.advance(everyLook);
  assert.deepEqual([scene.last?.intercepting, scene.last?.reason], [false, 'RulesRemoved']);
  const { looks } = scene.rules;
  await scene.clock.advance(2 * everyLook);
  assert.equal(scene.rules.looks, looks, 'left alone from now on');
  scene.rules.changed = [];
  await scene.serve(own);
  await scene.clock.advance(everyLook);
  assert.ok(scene.rules.looks > looks);
  assert.equal(scene.last?.intercepting, true);
});

test('where nobody else can change what intercepts, that goes on: our own addresses would have nobody, once the fallback has gone', async () => {
  const scene = new Scene();
  scene.rules.owned = true;
  await scene.serve(own);
  scene.rules.changed = ['table ip localdns'];
  const everyLook = 4 * beatMs;
  await scene.clock.advance(5 * everyLook);
  const { looks } = scene.rules;
  await scene.clock.advance(2 * everyLook);
  assert.equal(scene.rules.looks, looks, 'left alone from now on');
  assert.equal(scene.last?.intercepting, true);
  assert.match(scene.last?.message ?? '', /keeps changing our fallback or policy routing/);
});

test('changes that are minutes apart are put right without end', async () => {
  const scene = new Scene();
  await scene.serve(own);
  for (let time = 0; time < 8; time += 1) {
    scene.rules.changed = ['policy routing'];
    await scene.clock.advance(4 * beatMs);
    scene.rules.changed = [];
    await scene.clock.advance(90_000);
  }
  assert.deepEqual([scene.datapath.facts.restorations, scene.last?.intercepting], [8, true]);
});

test('silence is a reason to look at the rules at once', async () => {
  const scene = new Scene();
  await scene.serve(own);
  scene.silent.set(own, silent);
  await scene.clock.advance(beatMs);
  assert.equal(scene.rules.looks, 1);
  assert.equal(scene.datapath.facts.fallback.get(4), 7);
});

test('silence is a reason to lead what comes to the sockets again, unless a newer agent has it', async () => {
  const scene = new Scene();
  scene.silent.set(own, { ...silent, overtaken: true });
  await scene.serve(own);
  assert.equal(scene.misled, 0);
  scene.silent.set(own, silent);
  await scene.clock.advance(beatMs);
  assert.equal(scene.misled, 1);
});

test('what the kernel refuses is told, tried again at the next look, and forgotten when it works', async () => {
  const scene = new Scene();
  await scene.serve(own);
  scene.rules.refusal = new Error('nft refused the rules: no');
  await scene.datapath.commit(planOf(own, service));
  assert.deepEqual(scene.last, { intercepting: false, reason: 'RulesRefused', message: 'nft refused the rules: no' });
  scene.rules.refusal = undefined;
  await scene.clock.advance(4 * beatMs);
  assert.equal(scene.last?.intercepting, true);
  assert.deepEqual(scene.rules.plans.get(4)?.served, [own, service]);
});

test('a family that nothing is served of has no rules; removal takes all, and ends the beats', async () => {
  const scene = new Scene();
  await scene.serve(own, 'fd00::a');
  assert.deepEqual(scene.rules.families, [4, 6]);
  await scene.serve(own);
  await scene.clock.advance(6_000);
  assert.deepEqual(scene.rules.families, [4]);
  await scene.datapath.remove();
  await settle();
  assert.deepEqual([scene.rules.families, scene.clock.pending], [[], 0]);
  scene.datapath.close();
  assert.ok(scene.rules.closed);
});
