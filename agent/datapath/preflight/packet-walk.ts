/**
 * What somebody else's rules do with a query that we caught, or with its answer: a walk through their chains as `nft -j list ruleset` shows
 * them (libnftables-json(5)). Not everything can be judged from outside (named sets, extensions of iptables): what may
 * match or not is taken for a rule that does not match, and remembered where it could have saved the packet.
 */
import { BlockList, isIP } from 'node:net';
import type { NftObject } from '../nft.ts';
import { familyName } from './facts.ts';

/** A query on its way to an agent, or an answer on its way to a pod. What of it is a pod's is not known. */
export interface Packet {
  readonly protocol: 'udp' | 'tcp';
  readonly family: 'ipv4' | 'ipv6';
  readonly source: { readonly address?: string; readonly port?: number };
  readonly destination: { readonly address?: string; readonly port?: number };
  /** Where it comes in, or goes out: a pod's interface, which cannot be known, and is not loopback. */
  readonly passes: 'iif' | 'oif';
  readonly mark: number;
  /** What connection tracking says of it. */
  readonly state: 'untracked' | 'new' | 'established';
}

export type Answer = 'yes' | 'no' | 'maybe';
type Json = Record<string, unknown>;

export interface Rule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly expr: readonly Json[];
}

export interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly type?: string;
  readonly hook?: string;
  readonly prio?: number;
  readonly policy?: string;
}

export interface Fate {
  readonly verdict: 'accept' | 'drop';
  /** A rule that may match could have let it through. */
  readonly couldPass: boolean;
}

interface Walk {
  /** `through`: no rule has decided; the chain that called goes on. */
  readonly verdict: 'accept' | 'drop' | 'through';
  readonly couldPass: boolean;
}

/** All chains and rules of a node, by where they stand. */
export class Ruleset {
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
  readonly #byChain: Map<string, Rule[]>;

  constructor(objects: readonly NftObject[]) {
    this.chains = objects.flatMap(({ chain }) => (chain ? [chain as unknown as Chain] : []));
    this.rules = objects.flatMap(({ rule }) => (rule ? [rule as unknown as Rule] : []));
    this.#byChain = Map.groupBy(this.rules, (rule) => key(rule.family, rule.table, rule.chain)) as Map<string, Rule[]>;
  }

  rulesOf({ family, table, name }: Chain): readonly Rule[] {
    return this.#byChain.get(key(family, table, name)) ?? [];
  }

  /** Chains that hang in a hook, and through which a packet of the address's family comes. */
  hooked(hook: string, daddr: string): Chain[] {
    const families = ['inet', familyName(daddr) === 'ipv4' ? 'ip' : 'ip6'];
    return this.chains.filter((chain) => chain.hook === hook && families.includes(chain.family));
  }

  /** Every rule to which a chain leads, with those of the chains that it calls. */
  reachable(from: Chain): Rule[] {
    const seen = new Set<string>();
    const visit = (chain: Chain): Rule[] => {
      if (seen.has(chain.name)) return [];
      seen.add(chain.name);
      return this.rulesOf(chain).flatMap((rule) => [
        rule,
        ...targetsOf(rule).flatMap((name) => visit({ ...chain, name })),
      ]);
    };
    return visit(from);
  }

  fate(base: Chain, packet: Packet): Fate {
    const walk = this.#walk(base, packet, new Map());
    if (walk.verdict !== 'through') return { verdict: walk.verdict, couldPass: walk.couldPass };
    return { verdict: base.policy === 'drop' ? 'drop' : 'accept', couldPass: walk.couldPass };
  }

  /** @param known what became of the packet in chains that were walked before; many rules may call one chain */
  #walk(chain: Chain, packet: Packet, known: Map<string, Walk>): Walk {
    const before = known.get(chain.name);
    if (before !== undefined) return before;
    // The kernel lets no chain call itself; what claims to ends here.
    known.set(chain.name, { verdict: 'through', couldPass: true });
    const walk = this.#walkRules(chain, packet, known);
    known.set(chain.name, walk);
    return walk;
  }

  #walkRules(chain: Chain, packet: Packet, known: Map<string, Walk>): Walk {
    let couldPass = false;
    for (const rule of this.rulesOf(chain)) {
      const { answer, action } = judge(rule, packet);
      if (answer === 'no' || action === undefined) continue;
      const call =
        action.target === undefined ? undefined : this.#walk({ ...chain, name: action.target }, packet, known);
      if (answer === 'maybe') {
        couldPass ||= call === undefined ? action.kind !== 'drop' : call.couldPass || call.verdict === 'accept';
        continue;
      }
      if (call !== undefined) {
        couldPass ||= call.couldPass;
        if (call.verdict !== 'through') return { verdict: call.verdict, couldPass };
        if (action.kind === 'goto') return { verdict: 'through', couldPass };
        continue;
      }
      if (action.kind === 'return') return { verdict: 'through', couldPass };
      if (action.kind === 'accept' || action.kind === 'drop') return { verdict: action.kind, couldPass };
    }
    return { verdict: 'through', couldPass };
  }
}

interface Action {
  readonly kind: 'accept' | 'drop' | 'return' | 'jump' | 'goto';
  readonly target?: string;
}

/** Whether a rule matches, and what it then does; no action where it only counts, marks or logs. */
function judge(rule: Rule, packet: Packet): { answer: Answer; action?: Action } {
  const answer = matches(rule, packet);
  for (const expr of rule.expr) {
    const action = actionOf(expr);
    if (action !== undefined) return { answer, action };
    if ('vmap' in expr) {
      const chosen = chooseVerdict(expr.vmap as Json, packet);
      if (chosen !== undefined) return { answer: both(answer, chosen.answer), action: chosen.action };
    }
    // Targets of iptables that nft cannot spell out: REJECT drops; others go on or are told by the check of shadowing rules.
    const { type, name } = (expr.xt ?? {}) as { type?: string; name?: string };
    if (type === 'target' && name === 'REJECT') return { answer, action: { kind: 'drop' } };
  }
  return { answer };
}

/** `maybe` where one expression cannot be judged and no other says no. */
export function matches(rule: Rule, packet: Packet): Answer {
  return rule.expr.map((expr) => expressionMatches(expr, packet)).reduce(both, 'yes');
}

function expressionMatches(expr: Json, packet: Packet): Answer {
  if ('match' in expr) {
    const { op, left, right } = expr.match as { op: string; left: Json; right: unknown };
    const answer = compares(left, right, packet);
    if (op === '==' || op === 'in') return answer;
    return op === '!=' ? not(answer) : 'maybe';
  }
  if ('xt' in expr) {
    const { type, name } = expr.xt as { type: string; name: string };
    return type === 'target' || name === 'comment' ? 'yes' : 'maybe';
  }
  return 'limit' in expr || 'connlimit' in expr || 'quota' in expr ? 'maybe' : 'yes';
}

function compares(left: Json, right: unknown, packet: Packet): Answer {
  if ('ct' in left) return trackingCompares((left.ct as Json).key, right, packet.state);
  const mask = maskedMark(left);
  if (mask !== undefined && typeof right === 'number') {
    // Others' bits may be set or not; ours is known.
    if ((right & packet.mark) !== (mask & packet.mark)) return 'no';
    return (mask & ~packet.mark) === 0 ? 'yes' : 'maybe';
  }
  const value = fieldOf(left, packet);
  if (value === undefined) return 'maybe';
  return isOneOf(right, value);
}

/** Untracked packets have no status; our tracked ones are translated to where they go anyway. */
function trackingCompares(what: unknown, right: unknown, state: Packet['state']): Answer {
  const words = (typeof right === 'object' && right !== null && 'set' in right ? right.set : right) as unknown;
  if (what === 'status') return state === 'untracked' ? 'no' : 'maybe';
  if (what !== 'state') return 'maybe';
  return [words].flat().includes(state) ? 'yes' : 'no';
}

/** What an expression reads from the packet; undefined where that cannot be known here. */
function fieldOf(expr: Json, { protocol, family, source, destination, passes }: Packet): string | number | undefined {
  const { protocol: header, field } = (expr.payload ?? {}) as { protocol?: string; field?: string };
  if (header === 'ip' || header === 'ip6') {
    if ((header === 'ip') !== (family === 'ipv4')) return 'of the other family';
    if (field === 'saddr') return source.address;
    if (field === 'daddr') return destination.address;
    return field === 'protocol' || field === 'nexthdr' ? protocol : undefined;
  }
  if (header === 'th' || header === protocol) {
    return field === 'sport' ? source.port : field === 'dport' ? destination.port : undefined;
  }
  if (header === 'udp' || header === 'tcp') return 'of the other protocol';
  if (header === 'icmp' || header === 'icmpv6') return 'of another protocol';
  const { key: meta } = (expr.meta ?? {}) as { key?: string };
  if (meta === 'l4proto') return protocol;
  if (meta === 'nfproto') return family;
  return meta === passes || meta === `${passes}name` ? somewhere : undefined;
}

/** Any interface but loopback. */
const somewhere = '(an interface of pods)';

function isOneOf(right: unknown, value: string | number): Answer {
  if (value === somewhere) return right === 'lo' ? 'no' : 'maybe';
  if (typeof right === 'string' && right.startsWith('@')) return 'maybe';
  if (typeof right === 'string' || typeof right === 'number') return right === value ? 'yes' : 'no';
  if (Array.isArray(right)) return right.some((each) => isOneOf(each, value) === 'yes') ? 'yes' : 'no';
  const { set, range, prefix } = (right ?? {}) as {
    set?: unknown[];
    range?: [string | number, string | number];
    prefix?: { addr: string; len: number };
  };
  if (set !== undefined) {
    const answers = set.map((each) => isOneOf(each, value));
    return answers.includes('yes') ? 'yes' : answers.includes('maybe') ? 'maybe' : 'no';
  }
  if (typeof value === 'number') {
    return range === undefined ? 'maybe' : Number(range[0]) <= value && value <= Number(range[1]) ? 'yes' : 'no';
  }
  if (prefix === undefined && range === undefined) return 'maybe';
  if (isIP(value) === 0) return 'no';
  const addresses = new BlockList();
  try {
    if (prefix !== undefined) addresses.addSubnet(prefix.addr, prefix.len, familyName(prefix.addr));
    else if (range !== undefined) addresses.addRange(String(range[0]), String(range[1]), familyName(String(range[0])));
    return addresses.check(value, familyName(value)) ? 'yes' : 'no';
  } catch {
    return 'maybe';
  }
}

function chooseVerdict(vmap: Json, packet: Packet): { answer: Answer; action: Action } | undefined {
  const { key: left, data } = vmap as { key: Json; data: { set?: [unknown, Json][] } };
  const choices = Array.isArray(data?.set) ? data.set : [];
  for (const [right, verdict] of choices) {
    const answer = 'concat' in left ? 'maybe' : compares(left, right, packet);
    const action = actionOf(verdict);
    if (answer !== 'no' && action !== undefined) return { answer, action };
  }
  // A map by name may lead anywhere.
  return choices.length === 0 ? { answer: 'maybe', action: { kind: 'accept' } } : undefined;
}

function actionOf(expr: Json): Action | undefined {
  if ('accept' in expr) return { kind: 'accept' };
  if ('drop' in expr || 'reject' in expr) return { kind: 'drop' };
  if ('return' in expr) return { kind: 'return' };
  const kind = 'jump' in expr ? 'jump' : 'goto' in expr ? 'goto' : undefined;
  if (kind === undefined) return undefined;
  return { kind, target: String((expr[kind] as Json).target) };
}

function targetsOf(rule: Rule): string[] {
  return rule.expr.flatMap((expr) => {
    const verdicts = 'vmap' in expr ? ((expr.vmap as { data?: { set?: [unknown, Json][] } }).data?.set ?? []) : [];
    return [expr, ...(Array.isArray(verdicts) ? verdicts.map(([, verdict]) => verdict) : [])].flatMap(
      (each) => actionOf(each)?.target ?? [],
    );
  });
}

/** The mask under which an expression reads the mark; undefined where it reads something else. */
export function maskedMark(expr: Json): number | undefined {
  const isMark = (each: unknown) => ((each as Json | null)?.meta as Json | undefined)?.key === 'mark';
  if (isMark(expr)) return 0xffffffff | 0;
  const operands = expr['&'];
  if (!Array.isArray(operands) || !isMark(operands[0]) || typeof operands[1] !== 'number') return undefined;
  return operands[1] | 0;
}

export function both(one: Answer, other: Answer): Answer {
  if (one === 'no' || other === 'no') return 'no';
  return one === 'maybe' || other === 'maybe' ? 'maybe' : 'yes';
}

export function not(answer: Answer): Answer {
  return answer === 'maybe' ? 'maybe' : answer === 'yes' ? 'no' : 'yes';
}

function key(...parts: string[]): string {
  return parts.join(' ');
}
