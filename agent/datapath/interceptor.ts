/**
 * The datapath as the control worker uses it: looks first what is possible on this node, and says what is and why not.
 * Where nothing is, the agent listens as any program does, and the node stays on the DNS that it had.
 */
import { isDeepStrictEqual } from 'node:util';
import { dnsPort, parseEndpoint } from '../../api/v1alpha1/address.ts';
import { reasons } from '../../api/v1alpha1/conditions.ts';
import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type { Clock, Timer } from '../clock.ts';
import { type DescriptorNotice, tellingOfDescriptors } from '../descriptors.ts';
import { isLibc, loadLibc } from '../libc.ts';
import type { ListenAddresses, ListenerName } from '../listen/listeners.ts';
import type { Log } from '../log.ts';
import { Datapath, type DatapathFacts, type Interception, loopFound } from './datapath.ts';
import { Heartbeat } from './heartbeat.ts';
import { LoopProbe } from './loop-probe.ts';
import type { DatapathNames } from './names.ts';
import { NodeRules } from './node-rules.ts';
import { type DatapathPlan, listenAddresses, type PlanFacts, planDatapath } from './plan.ts';
import { type NodeFacts, type Wanted, wantedOf } from './preflight/facts.ts';
import type { Finding } from './preflight/finding.ts';
import { gatherFacts } from './preflight/gather.ts';
import { type Clearance, clearance, preflight } from './preflight.ts';

/** What was in the way may have gone, and nobody tells: another program's socket, an address, a rule. */
const lookAgainMs = 30_000;
/** Where nothing is intercepted no heartbeat looks for loops. */
const loopLookMs = 1_000;

export interface InterceptorParts {
  /** Undefined: switched off by option. */
  names: DatapathNames | undefined;
  startKey: Buffer;
  clock: Clock;
  log: Log;
  isServing: (timeoutMs: number) => Promise<boolean>;
  /** UDP queries that the listeners' sockets have received, heartbeats left out. */
  received: () => number;
  /** Loop probes that have come in at our listeners. */
  loops: () => number;
  onChange: (interception: Interception) => void;
  /** See {@link DatapathParts.onMisled}. */
  onMisled: () => void;
  /** What has to be closed where this thread dies, and is not its process. */
  onDescriptor: (notice: DescriptorNotice) => void;
  /** It is time to arrange anew: something was in the way, and may have gone. */
  onChance: () => void;
  look?: (wanted: Wanted) => Promise<NodeFacts>;
}

/** Where to listen for a configuration, and what is to be intercepted for it. */
export interface Arrangement {
  listen: ListenAddresses;
  plan: DatapathPlan;
}

export type ArrangementFacts = Pick<PlanFacts, 'clusterDns' | 'nodeDns'> & { given: ListenAddresses };

export class Interceptor {
  readonly #parts: InterceptorParts;
  readonly #loopProbe: LoopProbe;
  /** Without a mark, which nobody looks for and which takes a privilege. */
  readonly #plainLoopProbe: LoopProbe;
  #loopLook: Timer | undefined;
  #datapath: Datapath | undefined;
  #cleared:
    | (Clearance & { wanted: DatapathPlan; hasIpv6: boolean; findings: readonly Finding[]; atMs: number })
    | undefined;
  #chance: Timer | undefined;
  #committed: DatapathPlan | undefined;
  #found: Interception | undefined;
  #excluded: Interception | undefined;

  constructor(parts: InterceptorParts) {
    this.#parts = parts;
    this.#loopProbe = new LoopProbe(parts.startKey, parts.names?.marks.own ?? 0, parts.loops, parts.clock);
    this.#plainLoopProbe = new LoopProbe(parts.startKey, undefined, parts.loops, parts.clock);
  }

  /** Intercepting means all that was wanted, as in the condition: the datapath knows nothing of what was excluded before. */
  get facts(): DatapathFacts | undefined {
    const facts = this.#datapath?.facts;
    return facts && { ...facts, intercepting: this.#found?.intercepting ?? false };
  }

  /** Looks at the node where that is new; never rejects. */
  async arrange(config: NodeConfig, { clusterDns, nodeDns, given }: ArrangementFacts): Promise<Arrangement> {
    const names = new Set(Object.keys(given) as ListenerName[]);
    const facts = (barred: ReadonlySet<string>, ipv6: boolean): PlanFacts => ({
      ...{ clusterDns, nodeDns, given: names, ipv6, barred },
    });
    const wanted = planDatapath(config, facts(new Set(), true));
    if (wanted.addresses.length === 0) {
      this.#say({ intercepting: false, reason: reasons.notWanted, message: 'no listener has an address to intercept' });
      return { listen: given, plan: wanted };
    }
    if (this.#parts.names === undefined) {
      const message = 'switched off by the option --no-datapath';
      return this.#plainly(wanted, given, { intercepting: false, reason: reasons.notWanted, message });
    }
    const { obstacle, excluded, hasIpv6 } = await this.#clear(wanted, given, this.#parts.names);
    if (obstacle !== undefined) {
      return this.#plainly(wanted, given, { intercepting: false, reason: obstacle.reason, message: obstacle.message });
    }
    const first = [...excluded.values()][0];
    this.#excluded = first && { intercepting: false, reason: first.reason, message: first.message };
    const plan = planDatapath(config, facts(new Set(excluded.keys()), hasIpv6));
    return { listen: listenAddresses(plan, given), plan };
  }

  /** Before the sockets of an arrangement open. */
  async prepare({ plan }: Arrangement): Promise<void> {
    if (plan.addresses.length > 0) await this.#open()?.prepare(plan);
  }

  /** The sockets of an arrangement are open, and no others. */
  async commit({ plan }: Arrangement, upstreams: readonly string[]): Promise<void> {
    this.#committed = plan;
    this.#loopLook?.cancel();
    const servers = upstreams.flatMap((text) => parseEndpoint(text) ?? []);
    if (plan.addresses.length === 0) {
      this.#plainLoopProbe.watch(servers);
      this.#lookForLoops();
      await this.#datapath?.remove();
      return;
    }
    this.#loopProbe.watch(servers);
    await this.#open()?.commit(plan);
  }

  /** Whom nothing leads here serves on all the same: what loops is said, and is the server's to end. */
  #lookForLoops(): void {
    const { clock, log } = this.#parts;
    this.#loopLook = clock.after(loopLookMs, async () => {
      this.#lookForLoops();
      if (await this.#plainLoopProbe.found(clock.nowMs())) log.error({ reason: loopFound.reason }, loopFound.message);
    });
  }

  /** An arrangement that was prepared has not come to be: what was before holds. */
  async revert(): Promise<void> {
    if (this.#committed !== undefined && this.#committed.addresses.length > 0)
      await this.#datapath?.commit(this.#committed);
  }

  async withdraw(): Promise<void> {
    await this.#datapath?.withdraw();
  }

  /** This node is not served any more. */
  async remove(): Promise<void> {
    this.#committed = undefined;
    this.#chance?.cancel();
    this.#loopLook?.cancel();
    await this.#datapath?.remove();
    this.#say({ intercepting: false, reason: reasons.notServing, message: 'this node is not served' });
  }

  close(): void {
    this.#chance?.cancel();
    this.#loopLook?.cancel();
    this.#datapath?.close();
  }

  /** Addresses as any program would listen on them: they have to be on an interface. */
  #plainly({ addresses }: DatapathPlan, given: ListenAddresses, why: Interception): Arrangement {
    this.#say(why);
    const listen: ListenAddresses = { ...given };
    for (const { listener, address, own } of addresses) {
      if (own) listen[listener] = [...(listen[listener] ?? []), { address, port: dnsPort }];
    }
    return { listen, plan: { addresses: [], backends: { cluster: [], node: [] }, clusterDns: [] } };
  }

  async #clear(wanted: DatapathPlan, given: ListenAddresses, names: DatapathNames) {
    const { clock, look = gatherFacts } = this.#parts;
    const known = this.#cleared;
    const isDue = known !== undefined && isHindered(known) && clock.nowMs() - known.atMs >= lookAgainMs;
    if (known !== undefined && !isDue && isDeepStrictEqual(known.wanted.addresses, wanted.addresses)) return known;
    const facts = await look(wantedOf(wanted, given, names));
    const findings = preflight(facts);
    this.#logNews(findings, known?.findings ?? []);
    const { hasIpv6 } = facts;
    const cleared = { wanted, ...clearance(findings, facts), hasIpv6, findings, atMs: clock.nowMs() };
    this.#cleared = cleared;
    this.#chance?.cancel();
    if (isHindered(cleared)) this.#chance = clock.after(lookAgainMs, this.#parts.onChance);
    return cleared;
  }

  #logNews(findings: readonly Finding[], before: readonly Finding[]): void {
    const isNews = (finding: Finding) => !before.some((each) => isDeepStrictEqual(each, finding));
    for (const { check, level, reason, message } of findings.filter(isNews)) {
      if (level === 'blocking') this.#parts.log.error({ check, reason }, message);
      else if (level === 'warning') this.#parts.log.warn({ check, reason }, message);
    }
  }

  #open(): Datapath | undefined {
    const { names, startKey, clock, log, isServing, received, onMisled, onDescriptor } = this.#parts;
    if (this.#datapath !== undefined || names === undefined) return this.#datapath;
    const libc = loadLibc();
    if (!isLibc(libc)) return undefined;
    this.#datapath = new Datapath({
      ...{ clock, log, isServing, received, onMisled },
      rules: new NodeRules(tellingOfDescriptors(libc, onDescriptor), names, startKey.readUInt32BE(0)),
      heartbeat: new Heartbeat(startKey, names.marks.intercept),
      loopProbe: this.#loopProbe,
      onChange: (interception) => this.#say(interception),
    });
    return this.#datapath;
  }

  /** What cannot be intercepted at all outweighs that the rest is. */
  #say(interception: Interception): void {
    const next = interception.intercepting && this.#excluded !== undefined ? this.#excluded : interception;
    if (isDeepStrictEqual(next, this.#found)) return;
    this.#found = next;
    this.#parts.log.info({ intercepting: next.intercepting, reason: next.reason }, next.message);
    this.#parts.onChange(next);
  }
}

function isHindered({ obstacle, excluded }: Clearance): boolean {
  return obstacle !== undefined || excluded.size > 0;
}
