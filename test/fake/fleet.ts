/** Nodes, edits and an operator that dies now and then, for rollouts by seed: what a node makes of a revision is settled beforehand. */
import {
  allowedUnavailable,
  type DefaultedRollout,
  defaultedRollout,
  type RolloutPhase,
} from '../../api/v1alpha1/rollout-settings.ts';
import { type Given, planRollout, type RolloutNode, type RolloutState } from '../../operator/profile/rollout.ts';
import type { Standing } from '../../operator/profile/trial.ts';
import type { Random } from '../fuzz/random.ts';

type Outcome = 'good' | 'bad' | 'unable' | 'silent';

interface Member {
  readonly name: string;
  readonly zone: string;
  readonly pool: string;
  carries: string | undefined;
  isTrial: boolean;
  attempt: number | undefined;
  isReachable: boolean;
  isServing: boolean;
  /** It served when it was given what it carries, and there was something good to serve by. */
  wasServing: boolean;
  /** Ticks until its agent has decided. */
  waits: number;
}

const verdicts: Readonly<Record<Outcome, Standing>> = {
  good: { kind: 'settled' },
  bad: { kind: 'bad', reason: 'ProbeFailed', message: '' },
  unable: { kind: 'bad', reason: 'NotServing', message: '' },
  silent: { kind: 'lost' },
};

export class Fleet {
  readonly members: Member[] = [];
  readonly phases: RolloutPhase[] = [];
  /** What the rules of rollouts forbid, as it happened. */
  readonly offences: string[] = [];
  target = 'r0';
  settings: DefaultedRollout;
  /** As it stands in the API. */
  state: RolloutState | undefined;
  /** An operator that dies does so in the middle of what it does. */
  deadliness = 0;
  readonly #random: Random;
  readonly #outcomes = new Map<string, Outcome>();
  readonly #faults = new Map<string, number>();
  #failed: string | undefined;
  #now = 0;

  constructor(random: Random, size: number) {
    this.#random = random;
    this.settings = defaultedRollout({
      maxUnavailable: random.pick([1, 3, '10%', '34%', '100%']),
      canary: { nodes: random.pick([0, 1, 1, 2, 5]) },
      autoRollback: !random.once(5),
    });
    for (let index = 0; index < size; index += 1) this.#join(index);
  }

  /** Faults: of how many in a hundred nodes a revision fails. */
  edit(revision: string, faults: number): void {
    this.target = revision;
    this.#faults.set(revision, faults);
    this.#failed = undefined;
  }

  pause(paused: boolean): void {
    this.settings = { ...this.settings, paused };
    this.#failed = undefined;
  }

  join(): void {
    this.#join(this.members.length);
  }

  /** Time passes at the nodes. */
  tick(): void {
    this.#now += 1;
    for (const member of this.members) {
      if (!member.isReachable || member.carries === undefined || member.waits === 0) continue;
      member.waits -= 1;
      if (member.waits > 0) continue;
      const outcome = this.#outcome(member);
      if (outcome === 'good') member.isServing = true;
      if (outcome === 'unable') member.isServing = false;
    }
  }

  /** The operator looks once: writes down what it decided, and only then does what follows from it. True where it did anything. */
  look(): boolean {
    const { state, give } = planRollout({
      target: this.target,
      settings: this.settings,
      nodes: this.members.map((member) => this.#seen(member)),
      before: this.state,
      nowMs: this.#now,
    });
    if (JSON.stringify(state) !== JSON.stringify(this.state)) {
      if (this.#dies()) return true;
      this.state = state;
      this.#note(state);
      return true;
    }
    this.#judge(give);
    for (const { node, revision, isTrial } of give) {
      if (this.#dies()) break;
      const member = this.members.find(({ name }) => name === node);
      if (member === undefined) continue;
      Object.assign(member, {
        carries: revision,
        isTrial,
        attempt: isTrial ? this.state?.attempt : undefined,
        wasServing: member.isServing && this.state?.good !== undefined,
        waits: 1 + this.#random.below(4),
      });
    }
    return give.length > 0;
  }

  /** What a fleet has come to. How far a rollout came that halted is up to who was quick. */
  get outcome(): string {
    if (this.state?.phase === 'Halted') return this.state.phase;
    return `${this.state?.phase} ${this.members.map(({ carries }) => carries).join(' ')}`;
  }

  #join(index: number): void {
    const [zone, pool] = [`z${this.#random.below(3)}`, `p${this.#random.below(2)}`];
    const fresh = {
      carries: undefined,
      isTrial: false,
      attempt: undefined,
      isServing: false,
      wasServing: false,
      waits: 0,
    };
    this.members.push({ name: `n${String(index).padStart(3, '0')}`, zone, pool, isReachable: true, ...fresh });
  }

  #seen({ name, zone, pool, carries, isTrial, attempt, isReachable, isServing, ...member }: Member): RolloutNode {
    const standing: Standing =
      carries === undefined
        ? verdicts.good
        : member.waits > 0
          ? { kind: 'pending', untilMs: this.#now + 1 }
          : verdicts[this.#outcome({ name, carries })];
    return { name, zone, pool, carries, isReachable, isServing, isJudged: isTrial, attempt, standing, isSame: false };
  }

  /** Every node makes of a revision what it makes of it, whoever asks and whenever. */
  #outcome({ name, carries = '' }: Pick<Member, 'name' | 'carries'>): Outcome {
    const key = `${carries} ${name}`;
    const known = this.#outcomes.get(key);
    if (known !== undefined) return known;
    const isFault = hash(key, this.#random.seed) % 100 < (this.#faults.get(carries) ?? 0);
    const outcome = isFault
      ? (['bad', 'unable', 'silent'] as const)[hash(`${key} how`, this.#random.seed) % 3]
      : 'good';
    this.#outcomes.set(key, outcome ?? 'good');
    return outcome ?? 'good';
  }

  #dies(): boolean {
    return this.deadliness > 0 && this.#random.once(this.deadliness);
  }

  #note({ phase, target }: RolloutState): void {
    if (this.phases.at(-1) !== phase) this.phases.push(phase);
    if (phase === 'Halted' || phase === 'RollingBack' || phase === 'RolledBack') this.#failed = target;
  }

  /** What is about to be given, held against the promises. */
  #judge(give: readonly Given[]): void {
    const { target, state, settings, members } = this;
    const good = state?.good;
    const allowed = allowedUnavailable(settings.maxUnavailable, members.length);
    const given = new Map(give.map((gift) => [gift.node, gift]));
    // Of the first revision nobody was served before; and what a node makes of the good one is its own affair.
    const isUnproven = (member: Member): boolean => {
      if (!member.isReachable || good === undefined) return false;
      if (member.waits > 0) return member.wasServing || member.isTrial;
      return member.isTrial && member.carries !== good && this.#outcome(member) !== 'good';
    };
    const before = members.filter(isUnproven).length;
    const after = members.filter((member) =>
      given.has(member.name) ? member.isReachable && member.isServing && good !== undefined : isUnproven(member),
    ).length;
    if (after > Math.max(allowed, before)) this.offences.push(`${after} unavailable, ${allowed} allowed`);

    const trials = give.filter(({ isTrial }) => isTrial);
    if (trials.length > allowed) this.offences.push(`${trials.length} on trial at once, ${allowed} allowed`);
    const isUnderWay = members.some(
      ({ carries, isReachable, waits }) => carries === target && isReachable && waits > 0,
    );
    if (state?.phase === 'Batch' && trials.length > 0 && isUnderWay) this.offences.push('two batches at once');
    if (target !== good && target === this.#failed && give.some(({ revision }) => revision === target)) {
      this.offences.push('what failed is given again');
    }
    if (settings.paused && give.some(({ node }) => members.find(({ name }) => name === node)?.carries !== undefined)) {
      this.offences.push('given while paused');
    }
    const stranger = give.find(({ revision }) => revision !== target && revision !== good);
    if (stranger !== undefined) this.offences.push(`${stranger.revision} is neither the target nor good`);
    const away = give.find(({ node, revision }) => {
      const member = members.find(({ name }) => name === node);
      return member?.isReachable === false && (member.carries !== undefined || revision !== good);
    });
    if (away !== undefined) this.offences.push(`${away.node} is away`);
  }
}

/** FNV-1a: the same word falls out the same, in whatever order nodes are asked. */
function hash(text: string, seed: number): number {
  let value = 0x811c9dc5 ^ seed;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return (value ^ (value >>> 13)) >>> 0;
}
