/** The rules of `ip rule` and the routing table by which caught packets come to the agent, against those that are there. */
import { BlockList } from 'node:net';
import { reasons } from '../../../api/v1alpha1/conditions.ts';
import { caughtAddresses, familyName, type NodeFacts, type PolicyRule } from './facts.ts';
import { type Finding, saying } from './finding.ts';
import { type Answer, both, not } from './packet-walk.ts';

/** linux/rtnetlink.h: RT_TABLE_LOCAL. */
const localTable = 255;

export function policyRules({ policyRules, wanted }: NodeFacts): Finding[] {
  const say = saying('policy-rules');
  const { marks, routeTable, rulePriority } = wanted.names;
  if (policyRules === undefined) {
    return [
      say.warning(
        reasons.rulesUnreadable,
        'the rules of policy routing cannot be read: whether another rule comes before ours is not known',
      ),
    ];
  }
  const isOurs = (rule: PolicyRule) =>
    [wanted.names, ...wanted.otherNames].some(
      (each) =>
        rule.table === each.routeTable && rule.mark === each.marks.intercept && rule.mask === each.marks.intercept,
    );
  const bits = marks.intercept | marks.own | marks.gate;
  const addresses = caughtAddresses(wanted);
  const findings = policyRules.flatMap((rule) => {
    if (isOurs(rule) || rule.table === localTable) return [];
    const name = `rule ${rule.priority} of ip${rule.family === 6 ? ' -6' : ''} rule`;
    if (rule.table === routeTable) {
      return [
        say.warning(
          reasons.routeTableTaken,
          `${name} leads to routing table ${routeTable}, where our routes go: packets of another program would be delivered to the agent. Give ours another number with --route-table`,
        ),
      ];
    }
    const isBefore = rule.priority <= rulePriority;
    if ((rule.mask & bits) !== 0 && !rule.inverted && hasMark(rule, marks.intercept) !== 'no') {
      const where = isBefore ? 'before ours, so that queries may miss the agent' : 'after ours';
      return [
        say.warning(
          reasons.markTaken,
          `${name} looks at bits 0x${((rule.mask & bits) >>> 0).toString(16)} of the packet mark, which are ours too, ${where}. Give ours other bits with --mark-intercept, --mark-own and --mark-gate`,
        ),
      ];
    }
    const answers = addresses
      .filter((address) => familyName(address) === (rule.family === 6 ? 'ipv6' : 'ipv4'))
      .map((address) => takes(rule, marks.intercept, address));
    if (isBefore && answers.some((answer) => answer !== 'no')) {
      const takesThem = answers.includes('yes')
        ? 'takes queries'
        : 'may take queries, as far as can be seen from here,';
      const where =
        rule.table === 0
          ? 'away: they miss the agent'
          : `to table ${rule.table}: they miss the agent where that table has a route for them`;
      return [
        say.warning(
          reasons.shadowed,
          `${name} comes before ours (${rulePriority}) and ${takesThem} ${where}. Give ours a lower number with --rule-priority`,
        ),
      ];
    }
    return [];
  });
  return findings.length > 0
    ? findings
    : [say.ok(`no other rule of policy routing takes queries before ours (${rulePriority})`)];
}

/** Whether a rule takes a query to this address that carries our mark. */
function takes(rule: PolicyRule, mark: number, address: string): Answer {
  const asked = both(both(hasMark(rule, mark), goesTo(rule, address)), rule.narrow ? 'maybe' : 'yes');
  return rule.inverted ? not(asked) : asked;
}

/** What carries our bit may carry those of others, or not. */
function hasMark(rule: PolicyRule, mark: number): Answer {
  if ((rule.mask & mark) !== (rule.mark & mark)) return 'no';
  return (rule.mask & ~mark) === 0 ? 'yes' : 'maybe';
}

function goesTo({ to }: PolicyRule, address: string): Answer {
  if (to === undefined) return 'yes';
  const prefix = new BlockList();
  prefix.addSubnet(to.address, to.length, familyName(to.address));
  return prefix.check(address, familyName(address)) ? 'yes' : 'no';
}

export function routeTable({ routes, wanted }: NodeFacts): Finding[] {
  const say = saying('route-table');
  const { routeTable } = wanted.names;
  const foreign = routes.find((route) => route.table === routeTable && !route.isLocalOnLoopback);
  if (foreign === undefined) return [say.ok(`routing table ${routeTable} is free or ours`)];
  return [
    say.blocking(
      reasons.routeTableTaken,
      `routing table ${routeTable} has a route that is not ours (${foreign.text}), which our packets could take: give ours another number with --route-table`,
    ),
  ];
}
