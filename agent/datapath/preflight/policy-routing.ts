/** The rules of `ip rule` and the routing table by which caught packets come to the agent, against those that are there. */
import { reasons } from '../../../api/v1alpha1/conditions.ts';
import type { NodeFacts, PolicyRule } from './facts.ts';
import { type Finding, saying } from './finding.ts';

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
    rule.table === routeTable && rule.mark === marks.intercept && rule.mask === marks.intercept;
  const bits = marks.intercept | marks.own | marks.gate;
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
    const matchesOurs = (rule.mark & marks.intercept) === (rule.mask & marks.intercept);
    if (rule.priority <= rulePriority && rule.mask === 0 && rule.catchAll) {
      return [
        say.warning(
          reasons.shadowed,
          `${name} comes before ours (${rulePriority}) and takes every packet to table ${rule.table}: queries miss the agent where that table has a route for them. Give ours a lower number with --rule-priority`,
        ),
      ];
    }
    if ((rule.mask & bits) !== 0 && matchesOurs) {
      const where = rule.priority <= rulePriority ? 'before ours, so that queries may miss the agent' : 'after ours';
      return [
        say.warning(
          reasons.markTaken,
          `${name} looks at bits 0x${((rule.mask & bits) >>> 0).toString(16)} of the packet mark, which are ours too, ${where}. Give ours other bits with --mark-intercept, --mark-own and --mark-gate`,
        ),
      ];
    }
    return [];
  });
  return findings.length > 0
    ? findings
    : [say.ok(`no other rule of policy routing comes before ours (${rulePriority})`)];
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
