/**
 * How the node serves with a revision that has come into force: measured once, at the end of the time that its spec names, beside
 * as long a time before. Nothing is said of a revision that is replaced meanwhile.
 */
import type { NodeHealth } from '../../api/v1alpha1/node.ts';
import type { Clock, Timer } from '../clock.ts';
import { added, between, type Figures, p99Micros, waited } from '../figures.ts';
import { Past } from './past.ts';

export type Probed = NonNullable<NodeHealth['probes']>[number];

export interface Terms {
  readonly soakSeconds: number;
  readonly probes: readonly string[];
  /** The same revision under another one is measured anew; absent where the operator does not count them. */
  readonly attempt?: number | undefined;
  /** The revision of the profile that is tried. */
  readonly profileRevision?: string | undefined;
}

export interface TrialParts {
  readonly clock: Clock;
  readonly wallMs: () => number;
  /** Since the start of the process. */
  readonly figures: () => Figures;
  /** Asks this node's own listener for the names; never rejects. */
  readonly probe: (names: readonly string[]) => Promise<Probed[]>;
  readonly onHealth: (health: NodeHealth) => void;
}

interface Course {
  /** Another one where what the cluster is like changes in the course of a trial. */
  revision: string;
  /** When the revision came into force, and what the figures were. */
  readonly applied: Look;
  /** Since when it is on trial. */
  begun: Look | undefined;
  terms: Terms | undefined;
  /** It has been measured, or is being measured. */
  isOver: boolean;
  /** How it served, once that is measured. */
  told: NodeHealth | undefined;
}

interface Look {
  readonly atMs: number;
  readonly figures: Figures;
}

const lookMs = 1_000;

export class Trial {
  readonly #parts: TrialParts;
  readonly #past = new Past();
  #course: Course | undefined;
  #looking: Timer | undefined;
  #ending: Timer | undefined;
  /** What was counted while probes ran: their answers are nobody's. */
  #left: Figures | undefined;
  /** For as long as probes run, nothing is counted. */
  #frozen: Figures | undefined;
  /** One after the other. */
  #probing: Promise<unknown> = Promise.resolve();

  constructor(parts: TrialParts) {
    this.#parts = parts;
  }

  /**
   * This revision is in force, or still is; it is on trial where there are terms.
   * @param measured its health, where that is known already from before a restart
   */
  inForce(revision: string, terms: Terms | undefined, measured: NodeHealth | undefined): void {
    if (this.#looking === undefined) this.#look();
    const course = this.#courseOf(revision, terms);
    if (terms?.attempt !== undefined && course.terms !== undefined && terms.attempt !== course.terms.attempt) {
      course.begun = undefined;
      course.isOver = false;
      course.told = undefined;
    }
    course.isOver ||= measured !== undefined;
    course.told ??= measured;
    // Facts have changed while no agent was there.
    if (measured !== undefined && measured.revision !== revision) this.#tellAgain(course);
    course.terms = terms;
    if (terms === undefined) course.begun = undefined;
    else course.begun ??= this.#now();
    this.#await(course);
  }

  #courseOf(revision: string, terms: Terms | undefined): Course {
    const course = this.#course;
    if (course?.revision === revision) return course;
    if (course !== undefined && isSameTrial(course.terms, terms)) {
      course.revision = revision;
      this.#tellAgain(course);
      return course;
    }
    const open = { begun: undefined, terms: undefined, isOver: false, told: undefined };
    this.#course = { revision, applied: this.#now(), ...open };
    return this.#course;
  }

  /** Of a trial that is over, with the revision that is in force now. */
  #tellAgain({ told, revision }: Course): void {
    if (told !== undefined) this.#parts.onHealth({ ...told, revision });
  }

  /** Nothing is in force: what comes next has no past. */
  stop(): void {
    this.#looking?.cancel();
    this.#ending?.cancel();
    this.#looking = undefined;
    this.#course = undefined;
    this.#past.clear();
  }

  #look(): void {
    if (this.#frozen === undefined) this.#past.note(this.#parts.clock.nowMs(), this.#figures());
    this.#looking = this.#parts.clock.after(lookMs, () => this.#look());
  }

  #now(): Look {
    return { atMs: this.#parts.clock.nowMs(), figures: this.#figures() };
  }

  #figures(): Figures {
    const figures = this.#frozen ?? this.#parts.figures();
    return this.#left === undefined || this.#frozen !== undefined ? figures : between(this.#left, figures);
  }

  #await(course: Course): void {
    this.#ending?.cancel();
    const { begun, terms, isOver } = course;
    if (begun === undefined || terms === undefined || isOver) return;
    const leftMs = begun.atMs + terms.soakSeconds * 1000 - this.#parts.clock.nowMs();
    this.#ending = this.#parts.clock.after(Math.max(0, leftMs), () => void this.#measure(course, begun, terms));
  }

  async #measure(course: Course, begun: Look, terms: Terms): Promise<void> {
    course.isOver = true;
    const { probes: names, attempt, profileRevision } = terms;
    const { wallMs, onHealth } = this.#parts;
    const { atMs, figures } = this.#now();
    const before = this.#past.window(course.applied, atMs - begun.atMs);
    const measuredAt = new Date(wallMs()).toISOString().replace(/\.\d{3}Z$/, 'Z');
    const probes = names.length === 0 ? [] : await this.#probe(names);
    if (this.#course !== course) return;
    course.told = {
      revision: course.revision,
      ...(profileRevision !== undefined && { profileRevision }),
      ...(attempt !== undefined && { attempt }),
      soakSeconds: Math.floor((atMs - begun.atMs) / 1000),
      ...told(between(begun.figures, figures)),
      ...(before !== undefined && { before: told(before) }),
      probes,
      measuredAt,
    };
    onHealth(course.told);
  }

  #probe(names: readonly string[]): Promise<Probed[]> {
    const probing = this.#probing.then(() => this.#askProbes(names));
    this.#probing = probing;
    return probing;
  }

  async #askProbes(names: readonly string[]): Promise<Probed[]> {
    const { figures, probe } = this.#parts;
    const from = figures();
    this.#frozen = this.#figures();
    try {
      return await probe(names);
    } finally {
      const meanwhile = between(from, figures());
      this.#left = this.#left === undefined ? meanwhile : added(this.#left, meanwhile);
      this.#frozen = undefined;
    }
  }
}

/** A change of what the cluster is like is no change of the profile, and begins no trial anew: one that changes all the time would never end. */
function isSameTrial(before: Terms | undefined, terms: Terms | undefined): boolean {
  if (before?.attempt === undefined || before.profileRevision === undefined) return false;
  return before.attempt === terms?.attempt && before.profileRevision === terms.profileRevision;
}

function told(figures: Figures) {
  const { answers, servFails } = figures;
  return {
    queries: answers,
    servFailPermille: answers === 0 ? 0 : Math.round((servFails / answers) * 1000),
    waited: waited(figures),
    p99Micros: p99Micros(figures),
  };
}
