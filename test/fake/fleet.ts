/** Nodes, edits and an operator that dies now and then, for rollouts by seed: what a node makes of a revision is settled beforehand. */
import {
  allowedUnavailable,
  type DefaultedRollout,
  defaultedRollout,
  type RolloutPhase,
} from '../../api/v1alpha1/rollout-settings.ts';
import type { WrittenFacts } from '../../operator/profile/facts.ts';
import { type Given, planRollout, type RolloutNode, type RolloutState } from '../../operator/profile/rollout.ts';
import { Sightings } from '../../operator/profile/sightings.ts';
import { standingOf } from '../../operator/profile/trial.ts';
import type { Random } from '../fuzz/random.ts';

/** `downs`: the node is away from then on; `later`: its kubelet is, and that is found out long after. */
const faulty = ['bad', 'unable', 'silent', 'downs', 'later'] as const;
type Fault = (typeof faulty)[number];
type Outcome = 'good' | Fault;

interface Member {
  readonly name: string;
  readonly zone: string;
  readonly pool: string;
  written: WrittenFacts | undefined;
  /** It served when it was given what it carries, and there was something good to serve by. */
  wasServing: boolean;
  /** Ticks until its agent has applied what stands there. */
  waits: number;
  /** When the agent first had it in force, in this attempt. */
  begunMs: number | undefined;
  awaySinceMs: number | undefined;
  backAtMs: number;
  /** By itself, whatever it is given: its port is taken, or nobody runs its agent. */
  ails: 'unable' | 'silent' | undefined;
  /** For one tick it does not serve. */
  isBlinking: boolean;
  /** A revision took it away. */
  isDown: boolean;
}

const TICK_MS = 5_000;
/** How long the control plane takes to find out that a kubelet is gone. */
const LATER_MS = 40_000;
/** So many batches may follow until then. */
const BATCHES_UNTIL_FOUND = LATER_MS / TICK_MS + 1;
const figures = { queries: 0, servFailPermille: 0, p99Micros: 0 };
const silence: WrittenFacts['report'] = {
  ...{ appliedRevision: '', isServing: false, isRefused: false },
  ...{ measures: true, health: undefined, failure: undefined },
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
  /** What a revision may do to nodes. */
  faults: readonly Fault[] = ['bad', 'unable', 'silent'];
  nowMs = 1_000_000;
  readonly #random: Random;
  readonly #outcomes = new Map<string, Outcome>();
  readonly #shares = new Map<string, number>();
  readonly #sightings = new Sightings();
  #facts = 0;
  #failed: string | undefined;
  #lookAgainAtMs: number | undefined;

  constructor(random: Random, size: number) {
    this.#random = random;
    this.settings = defaultedRollout({
      maxUnavailable: random.pick([1, 3, '10%', '34%', '100%']),
      canary: { nodes: random.pick([0, 1, 1, 2, 5]), soakSeconds: random.pick([0, 20]) },
      autoRollback: !random.once(5),
    });
    for (let index = 0; index < size; index += 1) this.join();
  }

  /** Share: of how many in a hundred nodes a revision fails. */
  edit(revision: string, share: number): void {
    this.target = revision;
    this.#shares.set(revision, share);
    this.#failed = undefined;
  }

  pause(paused: boolean): void {
    this.settings = { ...this.settings, paused };
    this.#failed = undefined;
  }

  join(): void {
    const [zone, pool] = [`z${this.#random.below(3)}`, `p${this.#random.below(2)}`];
    const name = `n${String(this.members.length).padStart(3, '0')}`;
    const fresh = { written: undefined, wasServing: false, waits: 0, begunMs: undefined };
    const here = { awaySinceMs: undefined, backAtMs: Number.POSITIVE_INFINITY, ails: undefined };
    const well = { isBlinking: false, isDown: false };
    this.members.push({ name, zone, pool, ...fresh, ...here, ...well });
  }

  goAway(member: Member, forMs = Number.POSITIVE_INFINITY): void {
    if (member.awaySinceMs !== undefined) return;
    member.awaySinceMs = this.nowMs;
    member.backAtMs = this.nowMs + forMs;
  }

  /** Unless it was a revision that took it. */
  comeBack(member: Member): void {
    if (member.isDown) return;
    member.awaySinceMs = undefined;
    member.backAtMs = Number.POSITIVE_INFINITY;
  }

  /** For a moment, without a fault of anybody's. */
  blink(member: Member): void {
    if (isServing(member)) member.isBlinking = true;
  }

  /** What the cluster is like has changed: every node has to take it up. */
  changeFacts(): void {
    this.#facts += 1;
    for (const member of this.members) {
      const { written } = member;
      if (written === undefined) continue;
      const revision = this.#rendered(written.profileRevision ?? '');
      this.#write(member, { ...written, revision, writtenAtMs: this.nowMs });
      member.waits = Math.max(member.waits, 1);
    }
  }

  /** Time passes at the nodes. */
  tick(): void {
    this.nowMs += TICK_MS;
    for (const member of this.members) {
      if (this.nowMs >= member.backAtMs) this.comeBack(member);
      this.#live(member);
    }
  }

  /** To when something is due, where nothing can happen before. False where nothing is. */
  skip(): boolean {
    if (this.members.some((member) => this.#isBusy(member))) return true;
    if (this.#lookAgainAtMs === undefined) return false;
    while (this.nowMs + TICK_MS < this.#lookAgainAtMs) this.nowMs += TICK_MS;
    return true;
  }

  /** The operator looks once: writes down what it decided, and only then does what follows from it. True where it did anything. */
  look(): boolean {
    const { state, give, lookAgainAtMs } = planRollout({
      target: this.target,
      settings: this.settings,
      nodes: this.members.map((member) => this.#seen(member)),
      before: this.state,
      nowMs: this.nowMs,
    });
    this.#lookAgainAtMs = lookAgainAtMs;
    if (JSON.stringify(state) !== JSON.stringify(this.state)) {
      if (this.#dies()) return true;
      this.state = state;
      this.#note(state);
      return true;
    }
    this.#judge(give);
    for (const gift of give) {
      if (this.#dies()) break;
      this.#give(gift);
    }
    return give.length > 0;
  }

  /** What a fleet has come to. How far a rollout came that halted is up to who was quick. */
  get outcome(): string {
    if (this.state?.phase === 'Halted') return this.state.phase;
    return `${this.state?.phase} ${this.members.map(carries).join(' ')}`;
  }

  /** Nodes that do not serve since they were given the target, though they did before. */
  get hurt(): number {
    return this.members.filter((member) => {
      if (!member.wasServing || carries(member) !== this.target) return false;
      return member.isDown || (member.begunMs !== undefined && this.#outcome(member) === 'unable');
    }).length;
  }

  #give({ node, revision, isTrial }: Given): void {
    const member = this.members.find(({ name }) => name === node);
    if (member === undefined) return;
    const { canary } = this.settings;
    const soakSeconds = this.state?.phase === 'Canary' ? canary.soakSeconds : Math.min(canary.soakSeconds, 10);
    const trial = isTrial ? { soakSeconds, probes: [], attempt: this.state?.attempt } : undefined;
    member.wasServing = isServing(member) && this.state?.good !== undefined;
    // Who never took up what came in between has nothing to do.
    const hasIt = member.written?.report.appliedRevision === this.#rendered(revision);
    member.waits = hasIt ? 0 : 1 + this.#random.below(3);
    member.begunMs = hasIt ? this.nowMs : undefined;
    this.#write(member, {
      ...{
        name: node,
        uid: 'u',
        ownerUid: '',
        profile: 'p',
        revision: this.#rendered(revision),
        profileRevision: revision,
      },
      ...{ trial, writtenAtMs: this.nowMs, withdrawnAtMs: undefined, hasLeft: false, isIntact: true },
      report: member.written?.report ?? silence,
    });
  }

  /** One tick of its agent. */
  #live(member: Member): void {
    const { written, ails } = member;
    if (written === undefined || member.awaySinceMs !== undefined || ails === 'silent') return;
    const outcome = this.#outcome(member);
    if (outcome === 'silent') return;
    member.waits = Math.max(0, member.waits - 1);
    if (member.waits > 0) return;
    member.begunMs ??= this.nowMs;
    const { revision, trial } = written;
    const soakedMs = this.nowMs - member.begunMs;
    if (outcome === 'downs' || (outcome === 'later' && soakedMs >= LATER_MS)) {
      this.goAway(member);
      member.isDown = true;
      if (outcome === 'downs') return;
    }
    const isOver = trial !== undefined && soakedMs >= trial.soakSeconds * 1000;
    const probes = [{ name: 'a.example', ok: outcome !== 'bad' }];
    const health = { revision, attempt: trial?.attempt, soakSeconds: 0, ...figures, probes, measuredAt: '' };
    const serves = outcome !== 'unable' && ails !== 'unable' && !member.isBlinking;
    member.isBlinking = false;
    this.#report(member, { appliedRevision: revision, isServing: serves, health: isOver ? health : undefined });
  }

  #isBusy(member: Member): boolean {
    const { written, awaySinceMs, backAtMs, begunMs } = member;
    if (backAtMs < Number.POSITIVE_INFINITY && !member.isDown) return true;
    if (written === undefined || awaySinceMs !== undefined || member.ails === 'silent') return false;
    const outcome = this.#outcome(member);
    if (outcome === 'silent') return false;
    const { appliedRevision, health, isServing: serves } = written.report;
    const isDue = written.trial !== undefined && health === undefined;
    const isDoomed = outcome === 'later' && this.nowMs - (begunMs ?? this.nowMs) < LATER_MS;
    const isBlinking = !serves && outcome !== 'unable' && member.ails !== 'unable';
    return appliedRevision !== written.revision || isDue || isDoomed || isBlinking;
  }

  #report(member: Member, more: Partial<WrittenFacts['report']>): void {
    if (member.written === undefined) return;
    this.#write(member, { ...member.written, report: { ...member.written.report, ...more } });
  }

  #write(member: Member, written: WrittenFacts): void {
    this.#sightings.note(member.name, member.written, written, this.nowMs);
    member.written = written;
  }

  #rendered(revision: string): string {
    return `v1-${revision}-${this.#facts}`;
  }

  #seen(member: Member): RolloutNode {
    const { name, zone, pool, written, awaySinceMs } = member;
    const sighting = this.#sightings.get(name);
    const { healthFactor } = this.settings;
    return {
      ...{ name, zone, pool, awaySinceMs, carries: carries(member), isServing: isServing(member), isSame: false },
      ...{ isReachable: awaySinceMs === undefined, isJudged: written?.trial !== undefined },
      attempt: written?.trial?.attempt,
      standing:
        written === undefined || sighting === undefined
          ? { kind: 'settled' }
          : standingOf(written, { sighting, awaySinceMs, healthFactor, nowMs: this.nowMs }),
    };
  }

  /** Every node makes of a revision what it makes of it, whoever asks and whenever. */
  #outcome(member: Member): Outcome {
    const revision = carries(member) ?? '';
    const key = `${revision} ${member.name}`;
    const known = this.#outcomes.get(key);
    if (known !== undefined) return known;
    const isFault = hash(key, this.#random.seed) % 100 < (this.#shares.get(revision) ?? 0);
    const outcome = isFault ? this.faults[hash(`${key} how`, this.#random.seed) % this.faults.length] : undefined;
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
    // Of the first revision nobody was served before; who is ill by himself is no worse off.
    const isUnproven = (member: Member): boolean => {
      if (good === undefined || !member.wasServing || member.ails !== undefined) return false;
      if (member.awaySinceMs !== undefined)
        return member.isDown && carries(member) === target && target !== this.#failed;
      if (member.begunMs === undefined) return true;
      // What a node makes of the good one is its own affair, as long as it serves.
      if (carries(member) === good) return !isServing(member);
      return ['bad', 'unable'].includes(this.#outcome(member));
    };
    const before = members.filter(isUnproven).length;
    const after = members.filter((member) =>
      given.has(member.name)
        ? member.awaySinceMs === undefined && member.ails === undefined && isServing(member) && good !== undefined
        : isUnproven(member),
    ).length;
    if (after > Math.max(allowed, before)) this.offences.push(`${after} unavailable, ${allowed} allowed`);
    if (this.hurt > allowed * (this.faults.includes('later') ? BATCHES_UNTIL_FOUND : 1))
      this.offences.push(`${this.hurt} hurt, ${allowed} allowed`);

    const trials = give.filter(({ isTrial }) => isTrial);
    if (trials.length > allowed) this.offences.push(`${trials.length} on trial at once, ${allowed} allowed`);
    const isUnderWay = members.some(
      (member) =>
        carries(member) === target &&
        member.awaySinceMs === undefined &&
        this.#seen(member).standing.kind === 'pending',
    );
    if (state?.phase === 'Batch' && trials.length > 0 && isUnderWay) this.offences.push('two batches at once');
    if (target !== good && target === this.#failed && give.some(({ revision }) => revision === target)) {
      this.offences.push('what failed is given again');
    }
    const known = (name: string) => members.find((member) => member.name === name);
    if (settings.paused && give.some(({ node }) => known(node)?.written !== undefined)) {
      this.offences.push('given while paused');
    }
    const stranger = give.find(({ revision }) => revision !== target && revision !== good);
    if (stranger !== undefined) this.offences.push(`${stranger.revision} is neither the target nor good`);
    const away = give.find(({ node, revision }) => {
      const member = known(node);
      return member?.awaySinceMs !== undefined && (member.written !== undefined || revision !== good);
    });
    if (away !== undefined) this.offences.push(`${away.node} is away`);
  }
}

export function carries({ written }: Pick<Member, 'written'>): string | undefined {
  return written?.profileRevision;
}

function isServing({ written }: Member): boolean {
  return written?.report.isServing ?? false;
}

/** FNV-1a: the same word falls out the same, in whatever order nodes are asked. */
function hash(text: string, seed: number): number {
  let value = 0x811c9dc5 ^ seed;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return (value ^ (value >>> 13)) >>> 0;
}
