/** Where two servers' answers to the same packet differ. */
import { isNightly } from '../tools/nightly.ts';
import type { Octets } from './asker.ts';
import type { Question } from './questions.ts';
import { type Reading, readAnswer } from './reading.ts';

/** What became of one packet at one server. */
export type Fate = Reading | 'silence' | `malformed: ${string}`;

export interface Difference {
  question: Question;
  field: 'fate' | 'rcode' | 'flags' | 'question' | 'answer' | 'authority' | 'additional' | 'edns' | 'options' | 'ttl';
  peer: string;
  ours: string;
  /** Both answers, whole; undefined where one of them is none. */
  answers: { peer: Reading; ours: Reading } | undefined;
}

/** Both count the same TTL down, but have not been told it in the same moment: they differ by as much as the run is long. */
const ttlToleranceSeconds = isNightly ? 120 : 15;

export function fateOf(octets: Octets): Fate {
  if (octets === undefined) return 'silence';
  try {
    return readAnswer(octets);
  } catch (error) {
    return `malformed: ${(error as Error).message}`;
  }
}

export function differences(question: Question, peer: Fate, ours: Fate): Difference[] {
  if (typeof peer === 'string' || typeof ours === 'string') {
    const [one, other] = [peer, ours].map((fate) => (typeof fate === 'string' ? fate : 'an answer'));
    if (one === other) return [];
    return [{ question, field: 'fate', peer: one ?? '', ours: other ?? '', answers: undefined }];
  }
  const answers = { peer, ours };
  const found: Difference[] = [];
  for (const field of ['rcode', 'flags', 'question', 'answer', 'authority', 'additional', 'edns', 'options'] as const) {
    if (peer[field] === ours[field]) continue;
    found.push({ question, field, peer: String(peer[field]), ours: String(ours[field]), answers });
  }
  for (const [record, ttl] of ours.ttls) {
    const other = peer.ttls.get(record);
    if (other === undefined || Math.abs(other - ttl) <= ttlToleranceSeconds) continue;
    found.push({ question, field: 'ttl', peer: `${other} ${record}`, ours: `${ttl} ${record}`, answers });
  }
  return found;
}

/** One line for the reader of a red test. */
export function told({ question, field, peer, ours }: Difference): string {
  const { name, type, class: of, opcode, flags, edns, overTcp, fault } = question;
  const short = (text: string) => (text.length > 160 ? `${text.slice(0, 160)}… (${text.length})` : text);
  const asked = `${name} TYPE${type} CLASS${of} opcode ${opcode} flags ${flags.toString(16)} ${overTcp ? 'TCP' : 'UDP'}`;
  const with_ = edns === undefined ? 'no EDNS' : `EDNS ${JSON.stringify(edns)}`;
  const form = fault === undefined ? '' : ` (${fault})`;
  return `${field} of ${asked} ${with_}${form}\n    unbound: ${short(peer)}\n    ours:    ${short(ours)}`;
}
