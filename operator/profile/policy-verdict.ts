import { type Condition, reasons } from '../../api/v1alpha1/conditions.ts';
import type { Listed, PolicyFinding } from './network-policies.ts';

/** What the condition NetworkPolicyConflict says. */
export function policyVerdict(
  finding: Exclude<PolicyFinding, { kind: 'pending' }>,
): Pick<Condition, 'status' | 'reason' | 'message'> {
  if (finding.kind === 'unknown') return { status: 'Unknown', reason: reasons.policiesUnread, message: finding.why };
  const { conflicts, unread } = finding;
  const dark = unread.count === 0 ? '' : `These network policies could not be understood or compared: ${some(unread)}.`;
  if (conflicts.count === 0 && unread.count > 0)
    return { status: 'Unknown', reason: reasons.policiesUnread, message: dark };
  if (conflicts.count === 0) {
    const message = 'No network policy lets pods ask cluster DNS and not the addresses of this profile.';
    return { status: 'False', reason: reasons.noneFound, message };
  }
  const shown = conflicts.first.map(({ policy, cidrs }) => `${policy}: ${cidrs.join(', ')}`);
  const more = conflicts.count > shown.length ? `; and ${conflicts.count - shown.length} more` : '';
  return {
    status: 'True',
    reason: reasons.queriesDropped,
    message: `These network policies let pods ask the pods of cluster DNS alone. Let them ask each address, too, by an ipBlock and port 53. ${shown.join('; ')}${more}${dark && `. ${dark}`}`,
  };
}

/** At most three names, and how many more. */
function some({ first, count }: Listed<string>): string {
  const shown = first.slice(0, 3).join(', ');
  return count > 3 ? `${shown} and ${count - 3} more` : shown;
}
