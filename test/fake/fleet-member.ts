/** A node of a fleet: what it is, and what becomes of it. */
import type { WrittenFacts } from '../../operator/profile/facts.ts';
import type { Random } from '../fuzz/random.ts';

/** `downs`: the node is away from then on; `later`: its kubelet is, and that is found out long after. */
const faulty = ['bad', 'unable', 'silent', 'downs', 'later'] as const;
export type Fault = (typeof faulty)[number];
export type Outcome = 'good' | Fault;

export interface Member {
  readonly name: string;
  readonly uid: string;
  readonly zone: string;
  readonly pool: string;
  written: WrittenFacts | undefined;
  /** It served when it was given what it carries, and there was something good to serve by. */
  wasServing: boolean;
  /** What its agent takes up just now, and in how many ticks it will have; undefined where it is up to date. */
  takes: string | undefined;
  waits: number;
  /** So many ticks it takes for that. */
  pace: number;
  /** When the agent first had it in force, in this attempt. */
  begunMs: number | undefined;
  awaySinceMs: number | undefined;
  hereSinceMs: number;
  backAtMs: number;
  /** By itself, whatever it is given: its port is taken, or nobody runs its agent. */
  ails: 'unable' | 'silent' | undefined;
  /** Until then it does not serve, without a fault of anybody's. */
  stoppedUntilMs: number;
  readonly bornMs: number;
  /** It is cordoned. */
  isLeaving: boolean;
  /** A revision took it away. */
  isDown: boolean;
}

/** A machine as it comes: nothing was ever written for it. */
export function newMember(index: number, bornMs: number, random: Random): Member {
  const [zone, pool] = [`z${random.below(3)}`, `p${random.below(2)}`];
  const name = `n${String(index).padStart(3, '0')}`;
  const fresh = { written: undefined, wasServing: false, takes: undefined, waits: 0, begunMs: undefined, bornMs };
  const here = { awaySinceMs: undefined, hereSinceMs: bornMs, backAtMs: Number.POSITIVE_INFINITY, ails: undefined };
  return {
    name,
    uid: `u${index}`,
    zone,
    pool,
    pace: 1,
    ...fresh,
    ...here,
    stoppedUntilMs: 0,
    isDown: false,
    isLeaving: false,
  };
}

export function carries({ written }: Pick<Member, 'written'>): string | undefined {
  return written?.profileRevision;
}

export function isServing({ written }: Member): boolean {
  return written?.report.isServing ?? false;
}

/** An agent writes what it has to say, and nothing that stands there already. */
export function saysMore(
  { appliedRevision, isServing: serves, health }: WrittenFacts['report'],
  more: Partial<WrittenFacts['report']>,
): boolean {
  const of = (said: WrittenFacts['report']['health']): string =>
    `${said?.revision} ${said?.attempt} ${said?.profileRevision} ${said?.probes?.[0]?.ok}`;
  return appliedRevision !== more.appliedRevision || serves !== more.isServing || of(health) !== of(more.health);
}

/** FNV-1a: the same word falls out the same, in whatever order nodes are asked. */
export function hash(text: string, seed: number): number {
  let value = 0x811c9dc5 ^ seed;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return (value ^ (value >>> 13)) >>> 0;
}
