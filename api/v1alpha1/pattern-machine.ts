/**
 * A pattern as a table: for each state and each character of a name the next state (a deterministic automaton, by the subset
 * construction). To look a name up costs one step for each of its characters, whatever the pattern says and whoever made the name:
 *
 *     next[state * width + class of the character] → state;  0: no name that goes on like this matches
 *
 * An engine that builds its states while it reads names pays for each of them again under a flood of names made for that.
 * A pattern for which there would be too many states has no machine.
 */

/** Of the engine: what a program is made of. It exports none of this, but each instruction knows its own class. */
export interface Program {
  readonly start: number;
  numInst(): number;
  getInst(at: number): Instruction;
}

interface Instruction {
  readonly op: number;
  readonly out: number;
  readonly arg: number;
  matchRune(rune: number): boolean;
}

type Ops = Readonly<Record<'ALT' | 'ALT_MATCH' | 'CAPTURE' | 'EMPTY_WIDTH' | 'FAIL' | 'MATCH' | 'NOP', number>> & {
  isRuneOp(op: number): boolean;
};

/** For one pattern: some 300 KiB of table. */
export const maxStates = 4_096;
/** So many places of a program may be looked at for one pattern: some 25 ms. */
const maxWork = 2_000_000;
/** A program of more has too many states, or too many places in each. */
const maxInstructions = 8_192;
const maxSuffix = 32;

/** The conditions of an EMPTY_WIDTH instruction. */
const endOf = { line: 2, text: 8 };
const beginning = 1 | 4;
const wordBoundary = 16;
const noWordBoundary = 32;

/** What stands in the text of a name (RFC 1035 §5.1), in lower case. Everything else is of class 0, and leads nowhere. */
const characters = Array.from({ length: 94 }, (_, at) => 33 + at).filter((code) => code < 65 || code > 90);
const words = new Set(Array.from('abcdefghijklmnopqrstuvwxyz0123456789_', (letter) => letter.charCodeAt(0)));
const isWord = (code: number) => words.has(code);

interface State {
  /** Instructions at which a character is read, or a condition waits, or the pattern ends; in order. */
  readonly places: readonly number[];
  readonly isPending: boolean;
  /** True at the start of the name, and where a condition waits behind a letter. */
  readonly conditions: number;
  readonly isBehindWord: boolean;
}

export class PatternMachine {
  readonly #classOf: Uint8Array;
  readonly #width: number;
  readonly #next: Uint16Array;
  readonly #accepts: Uint8Array;
  /** What every name that matches ends in: nothing else need be looked at. */
  readonly suffix: string;

  constructor(classOf: Uint8Array, width: number, next: Uint16Array, accepts: Uint8Array) {
    this.#classOf = classOf;
    this.#width = width;
    this.#next = next;
    this.#accepts = accepts;
    this.suffix = this.#suffix();
  }

  get states(): number {
    return this.#accepts.length;
  }

  /** @param name in lower case, without a trailing dot; matched whole */
  matches(name: string): boolean {
    const next = this.#next;
    const classOf = this.#classOf;
    const width = this.#width;
    let state = 1;
    for (let at = 0; at < name.length; at += 1) {
      state = next[state * width + (classOf[name.charCodeAt(at)] ?? 0)] ?? 0;
      if (state === 0) return false;
    }
    return this.#accepts[state] === 1;
  }

  /** Backwards from where it ends, for as long as one character alone leads there. */
  #suffix(): string {
    let suffix = '';
    let ends = new Set<number>();
    for (let state = 0; state < this.#accepts.length; state += 1) if (this.#accepts[state] === 1) ends.add(state);
    while (suffix.length < maxSuffix && !ends.has(1)) {
      const before = new Set<number>();
      const classes = new Set<number>();
      for (let at = 0; at < this.#next.length; at += 1) {
        if (!ends.has(this.#next[at] as number)) continue;
        before.add(Math.floor(at / this.#width));
        classes.add(at % this.#width);
      }
      const of = characters.filter((code) => classes.has(this.#classOf[code] as number));
      if (of.length !== 1) break;
      suffix = String.fromCharCode(of[0] as number) + suffix;
      ends = before;
    }
    return suffix;
  }
}

/** Undefined where it would have too many states. */
export function patternMachine(program: Program): PatternMachine | undefined {
  return program.numInst() > maxInstructions ? undefined : new Construction(program).machine();
}

class Construction {
  /** The program, field by field: each of its instructions is looked at thousands of times. */
  readonly #ops: Ops;
  readonly #op: Uint8Array;
  readonly #out: Int32Array;
  readonly #arg: Int32Array;
  /** Whether an instruction reads the characters of a class: at `instruction * width + class`. */
  readonly #reads: Uint8Array;
  readonly #classOf = new Uint8Array(128);
  /** A character of each class; none of class 0. */
  readonly #samples: number[] = [-1];
  readonly #start: number;
  readonly #seen: Int32Array;
  #mark = 0;
  #work = 0;
  readonly #states: (State | undefined)[] = [undefined];
  readonly #numbers = new Map<string, number>();

  constructor(program: Program) {
    const instructions = Array.from({ length: program.numInst() }, (_, at) => program.getInst(at));
    this.#ops = program.getInst(program.start).constructor as unknown as Ops;
    this.#op = Uint8Array.from(instructions, ({ op }) => op);
    this.#out = Int32Array.from(instructions, ({ out }) => out);
    this.#arg = Int32Array.from(instructions, ({ arg }) => arg);
    this.#start = program.start;
    this.#seen = new Int32Array(instructions.length);
    this.#classify(instructions);
    this.#reads = Uint8Array.from(
      instructions.flatMap((instruction) => this.#samples.map((sample) => (this.#isRead(instruction, sample) ? 1 : 0))),
    );
  }

  machine(): PatternMachine | undefined {
    const width = this.#samples.length;
    const next: number[] = this.#samples.map(() => 0);
    const accepts = [0];
    this.#number([this.#start], beginning, false);
    for (let number = 1; number < this.#states.length; number += 1) {
      const state = this.#states[number] as State;
      next.push(0);
      for (let of = 1; of < width; of += 1) next.push(this.#step(state, of));
      accepts.push(this.#isEnd(state) ? 1 : 0);
      if (this.#states.length > maxStates || this.#work > maxWork) return undefined;
    }
    return new PatternMachine(this.#classOf, width, Uint16Array.from(next), Uint8Array.from(accepts));
  }

  /** Characters that the program cannot tell apart are of one class. */
  #classify(instructions: readonly Instruction[]): void {
    const readers = instructions.filter(({ op }) => this.#ops.isRuneOp(op));
    const asksForWords = instructions.some(({ op, arg }) => op === this.#ops.EMPTY_WIDTH && arg >= wordBoundary);
    const classes = new Map<string, number>();
    for (const code of characters) {
      const key = readers.map((reader) => (this.#isRead(reader, code) ? '1' : '0')).join('');
      const whole = asksForWords ? `${key}${isWord(code)}` : key;
      const known = classes.get(whole) ?? this.#samples.push(code) - 1;
      classes.set(whole, known);
      this.#classOf[code] = known;
    }
  }

  #isRead(instruction: Instruction, code: number): boolean {
    return code >= 0 && this.#ops.isRuneOp(instruction.op) && instruction.matchRune(code);
  }

  #step(state: State, of: number): number {
    const isNextWord = isWord(this.#samples[of] as number);
    const open = state.isPending ? this.#closure(state.places, this.#between(state, isNextWord)) : state.places;
    const width = this.#samples.length;
    const targets: number[] = [];
    for (const at of open) if (this.#reads[at * width + of] === 1) targets.push(this.#out[at] as number);
    this.#work += open.length;
    return targets.length === 0 ? 0 : this.#number(targets, 0, isNextWord);
  }

  #isEnd(state: State): boolean {
    const conditions = this.#between(state, false) | endOf.line | endOf.text;
    const open = state.isPending ? this.#closure(state.places, conditions) : state.places;
    return open.some((at) => this.#op[at] === this.#ops.MATCH);
  }

  /** Which conditions hold between the state and what comes next. */
  #between({ conditions, isBehindWord }: State, isNextWord: boolean): number {
    return conditions | (isBehindWord === isNextWord ? noWordBoundary : wordBoundary);
  }

  #number(targets: readonly number[], conditions: number, isBehindWord: boolean): number {
    const places = this.#closure(targets, conditions);
    if (places.length === 0) return 0;
    const isPending = places.some((at) => this.#op[at] === this.#ops.EMPTY_WIDTH);
    const state: State = isPending
      ? { places, isPending, conditions, isBehindWord }
      : { places, isPending, conditions: 0, isBehindWord: false };
    const key = `${String.fromCharCode(...places)} ${state.conditions} ${state.isBehindWord}`;
    const number = this.#numbers.get(key) ?? this.#states.push(state) - 1;
    this.#numbers.set(key, number);
    return number;
  }

  /** Where one can be without reading a character, while these conditions hold. */
  #closure(from: readonly number[], conditions: number): number[] {
    const { ALT, ALT_MATCH, NOP, CAPTURE, EMPTY_WIDTH, FAIL } = this.#ops;
    this.#mark += 1;
    const places: number[] = [];
    const stack = [...from];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (this.#seen[at] === this.#mark) continue;
      this.#seen[at] = this.#mark;
      this.#work += 1;
      const op = this.#op[at] as number;
      if (op === ALT || op === ALT_MATCH) stack.push(this.#out[at] as number, this.#arg[at] as number);
      else if (op === NOP || op === CAPTURE) stack.push(this.#out[at] as number);
      else if (op !== FAIL) {
        places.push(at);
        if (op === EMPTY_WIDTH && ((this.#arg[at] as number) & ~conditions) === 0) stack.push(this.#out[at] as number);
      }
    }
    return places.sort((a, b) => a - b);
  }
}
