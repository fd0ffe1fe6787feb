/**
 * Keeps queries coming to the agent for as long as it answers them, and not a moment longer: puts the rules in place, gives
 * the signs of life without which they let everything pass, and watches what becomes of the packets.
 */
import { type Reason, reasons } from '../../api/v1alpha1/conditions.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Log } from '../log.ts';
import { type Family, families, familyOf } from './family.ts';
import type { Heartbeat } from './heartbeat.ts';
import { InputWatch } from './input-watch.ts';
import type { LoopProbe } from './loop-probe.ts';
import type { Counters, NodeRules } from './node-rules.ts';
import { type DatapathPlan, ofFamily, type PlannedAddress } from './plan.ts';
import { SocketWatch } from './socket-watch.ts';
import { SteeringWatch } from './steering-watch.ts';

/** Twice a second, and three may fail before interception ends. */
const beatMs = 500;
const aliveMs = 1_500;
/** Less than a beat, so that one that fails delays nobody. */
const answerMs = 450;
/** Connections go on for as long as an agent may take to drain. */
const drainMs = 5_000;
/** Rules are looked at every so many beats: what somebody removed is back well within 5 s. */
const beatsPerLook = 4;
/** Whoever undoes our rules more often than this means it. */
const maxRestorations = 5;
const restorationWindowMs = 5 * 60_000;
/** How long nothing is intercepted after something was found wrong that shows only while we intercept. */
const holdOffMs = 5 * 60_000;

/** What the condition Intercepting says. */
export interface Interception {
  intercepting: boolean;
  reason: Reason;
  message: string;
}

export type Rules = Pick<NodeRules, keyof NodeRules>;

export interface DatapathParts {
  rules: Rules;
  heartbeat: Pick<Heartbeat, 'ask' | 'close'>;
  loopProbe: Pick<LoopProbe, 'found'>;
  clock: Clock;
  log: Log;
  /** Whether the serving thread answers within so many milliseconds; asked over no network. */
  isServing: (timeoutMs: number) => Promise<boolean>;
  /** UDP queries that the listeners' sockets have received, heartbeats left out. */
  received: () => number;
  onChange: (interception: Interception) => void;
  /** What comes to our addresses is not led to this agent, and should be. */
  onMisled: () => void;
}

/** What metrics tell. */
export interface DatapathFacts {
  intercepting: boolean;
  restorations: number;
  missedBeats: number;
  counters: ReadonlyMap<Family, Counters>;
  fallback: ReadonlyMap<Family, number>;
}

export class Datapath {
  readonly #parts: DatapathParts;
  readonly #rules: Rules;
  readonly #inputs = new Map<Family, InputWatch>();
  readonly #outputs = new Map<Family, InputWatch>();
  readonly #sockets = new SocketWatch();
  readonly #steering = new SteeringWatch();
  readonly #counters = new Map<Family, Counters>();
  readonly #fallback = new Map<Family, number>();
  /** Changes of the rules, one after the other. */
  #order: Promise<void> = Promise.resolve();
  #plan: DatapathPlan | undefined;
  /** Addresses whose sockets are open; the others of the plan are not asked yet. */
  #answering: readonly string[] = [];
  #beats = 0;
  #missedBeats = 0;
  /** When each address was asked last of the questions that it answered. */
  readonly #answeredAtMs = new Map<string, number>();
  #servedAtMs: number | undefined;
  /** Not listened on any more: connections end there, and nothing new begins. */
  readonly #leaving = new Map<string, { at: PlannedAddress; untilMs: number }>();
  #beating = false;
  #timer: Timer | undefined;
  #withdrawn = false;
  #holdOff: { untilMs: number; interception: Interception } | undefined;
  #trouble: Interception | undefined;
  #restoredAtMs: number[] = [];
  #restorations = 0;
  #said: Interception | undefined;

  constructor(parts: DatapathParts) {
    this.#parts = parts;
    this.#rules = parts.rules;
  }

  get facts(): DatapathFacts {
    return {
      intercepting: this.#said?.intercepting ?? false,
      restorations: this.#restorations,
      missedBeats: this.#missedBeats,
      counters: this.#counters,
      fallback: this.#fallback,
    };
  }

  /** Whether its rules are in the kernel, as far as they shall be. */
  get stands(): boolean {
    return this.#trouble === undefined && this.#rules.families.length > 0;
  }

  /**
   * Before sockets open and close for `plan`: marked packets reach the addresses that are to come, and those that go are not
   * intercepted any more. What the kernel refuses is told by the condition, and tried again.
   */
  async prepare(plan: DatapathPlan): Promise<void> {
    const nowMs = this.#parts.clock.nowMs();
    const staying = new Set(plan.addresses.map(({ address }) => address));
    for (const at of this.#plan?.addresses ?? []) {
      if (!staying.has(at.address)) this.#leaving.set(at.address, { at, untilMs: nowMs + drainMs });
    }
    this.#answering = this.#answering.filter((address) => staying.has(address));
    this.#withdrawn = false;
    await this.#exclusively(async () => {
      await this.#put(plan);
      await this.#sign(this.#parts.clock.nowMs());
    });
  }

  /** The sockets of `plan` are open; those that have gone still drain. */
  async commit(plan: DatapathPlan): Promise<void> {
    this.#plan = plan;
    this.#answering = plan.addresses.map(({ address }) => address);
    for (const address of this.#answering) this.#leaving.delete(address);
    this.#restoredAtMs = [];
    this.#holdOff = undefined;
    await this.#exclusively(async () => {
      await this.#put(plan);
      await this.#beat();
    });
    this.#schedule();
  }

  /** New queries go elsewhere from now on; connections that we hold go on until the agent has drained. */
  async withdraw(): Promise<void> {
    this.#withdrawn = true;
    this.#timer?.cancel();
    const holding = (family: Family) => this.#servedOf(family).map((address) => ({ address, milliseconds: drainMs }));
    try {
      // Ahead of what waits in the queue: the agent is about to stop.
      await this.#rules.giveLifeSigns((family) => ({ alive: [], holding: holding(family) }));
    } catch (error) {
      this.#parts.log.warn({ error: (error as Error).message }, 'interception ends by itself');
    }
  }

  /** Takes everything of ours out of the kernel. */
  async remove(): Promise<void> {
    this.#timer?.cancel();
    this.#plan = undefined;
    this.#answering = [];
    this.#leaving.clear();
    await this.#exclusively(async () => {
      for (const family of this.#rules.families) await this.#rules.remove(family);
    });
  }

  /** Ends; what outlives the agent stays. */
  close(): void {
    this.#timer?.cancel();
    this.#withdrawn = true;
    this.#parts.heartbeat.close();
    this.#rules.close();
  }

  async #put(plan: DatapathPlan): Promise<void> {
    const leaving = [...this.#leaving.values()].map(({ at }) => at);
    for (const family of families) {
      const part = ofFamily({ ...plan, addresses: [...plan.addresses, ...leaving] }, family);
      if (part.served.length > 0) await this.#rules.put(family, part);
      else await this.#rules.remove(family);
    }
    this.#trouble = undefined;
  }

  #schedule(): void {
    this.#timer?.cancel();
    if (this.#plan === undefined || this.#withdrawn) return;
    this.#timer = this.#parts.clock.after(beatMs, () => {
      // The next beat is due in time whatever becomes of this one; one that hangs is not joined by others.
      this.#schedule();
      if (this.#beating) return;
      this.#beating = true;
      void this.#exclusively(() => this.#beat()).then(() => {
        this.#beating = false;
      });
    });
  }

  async #beat(): Promise<void> {
    const { heartbeat, isServing, clock } = this.#parts;
    const startedAtMs = clock.nowMs();
    const [pulses, serving] = await Promise.all([heartbeat.ask(this.#answering, answerMs), isServing(answerMs)]);
    if (this.#withdrawn || this.#plan === undefined) return;
    let silent = 0;
    for (const [address, { udp, tcp }] of pulses) {
      if (udp && tcp) this.#answeredAtMs.set(address, startedAtMs);
      else silent += 1;
    }
    this.#missedBeats += silent;
    if (serving) this.#servedAtMs = startedAtMs;
    const nowMs = clock.nowMs();
    await this.#forgetLeft(this.#plan, nowMs);
    await this.#sign(nowMs);
    for (const family of this.#rules.families) await this.#watchInput(family, nowMs);
    this.#watchSockets(nowMs, silent === 0);
    if (this.#steering.observe(pulses.values(), nowMs)) this.#parts.onMisled();
    this.#beats += 1;
    if (silent > 0 || this.#beats % beatsPerLook === 0) await this.#look(nowMs);
    if (await this.#parts.loopProbe.found(nowMs)) this.#standBack(nowMs, loopFound);
    this.#tell(nowMs);
  }

  /** One failed beat takes nothing away: what the last good one gave ends by itself. */
  async #sign(nowMs: number): Promise<void> {
    const rest = (atMs: number | undefined) => Math.floor(aliveMs - (nowMs - (atMs ?? Number.NEGATIVE_INFINITY)));
    const holdsOff = this.#holdOff !== undefined && this.#holdOff.untilMs > nowMs;
    await this.#rules.giveLifeSigns((family) => {
      const signs = (addresses: readonly string[], atMs: (address: string) => number | undefined) =>
        addresses.flatMap((address) => {
          const milliseconds = rest(atMs(address));
          return milliseconds > 0 ? [{ address, milliseconds }] : [];
        });
      const served = this.#servedOf(family);
      const leaving = [...this.#leaving.keys()].filter((address) => familyOf(address) === family);
      return {
        alive: holdsOff ? [] : signs(served, (address) => this.#answeredAtMs.get(address)),
        holding: signs([...served, ...leaving], () => this.#servedAtMs),
      };
    });
  }

  /** Connections to addresses that have gone have had their time. */
  async #forgetLeft(plan: DatapathPlan, nowMs: number): Promise<void> {
    const left = [...this.#leaving].filter(([, { untilMs }]) => untilMs <= nowMs);
    for (const [address] of left) this.#leaving.delete(address);
    if (left.length > 0) await this.#put(plan);
  }

  #servedOf(family: Family): string[] {
    return this.#answering.filter((address) => familyOf(address) === family);
  }

  async #watchInput(family: Family, nowMs: number): Promise<void> {
    const counters = this.#rules.counters(family);
    this.#counters.set(family, counters);
    const watch = this.#inputs.get(family) ?? new InputWatch();
    this.#inputs.set(family, watch);
    const doubt = watch.observe(
      {
        intercepted: counters.intercepted_udp + counters.intercepted_tcp,
        tried: counters.tried_udp + counters.tried_tcp,
        arrived: counters.arrived_udp + counters.arrived_tcp,
        proved: counters.proved,
      },
      nowMs,
    );
    await this.#watchOutput(family, counters, nowMs);
    if (!doubt) return;
    this.#parts.log.warn({ family }, 'intercepted queries do not arrive: each source is tried anew');
    await this.#rules.doubtEverybody(family);
  }

  /** Queries that arrive and whose answers do not leave are lost for everybody: there is nobody whom a trial could tell apart. */
  async #watchOutput(family: Family, { answered, left }: Counters, nowMs: number): Promise<void> {
    const watch = this.#outputs.get(family) ?? new InputWatch();
    this.#outputs.set(family, watch);
    const counts = { intercepted: answered, arrived: left, tried: 0, proved: 0 };
    if (!watch.observe(counts, nowMs)) return;
    this.#standBack(nowMs, answersDropped);
    // Connections of ours as well: cluster DNS resets them at once.
    await this.#rules.doubtEverybody(family);
  }

  #watchSockets(nowMs: number, answering: boolean): void {
    const passed = [...this.#counters.values()].reduce((sum, counts) => sum + counts.arrived_udp + counts.local_udp, 0);
    if (this.#sockets.observe(passed, this.#parts.received(), answering)) this.#standBack(nowMs, socketsSilent);
  }

  async #look(nowMs: number): Promise<void> {
    const plan = this.#plan;
    if (this.#trouble !== undefined && plan !== undefined) await this.#put(plan);
    if (this.#isContested) return;
    const restored: string[] = [];
    for (const family of this.#rules.families) {
      restored.push(...(await this.#rules.restore(family)));
      this.#fallback.set(family, this.#rules.fallbackPackets(family));
    }
    if (restored.length === 0) return;
    this.#restorations += 1;
    this.#restoredAtMs = [...this.#restoredAtMs.filter((atMs) => nowMs - atMs < restorationWindowMs), nowMs];
    this.#parts.log.warn({ restored }, 'somebody had changed our rules: restored');
    if (!this.#isContested) return;
    // What intercepts is nobody else's to change, and to end it would leave our own addresses to a fallback that may be gone.
    if (this.#rules.owned) this.#parts.log.error({ reason: reasons.rulesRemoved }, rulesContested);
    else this.#standBack(nowMs, rulesRemoved);
  }

  /** Somebody keeps changing what is ours: it is left alone until the configuration changes. */
  get #isContested(): boolean {
    return this.#restoredAtMs.length >= maxRestorations;
  }

  /** Not until it has been looked at again, or the configuration changes. */
  #standBack(nowMs: number, interception: Interception): void {
    this.#holdOff = { untilMs: nowMs + holdOffMs, interception };
    this.#parts.log.error({ reason: interception.reason }, interception.message);
    void this.#rules.giveLifeSigns(() => ({ alive: [], holding: [] })).catch(() => undefined);
  }

  /** What goes wrong here is told by the condition; interception ends by itself meanwhile. */
  #exclusively(change: () => Promise<void>): Promise<void> {
    const done = this.#order.then(change);
    this.#order = done.catch((error: Error) => {
      this.#trouble = { intercepting: false, reason: reasons.rulesRefused, message: error.message };
      this.#tell(this.#parts.clock.nowMs());
    });
    return this.#order;
  }

  #tell(nowMs: number): void {
    const next = this.#judge(nowMs);
    const before = this.#said;
    if (before?.reason === next.reason && before.message === next.message) return;
    this.#said = next;
    this.#parts.onChange(next);
  }

  #judge(nowMs: number): Interception {
    if (this.#trouble !== undefined) return this.#trouble;
    if (this.#holdOff !== undefined && this.#holdOff.untilMs > nowMs) return this.#holdOff.interception;
    const silent = this.#answering.find(
      (address) => nowMs - (this.#answeredAtMs.get(address) ?? Number.NEGATIVE_INFINITY) > aliveMs,
    );
    if (silent !== undefined) {
      const message = `the listener on ${silent} does not answer the agent's own heartbeat; its queries take the way they took without us`;
      return { intercepting: false, reason: reasons.notAnswering, message };
    }
    const verdicts = [...this.#inputs.values()].map((watch) => watch.verdict(nowMs));
    if (verdicts.some(({ blocked }) => blocked)) return inputDropped;
    const where = `queries to ${this.#answering.join(', ')} are answered here`;
    const some = verdicts.some(({ partly }) => partly)
      ? '; those of some pods, over one transport or to one address it may be, are left alone, because a rule of the node drops them on their way to the agent (INPUT)'
      : '';
    const contested = this.#isContested ? `; ${rulesContested}` : '';
    return { intercepting: true, reason: reasons.intercepting, message: where + some + contested };
  }
}

const inputDropped: Interception = {
  intercepting: false,
  reason: reasons.inputDropped,
  message:
    'a rule of the node drops intercepted queries on their way to the agent (hook INPUT: firewalld, ufw, a network plugin): let UDP and TCP port 53 in from pods; until then they take the way they took without us',
};

const answersDropped: Interception = {
  intercepting: false,
  reason: reasons.answersDropped,
  message:
    "a rule of the node drops the agent's answers on their way to pods (hook OUTPUT): let UDP and TCP from port 53 of its addresses out, tracked or not, or set tracked: true; until then queries take the way they took without us",
};

export const loopFound: Interception = {
  intercepting: false,
  reason: reasons.loopFound,
  message:
    'a query of the agent to its upstream servers came back to it: something that it forwards to forwards to it; look at what those servers forward to',
};

const socketsSilent: Interception = {
  intercepting: false,
  reason: reasons.inputDropped,
  message:
    'intercepted queries pass the rules of the node and do not reach the sockets of the agent: a BPF program of a network plugin may drop them',
};

const rulesContested =
  'something on this node keeps changing our fallback or policy routing, and they are left alone: if the agent dies, nobody may answer at its own addresses; find it and let it leave them alone';

const rulesRemoved: Interception = {
  intercepting: false,
  reason: reasons.rulesRemoved,
  message:
    'something on this node keeps changing our packet rules or policy routing: find it and let it leave them alone',
};
