/** Rules that are there already: those that keep caught queries from an agent, and those that use names of ours. */

import { dnsPort } from '../../../api/v1alpha1/address.ts';
import { reasons } from '../../../api/v1alpha1/conditions.ts';
import { isOurTable } from '../names.ts';
import { caughtAddresses, familyName, type NodeFacts, type Wanted } from './facts.ts';
import { type Finding, saying } from './finding.ts';
import { type Chain, maskedMark, matches, type Packet, type Rule, Ruleset } from './packet-walk.ts';

/** Where our chains stand: NF_IP_PRI_RAW. */
const ourPriority = -300;
const protocols = ['udp', 'tcp'] as const;
const unreadable =
  'nft cannot list the rules that are there: whether they keep queries from an agent is found out by the queries that arrive. nft list ruleset says what is wrong';

/** What becomes of the packets to, or from, the caught addresses in the chains of others. */
interface Dropping {
  readonly chain: Chain;
  /** Dropped there, and no rule could let them through. */
  readonly certain: readonly string[];
  /** Dropped there, unless a rule lets them through that cannot be judged from here. */
  readonly perhaps: readonly string[];
}

function droppings(
  facts: NodeFacts,
  hooks: readonly string[],
  packetOf: (protocol: (typeof protocols)[number], address: string, wanted: Wanted) => Packet,
): Dropping[] {
  const ruleset = othersRules(facts);
  const caught = caughtAddresses(facts.wanted);
  const chains = new Set(hooks.flatMap((hook) => caught.flatMap((address) => ruleset.hooked(hook, address))));
  return [...chains].flatMap((chain) => {
    // What is not tracked is not translated either: it passes no chain of that type.
    if (chain.type === 'nat') return [];
    const dropped = caught.flatMap((address) => {
      if (!ruleset.hooked(chain.hook ?? '', address).includes(chain)) return [];
      const fates = protocols.map((protocol) => ruleset.fate(chain, packetOf(protocol, address, facts.wanted)));
      const drops = fates.filter(({ verdict }) => verdict === 'drop');
      if (drops.length === 0) return [];
      return [{ address, isCertain: drops.some(({ couldPass }) => !couldPass) }];
    });
    const addresses = (isSo: boolean) =>
      dropped.filter(({ isCertain }) => isCertain === isSo).map(({ address }) => address);
    return dropped.length === 0 ? [] : [{ chain, certain: addresses(true), perhaps: addresses(false) }];
  });
}

/** One finding about all addresses where they fare alike, else one for each. */
function each(certain: readonly string[], { wanted }: NodeFacts): (string | undefined)[] {
  return certain.length === caughtAddresses(wanted).length ? [undefined] : [...certain];
}

/** Chains through which a caught query still has to go: an accept of ours cannot take back their drop. */
export function inputChains(facts: NodeFacts): Finding[] {
  const say = saying('input');
  if (facts.ruleset === undefined) return [];
  const mark = hex(facts.wanted.names.marks.intercept);
  const accept = `accept UDP and TCP port 53 in it for packets with the mark ${mark} (nft: meta mark & ${mark} != 0 accept; iptables: -m mark --mark ${mark}/${mark})`;
  const findings = droppings(facts, ['prerouting', 'input'], queryTo).flatMap(({ chain, certain, perhaps }) => [
    ...each(certain, facts).map((address) =>
      say.blocking(
        reasons.inputDropped,
        `${nameOf(chain)} drops queries to ${address ?? certain.join(', ')}, so none would reach an agent: ${accept}`,
        address,
      ),
    ),
    ...(perhaps.length > 0
      ? [
          say.warning(
            reasons.inputDropped,
            `${nameOf(chain)} drops queries to ${perhaps.join(', ')} unless a rule lets them through that cannot be judged from here; the agent watches whether they arrive, and intercepts nothing where they do not. To be sure, ${accept}`,
          ),
        ]
      : []),
  ]);
  return findings.length > 0
    ? findings
    : [say.ok('no chain of another program drops queries on their way to an agent')];
}

/** Chains through which answers have to go. No count would show the agent that they are dropped, so doubt forbids as well. */
export function outputChains(facts: NodeFacts): Finding[] {
  const say = saying('output');
  if (facts.ruleset === undefined) return [];
  const findings = droppings(facts, ['output', 'postrouting'], answerFrom).flatMap(({ chain, certain, perhaps }) => {
    const dropped = [...certain, ...perhaps];
    return each(dropped, facts).map((address) => {
      const from = address ?? dropped.join(', ');
      const isCertain = address === undefined ? certain.length > 0 : certain.includes(address);
      const doubt = isCertain ? '' : ', unless a rule lets them through that cannot be judged from here';
      return say.blocking(
        reasons.answersDropped,
        `${nameOf(chain)} drops answers from ${from} on their way to pods${doubt}. They are not tracked, so they are no established connection to it: accept UDP and TCP from port 53 of ${from} in it, or set tracked: true for the listener in the profile`,
        address,
      );
    });
  });
  return findings.length > 0 ? findings : [say.ok('no chain of another program drops answers on their way to pods')];
}

/** Firewalls that rewrite their rules by themselves: told, so that the remedy is applied where it stays. */
export function hostFirewall({ ruleset, legacyTables }: NodeFacts): Finding[] {
  const say = saying('host-firewall');
  const findings: Finding[] = [];
  const names = (kind: 'table' | 'chain') =>
    (ruleset ?? []).flatMap((object) => String(object[kind]?.name ?? '') || []);
  if (names('table').includes('firewalld')) {
    findings.push(
      say.warning(
        reasons.hostFirewall,
        "firewalld is active: it drops what comes from interfaces of no zone of its own. Put the pods' interfaces or networks into the zone trusted (firewall-cmd --permanent --zone=trusted --add-source=POD_CIDR, then --reload)",
      ),
    );
  }
  if (names('chain').some((name) => /^ufw6?-/.test(name))) {
    findings.push(
      say.warning(
        reasons.hostFirewall,
        'ufw is active: it drops what it does not know. Allow DNS from pods: ufw allow from POD_CIDR to any port 53',
      ),
    );
  }
  if (legacyTables.length > 0) {
    findings.push(
      say.warning(
        reasons.hostFirewall,
        `rules of the old iptables are loaded (${legacyTables.join(', ')}), which nft cannot show: whether they drop queries is found out by the queries that arrive. iptables-legacy-save prints them`,
      ),
    );
  }
  return findings.length > 0 ? findings : [say.ok('neither firewalld nor ufw nor old iptables rules are here')];
}

/** Rules of others for port 53 that take a query before us, or from the fallback that serves while no agent lives. */
export function shadowingRules(facts: NodeFacts): Finding[] {
  const say = saying('shadowing-rules');
  if (facts.ruleset === undefined) return [];
  const ruleset = othersRules(facts);
  const caught = caughtAddresses(facts.wanted);
  const told = new Map<string, Finding>();
  for (const daddr of caught) {
    for (const chain of ['prerouting', 'output'].flatMap((hook) => ruleset.hooked(hook, daddr))) {
      for (const rule of ruleset.reachable(chain)) {
        const act = actOf(rule);
        if (act === undefined || !namesPort(rule)) continue;
        if (protocols.every((protocol) => matches(rule, queryTo(protocol, daddr, facts.wanted)) === 'no')) continue;
        const key = `${nameOf(chain)} ${act}`;
        const where = `${rule.family} ${rule.table} ${rule.chain}`;
        if (!told.has(key))
          told.set(key, say.warning(reasons.shadowed, `${where} ${meaning(act, chain, daddr)}`, daddr));
      }
    }
  }
  return told.size > 0 ? [...told.values()] : [say.ok('no rule of another program takes port 53 of our addresses')];
}

type Act = 'untracks' | 'translates' | 'proxies';

/** What a rule does to a packet that could bring it out of our way. */
function actOf({ expr }: Rule): Act | undefined {
  for (const each of expr) {
    if ('notrack' in each) return 'untracks';
    if ('dnat' in each || 'redirect' in each) return 'translates';
    if ('tproxy' in each) return 'proxies';
    const { type, name } = (each.xt ?? {}) as { type?: string; name?: string };
    if (type !== 'target') continue;
    if (name === 'CT' || name === 'NOTRACK') return 'untracks';
    if (name === 'DNAT' || name === 'REDIRECT') return 'translates';
    if (name === 'TPROXY') return 'proxies';
  }
  return undefined;
}

function meaning(act: Act, chain: Chain, daddr: string): string {
  const when = (chain.prio ?? 0) < ourPriority ? 'before our rules' : 'after our rules';
  switch (act) {
    case 'untracks':
      return `takes port 53 of ${daddr} out of connection tracking (NodeLocal DNSCache and AKS LocalDNS leave such rules behind): while no agent lives, such queries are not translated to cluster DNS and get no answer. Remove the rule`;
    case 'translates':
      return `rewrites where queries to port 53 go, ${daddr} included: what our agent takes is not concerned, but while no agent lives they follow that rule instead of ours. Leave ${daddr} out of it`;
    case 'proxies':
      return `hands queries to port 53 to a proxy, ${when}, ${daddr} included: they may never reach our agent. Leave ${daddr} out of it`;
  }
}

/** Whether a rule asks for port 53 in so many words; one for all ports is not about DNS. */
function namesPort({ expr }: Rule): boolean {
  return expr.some(({ match }) => {
    const { left, right } = (match ?? {}) as { left?: { payload?: { field?: string } }; right?: unknown };
    return left?.payload?.field === 'dport' && /\b53\b/.test(JSON.stringify(right));
  });
}

/** A table of our name that somebody else made would be lost when ours is put in its place. Ours have a set of this name. */
export function ourTable({ ruleset, refused, wanted }: NodeFacts): Finding[] {
  const say = saying('table-name');
  if (ruleset === undefined) {
    // Without nft or the right to it that is told already.
    return refused === undefined ? [] : [say.warning(reasons.rulesUnreadable, unreadable)];
  }
  const { table: name } = wanted.names;
  const isIn = (object: Record<string, unknown> | undefined) => object?.table === name;
  const inOurs = ['ip', 'ip6'].filter((family) =>
    ruleset.some(({ table }) => table?.family === family && table.name === name),
  );
  const foreign = inOurs.find((family) => {
    const has = (set: string) =>
      ruleset.some((object) => isIn(object.set) && object.set?.family === family && object.set.name === set);
    const isEmpty = !ruleset.some((object) =>
      Object.entries(object).some(([kind, each]) => kind !== 'table' && isIn(each) && each.family === family),
    );
    return !isEmpty && !has('cluster_addresses');
  });
  if (foreign === undefined)
    return [say.ok(inOurs.length > 0 ? `the table ${name} is ours` : `the name ${name} is free`)];
  return [
    say.blocking(
      reasons.tableTaken,
      `there is a table ${foreign} ${name} which LocalDNS did not make, and would replace: remove it (nft delete table ${foreign} ${name}), or give ours another name with --nft-table`,
    ),
  ];
}

/** Others that read or write the bits of the packet mark that are ours. */
export function markBits(facts: NodeFacts): Finding[] {
  const say = saying('mark-bits');
  if (facts.ruleset === undefined) return [];
  const { marks } = facts.wanted.names;
  const ours = marks.intercept | marks.own | marks.gate;
  const ruleset = othersRules(facts);
  const told = new Map<string, Finding>();
  const tell = (rule: Rule, what: string) => {
    const where = `${rule.family} ${rule.table} ${rule.chain}`;
    const remedy = 'Give ours other bits with --mark-intercept, --mark-own and --mark-gate';
    if (!told.has(where)) told.set(where, say.warning(reasons.markTaken, `${where} ${what}. ${remedy}`));
  };
  for (const rule of ruleset.rules) {
    // That is the remedy where a chain would drop our packets.
    if (rule.expr.some((expr) => 'accept' in expr)) continue;
    const mask = rule.expr
      .map(({ match }) =>
        match === undefined ? undefined : maskedMark((match as { left: Record<string, unknown> }).left),
      )
      .find((each) => each !== undefined && each !== -1 && (each & ours) !== 0);
    if (mask !== undefined)
      tell(
        rule,
        `looks at bits ${hex(mask & ours)} of the packet mark, which are ours too: it takes our packets for its own`,
      );
    const written = rule.expr.map(({ mangle }) => writtenBits(mangle)).find((each) => (each & ours) !== 0);
    if (written !== undefined && (isBitwise(rule) || caughtMayPass(rule, facts))) {
      tell(
        rule,
        `writes bits ${hex(written & ours)} of the packet mark, which are ours too: packets may miss the agent, or reach it unasked`,
      );
    }
  }
  return told.size > 0
    ? [...told.values()]
    : [say.ok(`nobody else uses bits ${hex(ours)} of the packet mark, as far as nft shows`)];
}

/** The bits of the mark that an expression sets or clears. */
function writtenBits(mangle: unknown): number {
  const { key, value } = (mangle ?? {}) as { key?: { meta?: { key?: string } }; value?: unknown };
  if (key?.meta?.key !== 'mark') return 0;
  if (typeof value === 'number') return -1;
  const [op, operands] = Object.entries((value ?? {}) as Record<string, unknown[]>)[0] ?? [];
  const operand = Array.isArray(operands) ? operands.find((each) => typeof each === 'number') : undefined;
  if (typeof operand !== 'number') return 0;
  return op === '&' ? ~operand : op === '|' || op === '^' ? operand : 0;
}

function isBitwise({ expr }: Rule): boolean {
  return expr.some(({ mangle }) => typeof (mangle as { value?: unknown } | undefined)?.value === 'object');
}

/** A mark that is written whole matters only where a query of ours may come by. */
function caughtMayPass(rule: Rule, { wanted }: NodeFacts): boolean {
  return caughtAddresses(wanted).some((daddr) =>
    protocols.some((protocol) => matches(rule, queryTo(protocol, daddr, wanted)) !== 'no'),
  );
}

/** Our own tables are not judged: the one of the name given, and those of living agents, which have longer names. */
function othersRules({ ruleset, wanted }: NodeFacts): Ruleset {
  const isOurs = (name: unknown) => typeof name === 'string' && isOurTable(name, wanted.names);
  return new Ruleset((ruleset ?? []).filter((object) => !Object.values(object).some((each) => isOurs(each.table))));
}

function queryTo(protocol: 'udp' | 'tcp', address: string, { names, tracked }: Wanted): Packet {
  const state = tracked.includes(address) ? 'new' : 'untracked';
  const way = { source: {}, destination: { address, port: dnsPort }, passes: 'iif' } as const;
  return { protocol, family: familyName(address), ...way, mark: names.marks.intercept, state };
}

function answerFrom(protocol: 'udp' | 'tcp', address: string, { tracked }: Wanted): Packet {
  const state = tracked.includes(address) ? 'established' : 'untracked';
  const way = { source: { address, port: dnsPort }, destination: {}, passes: 'oif' } as const;
  return { protocol, family: familyName(address), ...way, mark: 0, state };
}

function nameOf({ family, table, name, hook, prio }: Chain): string {
  return `the chain ${name} of table ${family} ${table} (${hook}, priority ${prio})`;
}

function hex(bits: number): string {
  return `0x${(bits >>> 0).toString(16)}`;
}
