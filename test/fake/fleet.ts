/** Nodes, edits and an operator that dies now and then, for rollouts by seed: what a node makes of a revision is settled beforehand. */
import {
  allowedUnavailable,
  type DefaultedRollout,
  defaultedRollout,
  type RolloutPhase,
} from '../../api/v1alpha1/rollout-settings.ts';
import { isSameState } from '../../operator/profile/course.ts';
import type { WrittenFacts } from '../../operator/profile/facts.ts';
import { type Given, planRollout } from '../../operator/profile/rollout.ts';
import type { RolloutNode } from '../../operator/profile/rollout-node.ts';
import type { RolloutState } from '../../operator/profile/rollout-state.ts';
import { Sightings } from '../../operator/profile/sightings.ts';
import type { Random } from '../fuzz/random.ts';
import {
  bare,
  carries,
  comeBack,
  type Fault,
  goAway,
  hash,
  healthOf,
  isBusy,
  isHurt,
  isServing,
  LATER_MS,
  type Member,
  marksOf,
  newMember,
  type Outcome,
  saysMore,
  seen,
  silence,
  TICK_MS,
  take,
} from './fleet-member.ts';
import { broken, type Looked } from './fleet-promises.ts';

/** So many batches may follow until then. */
const BATCHES_UNTIL_FOUND = LATER_MS / TICK_MS + 1;

export class Fleet {
  readonly members: Member[] = [];
  readonly phases: RolloutPhase[] = [];
  /** What the rules of rollouts forbid, as it happened. */
  readonly offences: string[] = [];
  target = 'r0';
  settings: DefaultedRollout;
  /** As it stands in the API. */
  state: RolloutState | undefined;
  stateWrites = 0;
  /** An operator that dies does so in the middle of what it does. */
  deadliness = 0;
  /** What a revision may do to nodes. */
  faults: readonly Fault[] = ['bad', 'unable', 'silent'];
  /** A revision of which nobody knows any more what it means, or that cannot be served now. */
  lost: string | undefined;
  /** After so long a machine that is down is replaced by another. */
  repairsMs: number | undefined;
  /** That one comes so long after it is gone. */
  gapMs = 0;
  /** Revisions that mean the same as another, as where an edit says what was the default anyway. */
  readonly same = new Map<string, string>();
  nowMs = 1_000_000;
  readonly #random: Random;
  readonly #outcomes = new Map<string, Outcome>();
  readonly #shares = new Map<string, number>();
  #sightings = new Sightings();
  #joined = 0;
  #facts = 0;
  #failed: string | undefined;
  #lookAgainAtMs: number | undefined;
  readonly #killed: { readonly atMs: number; readonly givenUnder: number }[] = [];
  readonly #joinsAtMs: number[] = [];

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

  /** An edit that changes nothing of what the target means. */
  reword(revision: string): void {
    this.same.set(revision, this.#meaning(this.target));
    this.target = revision;
    this.#failed = undefined;
  }

  /** Of a revision that is under way: for these it is another. */
  share(revision: string, share: number, members: readonly Member[]): void {
    this.#shares.set(revision, share);
    for (const { name } of members) this.#outcomes.delete(`${revision} ${name}`);
  }

  pause(paused: boolean): void {
    this.settings = { ...this.settings, paused };
    this.#failed = undefined;
  }

  join(): Member {
    const member = newMember(this.#joined, this.nowMs, this.#random);
    this.#joined += 1;
    this.members.push(member);
    return member;
  }

  /** It is selected that another profile serves. */
  takeOver(): Member {
    const member = this.join();
    member.isServedByOther = true;
    return member;
  }

  /** The machine is gone, and all that stood about it with it. */
  remove(member: Member): void {
    this.members.splice(this.members.indexOf(member), 1);
    this.#sightings.note(member.name, member.written, undefined, this.nowMs);
  }

  /** Every machine by another, as where a pool is replaced, or another is selected. */
  replaceAll(): void {
    for (const member of [...this.members]) {
      this.remove(member);
      this.join();
    }
  }

  /** The operator is another one, which knows nothing but what stands in the API. */
  die(): void {
    this.#sightings = new Sightings();
    for (const { name, written } of this.members) this.#sightings.note(name, undefined, written, this.nowMs);
  }

  goAway(member: Member, forMs = Number.POSITIVE_INFINITY): void {
    goAway(member, this.nowMs, forMs);
  }

  /** Somebody cordons it, and starts it anew. */
  maintain(member: Member, forMs: number): void {
    member.isLeaving = true;
    this.goAway(member, forMs);
  }

  /** Unless it was a revision that took it. */
  comeBack(member: Member): void {
    comeBack(member, this.nowMs);
  }

  /** For a moment, or longer, and without a fault of anybody's. */
  blink(member: Member, forMs = TICK_MS): void {
    if (isServing(member)) member.stoppedUntilMs = this.nowMs + forMs + 1;
  }

  /** All nodes are taken out of service: the profile is disabled for a while, or the product uninstalled. */
  withdraw(isDisabled: boolean): void {
    for (const member of this.members) {
      this.#sightings.note(member.name, member.written, undefined, this.nowMs);
      bare(member);
    }
    const { target, good, attempt } = this.state ?? {};
    if (!isDisabled || this.state === undefined) return;
    this.state = { phase: 'Idle', target, good, attempt };
    this.#failed = undefined;
  }

  /** What an edit says can be served, or it would not be accepted. */
  get isGoodLost(): boolean {
    return this.lost !== undefined && this.lost === this.state?.good && this.lost !== this.target;
  }

  /** What the cluster is like has changed: every node has to take it up. */
  changeFacts(): void {
    this.#facts += 1;
    for (const member of this.members) {
      const { written } = member;
      if (written !== undefined)
        this.#write(member, { ...written, revision: this.#rendered(written.profileRevision ?? '') });
    }
  }

  /** Time passes at the nodes. */
  tick(): void {
    this.nowMs += TICK_MS;
    for (const atMs of this.#joinsAtMs.splice(0)) {
      if (this.nowMs < atMs) this.#joinsAtMs.push(atMs);
      else this.join();
    }
    for (const member of [...this.members]) {
      if (this.nowMs >= member.backAtMs) this.comeBack(member);
      this.#live(member);
      const isRepaired = this.repairsMs !== undefined && member.isDown && member.awaySinceMs !== undefined;
      if (!isRepaired || this.nowMs - (member.awaySinceMs ?? 0) < (this.repairsMs ?? 0)) continue;
      if (member.wasServing) this.#killed.push({ atMs: this.nowMs, givenUnder: member.givenUnder });
      this.remove(member);
      if (this.gapMs === 0) this.join();
      else this.#joinsAtMs.push(this.nowMs + this.gapMs);
    }
  }

  /** To when something is due, where nothing can happen before. False where nothing is. */
  skip(): boolean {
    if (this.#joinsAtMs.length > 0) return true;
    if (this.members.some((member) => isBusy(member, this.#outcome(member), this.nowMs))) return true;
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
      isGoodLost: this.isGoodLost,
      nowMs: this.nowMs,
    });
    this.#lookAgainAtMs = lookAgainAtMs;
    if (!isSameState(state, this.state)) {
      if (this.#dies()) return true;
      if (state.good !== this.state?.good && !this.members.some((member) => carries(member) === state.good))
        this.offences.push(`${state.good} is good, and nobody has it`);
      this.state = state;
      this.stateWrites += 1;
      this.#note(state);
      return true;
    }
    this.offences.push(...broken(give, this.#looked()));
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
    const { target, state, nowMs } = this;
    return this.members.filter((member) =>
      isHurt(member, this.#outcome(member), { target, state, isGood: this.#isGood(member), nowMs }),
    ).length;
  }

  get #allowed(): number {
    return allowedUnavailable(this.settings.maxUnavailable, this.members.length);
  }

  /** Machines that a revision took down within a day, and that are not there any more: of how many it was allowed when each was given it. */
  get killed(): readonly number[] {
    return this.#killed.filter(({ atMs }) => atMs > this.nowMs - 86_400_000).map(({ givenUnder }) => givenUnder);
  }

  #give(given: Given): void {
    const { node, revision, isTrial } = given;
    const member = this.members.find(({ name }) => name === node);
    if (member === undefined) return;
    const { canary } = this.settings;
    const soakSeconds = this.state?.phase === 'Canary' ? canary.soakSeconds : Math.min(canary.soakSeconds, 10);
    const terms = { soakSeconds, probes: [], attempt: this.state?.attempt, ...marksOf(given) };
    const rendered = this.#rendered(revision);
    take(member, rendered, {
      givenUnder: this.#allowed,
      waits: member.pace + this.#random.below(3),
      nowMs: this.nowMs,
    });
    this.#write(member, {
      ...{ name: node, uid: member.uid, ownerUid: '', profile: 'p', revision: rendered, profileRevision: revision },
      ...{ trial: isTrial ? terms : undefined, writtenAtMs: this.nowMs, withdrawnAtMs: undefined },
      ...{ hasLeft: false, isIntact: true, report: member.written?.report ?? silence },
    });
  }

  /** One tick of its agent. */
  #live(member: Member): void {
    const { written, ails } = member;
    if (written === undefined || member.awaySinceMs !== undefined || ails === 'silent') return;
    const outcome = this.#outcome(member);
    if (outcome === 'silent') return;
    const { trial } = written;
    if (member.takes === undefined && written.report.appliedRevision !== written.revision) {
      member.takes = written.revision;
      member.waits = member.pace;
    }
    member.waits = Math.max(0, member.waits - 1);
    const isApplied = member.waits === 0;
    const revision = (isApplied ? member.takes : undefined) ?? written.report.appliedRevision;
    if (isApplied) {
      member.takes = undefined;
      member.begunMs ??= this.nowMs;
    }
    if (member.begunMs === undefined) return;
    const soakedMs = this.nowMs - member.begunMs;
    if (outcome === 'downs' || (outcome === 'later' && soakedMs >= LATER_MS)) {
      this.goAway(member);
      member.isDown = true;
      if (outcome === 'downs') return;
    }
    const isOver = trial !== undefined && soakedMs >= trial.soakSeconds * 1000;
    const probes = [{ name: 'a.example', ok: outcome !== 'bad' }];
    const health = isOver ? healthOf(written, { revision, probes, nowMs: this.nowMs }) : undefined;
    const serves = outcome !== 'unable' && ails !== 'unable' && this.nowMs >= member.stoppedUntilMs;
    const changedMs = serves === written.report.isServing ? written.report.changedMs : this.nowMs;
    this.#report(member, { appliedRevision: revision, isServing: serves, changedMs, health });
  }

  #report(member: Member, more: Partial<WrittenFacts['report']>): void {
    const { written } = member;
    if (written !== undefined && saysMore(written.report, more))
      this.#write(member, { ...written, report: { ...written.report, ...more } });
  }

  #write(member: Member, written: WrittenFacts): void {
    const touched = { ...written, touchedAtMs: this.nowMs };
    this.#sightings.note(member.name, member.written, touched, this.nowMs);
    member.written = touched;
  }

  #isGood(member: Member): boolean {
    const [carried, good] = [carries(member), this.state?.good];
    return carried !== undefined && good !== undefined && this.#meaning(carried) === this.#meaning(good);
  }

  #meaning(revision: string): string {
    return this.same.get(revision) ?? revision;
  }

  #rendered(revision: string): string {
    return `v1-${this.#meaning(revision)}-${this.#facts}`;
  }

  #seen(member: Member): RolloutNode {
    const isSame = carries(member) !== this.target && member.written?.revision === this.#rendered(this.target);
    return { ...seen(member, this.#sightings.get(member.name), this.settings.healthFactor, this.nowMs), isSame };
  }

  /** Every node makes of a revision what it makes of it, whoever asks and whenever. */
  #outcome(member: Member): Outcome {
    const revision = this.#meaning(carries(member) ?? '');
    const key = `${revision} ${member.name}`;
    const known = this.#outcomes.get(key);
    if (known !== undefined) return known;
    const isFault = hash(key, this.#random.seed) % 100 < (this.#shares.get(revision) ?? 0);
    const outcome = isFault ? this.faults[hash(`${key} how`, this.#random.seed) % this.faults.length] : undefined;
    this.#outcomes.set(key, outcome ?? 'good');
    return outcome ?? 'good';
  }

  #looked(): Looked {
    const { target, state, settings, members, isGoodLost, hurt, killed, nowMs } = this;
    return {
      ...{ target, state, settings, members, isGoodLost, hurt, killed, nowMs },
      ...{ allowed: this.#allowed, failed: this.#failed },
      batches: this.faults.includes('later') ? BATCHES_UNTIL_FOUND : 1,
      standing: (member) => this.#seen(member).standing,
      outcome: (member) => this.#outcome(member),
      isGood: (member) => this.#isGood(member),
      isSame: ({ written }, { revision }) => written?.revision === this.#rendered(revision),
    };
  }

  #dies(): boolean {
    const dies = this.deadliness > 0 && this.#random.once(this.deadliness);
    if (dies) this.die();
    return dies;
  }

  #note({ phase, target }: RolloutState): void {
    if (this.phases.at(-1) !== phase) this.phases.push(phase);
    if (phase === 'Halted' || phase === 'RollingBack' || phase === 'RolledBack') this.#failed = target;
  }
}
