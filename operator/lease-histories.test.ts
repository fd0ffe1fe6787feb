/**
 * Random histories: operators that freeze, requests that hang, answers that get lost, an API server that goes away, clocks that run
 * at different speeds and are set. Whatever happens, two never may write at once; and when it is over, one leads.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../kube/clock.ts';
import { ApiError, TimeoutError, UnreachableError } from '../kube/errors.ts';
import type { KubeObject } from '../kube/resource.ts';
import { Random } from '../test/fuzz/random.ts';
import { isNightly } from '../test/tools/nightly.ts';
import { defaultLeaseTiming, LeaderElection } from './lease.ts';

const histories = isNightly ? 2_000 : 40;
const stepMs = 250;
const troubledSteps = 4 * 200;
const quietSteps = 4 * 40;
const requestTimeoutMs = 5_000;
/** Between the moment when one may not write any more and the next one's first: for what is under way. */
const graceMs = defaultLeaseTiming.durationMs - defaultLeaseTiming.renewDeadlineMs;

class World {
  nowMs = 0;
  isApiAway = false;
  /** How long the API server takes at most for what it is asked next. */
  slownessMs = 0;
  /** The share of answers that never arrive. */
  lossRatio = 0.05;
  readonly random: () => number;
  readonly #tasks: { dueMs: number; run: () => void }[] = [];
  #lease: { metadata: { name: string; resourceVersion: string }; spec: Record<string, unknown> } | undefined;
  #version = 0;

  constructor(seed: number) {
    const random = new Random(seed);
    this.random = () => random.below(2 ** 30) / 2 ** 30;
  }

  at(dueMs: number, run: () => void): void {
    this.#tasks.push({ dueMs, run });
  }

  runDue(): void {
    const due = this.#tasks.filter(({ dueMs }) => dueMs <= this.nowMs).sort((a, b) => a.dueMs - b.dueMs);
    for (const task of due) this.#tasks.splice(this.#tasks.indexOf(task), 1);
    for (const { run } of due) run();
  }

  /** What the API server answers at this moment. */
  carryOut(
    verb: 'get' | 'create' | 'patch',
    object?: { metadata: { resourceVersion?: string }; spec: object },
  ): unknown {
    if (verb === 'get') return structuredClone(this.#lease);
    if (verb === 'create' && this.#lease !== undefined) throw new ApiError(409, 'AlreadyExists', 'exists');
    const isStale = object?.metadata.resourceVersion !== this.#lease?.metadata.resourceVersion;
    if (verb === 'patch' && isStale) throw new ApiError(409, 'Conflict', 'stale');
    const merged = Object.entries({ ...this.#lease?.spec, ...object?.spec }).filter(([, value]) => value !== null);
    this.#version += 1;
    const metadata = { name: 'lease', resourceVersion: `${this.#version}` };
    this.#lease = { metadata, spec: Object.fromEntries(merged) };
    return structuredClone(this.#lease);
  }
}

/** One operator: its own clock, which runs on while it is frozen and calls nobody then. */
class Contender {
  readonly name: string;
  readonly election: LeaderElection;
  frozenUntilMs = 0;
  /** When it might write last, in the time of the world. */
  heldAtMs = Number.NEGATIVE_INFINITY;
  gaveBack = false;
  readonly #world: World;
  readonly #speed: number;
  #wallOffsetMs = 0;
  readonly #timers = new Set<{ dueMs: number; run: () => void }>();
  #inbox: (() => void)[] = [];

  constructor(name: string, world: World) {
    this.name = name;
    this.#world = world;
    this.#speed = 0.99 + world.random() / 50;
    const clock: Clock = {
      nowMs: () => this.#nowMs(),
      date: () => new Date(Date.UTC(2026, 0, 1) + this.#nowMs() + this.#wallOffsetMs),
      after: (delayMs, run) => {
        const timer = { dueMs: this.#nowMs() + delayMs, run };
        this.#timers.add(timer);
        return () => this.#timers.delete(timer);
      },
      random: world.random,
    };
    this.election = new LeaderElection({
      client: {
        get: async <T>() => (await this.#ask('get')) as T | undefined,
        create: async <T>(_resource: unknown, object: T) => (await this.#ask('create', object)) as T,
        mergePatch: async <T>(_resource: unknown, _name: string, patch: object) =>
          (await this.#ask('patch', patch)) as T,
      } as never,
      namespace: 'system',
      name: 'lease',
      identity: name,
      timing: defaultLeaseTiming,
      clock,
      onChange: () => {},
      onTrouble: () => {},
    });
  }

  get isFrozen(): boolean {
    return this.#world.nowMs < this.frozenUntilMs;
  }

  setWallClock(offsetMs: number): void {
    this.#wallOffsetMs = offsetMs;
  }

  /** What has arrived comes before what has fallen due, as in an event loop that was stopped. */
  run(): void {
    if (this.isFrozen) return;
    for (const deliver of this.#inbox.splice(0)) deliver();
    const due = [...this.#timers].filter(({ dueMs }) => dueMs <= this.#nowMs()).sort((a, b) => a.dueMs - b.dueMs);
    for (const timer of due) if (this.#timers.delete(timer)) timer.run();
  }

  #nowMs(): number {
    return this.#world.nowMs * this.#speed;
  }

  /** The request and its answer each take their time, and either may be lost. */
  #ask(verb: 'get' | 'create' | 'patch', object?: unknown): Promise<unknown> {
    const world = this.#world;
    return new Promise((resolve, reject) => {
      const timer = { dueMs: this.#nowMs() + requestTimeoutMs, run: () => reject(new TimeoutError('no answer')) };
      this.#timers.add(timer);
      const answer = (deliver: () => void): void => {
        world.at(world.nowMs + world.random() * world.slownessMs, () => {
          this.#inbox.push(() => {
            this.#timers.delete(timer);
            deliver();
          });
        });
      };
      const isLost = world.random() < world.lossRatio;
      world.at(world.nowMs + world.random() * world.slownessMs, () => {
        if (world.isApiAway) return answer(() => reject(new UnreachableError('away')));
        try {
          const answered = world.carryOut(verb, object as (KubeObject & { spec: object }) | undefined);
          if (!isLost) answer(() => resolve(answered));
        } catch (error) {
          answer(() => reject(error));
        }
      });
    });
  }
}

for (let seed = 1; seed <= histories; seed++) {
  test(`two never may write at once, and in the end one leads (history ${seed})`, () => play(seed));
}

async function play(seed: number): Promise<void> {
  const world = new World(seed);
  const contenders = ['a', 'b', 'c'].map((name) => new Contender(name, world));
  for (const { election } of contenders) election.start();
  let leader: Contender | undefined;
  for (let step = 0; step < troubledSteps + quietSteps; step++) {
    world.nowMs += stepMs;
    if (step < troubledSteps) makeTrouble(world, contenders);
    else if (step === troubledSteps) endTrouble(world, contenders);
    world.runDue();
    for (const contender of contenders) contender.run();
    for (let turns = 0; turns < 4; turns++) await turn();
    // A frozen one writes nothing now: what it would do in the moment of its thaw is what counts, and that is looked at then.
    const held = contenders.filter(({ election }) => election.isHeld());
    const names = held.map(({ name }) => name).join();
    assert.ok(held.length <= 1, `${names} at ${world.nowMs} ms`);
    const [now] = held;
    if (now === undefined) continue;
    if (now !== leader) {
      const since = world.nowMs - (leader?.heldAtMs ?? Number.NEGATIVE_INFINITY);
      // A step each way, and clocks that differ by a hundredth.
      assert.ok(
        since >= graceMs - 3 * stepMs,
        `${now.name} follows ${leader?.name} after ${since} ms, at ${world.nowMs} ms`,
      );
    }
    leader = now;
    now.heldAtMs = world.nowMs;
  }
  assert.ok(leader?.election.isHeld(), 'nobody leads in the end');
}

function makeTrouble(world: World, contenders: readonly Contender[]): void {
  const { random } = world;
  if (random() < 0.02) world.slownessMs = random() < 0.5 ? random() * 500 : random() * 12_000;
  if (random() < (world.isApiAway ? 0.05 : 0.005)) world.isApiAway = !world.isApiAway;
  for (const contender of contenders) {
    if (random() < 0.01) contender.frozenUntilMs = world.nowMs + random() * 40_000;
    if (random() < 0.005) contender.setWallClock((random() - 0.5) * 7_200_000);
  }
}

function endTrouble(world: World, contenders: readonly Contender[]): void {
  world.slownessMs = 100;
  world.lossRatio = 0;
  world.isApiAway = false;
  for (const contender of contenders) contender.frozenUntilMs = 0;
}
