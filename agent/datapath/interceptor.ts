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
import type { NodeNames } from './node-names.ts';
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
/** How soon an agent that lived under other names is seen to have ended. */
const otherNamesMs = 500;

export interface InterceptorParts {
  names: Pick<NodeNames, keyof NodeNames>;
  /** By option: what agents of before have left in the kernel goes, and nothing is put there. */
  isOff: boolean;
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
  /** Undefined: nothing of the kernel's is used. */
  names?: DatapathNames;
}

/** What is in the kernel, and under which names. */
interface Standing {
  names: DatapathNames;
  datapath: Datapath;
  loopProbe: LoopProbe;
}

export type ArrangementFacts = Pick<PlanFacts, 'clusterDns' | 'nodeDns'> & { given: ListenAddresses };

export class Interceptor {
  readonly #parts: InterceptorParts;
  /** Without a mark, which nobody looks for and which takes a privilege. */
  readonly #plainLoopProbe: LoopProbe;
  #loopLook: Timer | undefined;
  #standing: Standing | undefined;
  /** Intercepts nothing any more, and goes once what follows it stands. */
  #before: Standing | undefined;
  #otherNames: Timer | undefined;
  #cleared:
    | (Clearance & {
        wanted: DatapathPlan;
        names: DatapathNames;
        hasIpv6: boolean;
        findings: readonly Finding[];
        atMs: number;
      })
    | undefined;
  #chance: Timer | undefined;
  #committed: DatapathPlan | undefined;
  #found: Interception | undefined;
  #excluded: Interception | undefined;

  constructor(parts: InterceptorParts) {
    this.#parts = parts;
    this.#plainLoopProbe = new LoopProbe(parts.startKey, undefined, parts.loops, parts.clock);
  }

  /** Intercepting means all that was wanted, as in the condition: the datapath knows nothing of what was excluded before. */
  get facts(): DatapathFacts | undefined {
    const facts = this.#standing?.datapath.facts;
    return facts && { ...facts, intercepting: this.#found?.intercepting ?? false };
  }

  /** Looks at the node where that is new; never rejects. */
  async arrange(config: NodeConfig, { clusterDns, nodeDns, given }: ArrangementFacts): Promise<Arrangement> {
    const listeners = new Set(Object.keys(given) as ListenerName[]);
    const facts = (barred: ReadonlySet<string>, ipv6: boolean): PlanFacts => ({
      ...{ clusterDns, nodeDns, given: listeners, ipv6, barred },
    });
    const wanted = planDatapath(config, facts(new Set(), true));
    if (wanted.addresses.length === 0) {
      this.#say({ intercepting: false, reason: reasons.notWanted, message: 'no listener has an address to intercept' });
      return { listen: given, plan: wanted };
    }
    if (this.#parts.isOff) {
      const message = 'switched off by the option --no-datapath';
      return this.#plainly(wanted, given, { intercepting: false, reason: reasons.notWanted, message });
    }
    const names = await this.#parts.names.choose();
    this.#watchOtherNames(names);
    const { obstacle, excluded, hasIpv6 } = await this.#clear(
      wanted,
      given,
      names,
      this.#parts.names.othersThan(names),
    );
    if (obstacle !== undefined) {
      const why = { intercepting: false, reason: obstacle.reason, message: obstacle.message };
      return { ...this.#plainly(wanted, given, why), names };
    }
    const first = [...excluded.values()][0];
    this.#excluded = first && { intercepting: false, reason: first.reason, message: first.message };
    const plan = planDatapath(config, facts(new Set(excluded.keys()), hasIpv6));
    return { listen: listenAddresses(plan, given), plan, names };
  }

  /** Before the sockets of an arrangement open. */
  async prepare({ plan, names }: Arrangement): Promise<void> {
    if (plan.addresses.length === 0 || names === undefined) return;
    await this.#parts.names.note(names);
    await (await this.#open(names))?.datapath.prepare(plan);
    await this.#tidy();
  }

  /** The sockets of an arrangement are open, and no others. */
  async commit({ plan, names }: Arrangement, upstreams: readonly string[]): Promise<void> {
    this.#committed = plan;
    this.#loopLook?.cancel();
    const servers = upstreams.flatMap((text) => parseEndpoint(text) ?? []);
    if (plan.addresses.length === 0 || names === undefined) {
      this.#plainLoopProbe.watch(servers);
      this.#lookForLoops();
      await this.#standing?.datapath.remove();
      if (!this.#parts.isOff) return;
      // Where it listens, a fallback would lead queries away.
      await this.#tidy();
      this.#watchOtherNames(undefined);
      return;
    }
    const standing = await this.#open(names);
    standing?.loopProbe.watch(servers);
    await standing?.datapath.commit(plan);
    await this.#tidy();
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
      await this.#standing?.datapath.commit(this.#committed);
  }

  async withdraw(): Promise<void> {
    await this.#standing?.datapath.withdraw();
  }

  /** This node is not served any more. */
  async remove(): Promise<void> {
    this.#committed = undefined;
    this.#chance?.cancel();
    this.#loopLook?.cancel();
    this.#otherNames?.cancel();
    this.#before?.datapath.close();
    this.#before = undefined;
    await this.#standing?.datapath.remove();
    await this.#parts.names.removeOthers(undefined);
    this.#say({ intercepting: false, reason: reasons.notServing, message: 'this node is not served' });
  }

  close(): void {
    this.#chance?.cancel();
    this.#loopLook?.cancel();
    this.#otherNames?.cancel();
    this.#before?.datapath.close();
    this.#standing?.datapath.close();
  }

  /** An agent that lives under other names ends, and nobody tells. */
  #watchOtherNames(current: DatapathNames | undefined): void {
    const { names, clock, onChance } = this.#parts;
    this.#otherNames?.cancel();
    const isAsGiven = current === undefined || isDeepStrictEqual(current, names.given);
    if (isAsGiven && names.othersThan(current).length === 0) return;
    this.#otherNames = clock.after(otherNamesMs, async () => {
      if (current !== undefined && !isDeepStrictEqual(await names.choose(), current)) {
        onChance();
        return;
      }
      await this.#tidy();
      this.#watchOtherNames(current);
    });
  }

  /** Until what follows stands, what was before it leads our own addresses to somebody who answers. */
  async #tidy(): Promise<void> {
    if (!this.#parts.isOff && this.#standing?.datapath.stands !== true) return;
    this.#before?.datapath.close();
    this.#before = undefined;
    await this.#parts.names.removeOthers(this.#standing?.names);
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

  async #clear(wanted: DatapathPlan, given: ListenAddresses, names: DatapathNames, others: readonly DatapathNames[]) {
    const { clock, look = gatherFacts } = this.#parts;
    const known = this.#cleared;
    const isDue = known !== undefined && isHindered(known) && clock.nowMs() - known.atMs >= lookAgainMs;
    const isSame =
      isDeepStrictEqual(known?.wanted.addresses, wanted.addresses) && isDeepStrictEqual(known?.names, names);
    if (known !== undefined && !isDue && isSame) return known;
    const facts = await look(wantedOf(wanted, given, names, others));
    const findings = preflight(facts);
    this.#logNews(findings, known?.findings ?? []);
    const { hasIpv6 } = facts;
    const cleared = { wanted, names, ...clearance(findings, facts), hasIpv6, findings, atMs: clock.nowMs() };
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

  /** Under other names than before: nothing is intercepted under those from now on. */
  async #open(names: DatapathNames): Promise<Standing | undefined> {
    const { names: nodeNames, startKey, clock, log, isServing, received, loops, onMisled, onDescriptor } = this.#parts;
    if (isDeepStrictEqual(this.#standing?.names, names)) return this.#standing;
    const libc = loadLibc();
    if (!isLibc(libc)) return undefined;
    await this.#standing?.datapath.withdraw();
    this.#before = this.#standing;
    const loopProbe = new LoopProbe(startKey, names.marks.own, loops, clock);
    const datapath = new Datapath({
      ...{ clock, log, isServing, received, onMisled, loopProbe },
      rules: new NodeRules(tellingOfDescriptors(libc, onDescriptor), names, nodeNames.startId(names)),
      heartbeat: new Heartbeat(startKey, names.marks.intercept),
      onChange: (interception) => this.#say(interception),
    });
    this.#standing = { names, datapath, loopProbe };
    return this.#standing;
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
