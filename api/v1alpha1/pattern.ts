/**
 * The one door to re2js: patterns that users write, in RE2's syntax, matched in a time that is linear in the name whatever the
 * pattern says. What would have to backtrack (look-around, back-references) is refused, and what would be too large as a machine.
 */
import { RE2JS, RE2JSSyntaxException, RE2Set } from 're2js';
import { maxStates, type PatternMachine, patternMachine } from './pattern-machine.ts';

/** Which of the patterns match: their places. @param name in lower case, without a trailing dot; matched whole */
export type PatternSet = (name: string) => readonly number[];

/**
 * Of all patterns of a profile together. A name of 253 characters, whoever made it, then costs a millisecond at most: a step
 * for each of its characters in each machine, and only in those of patterns that end as it does.
 */
export const maxPatterns = 512;
export const maxStatesInAll = 65_536;
/** So that a smaller one may follow one that had no room. */
const maxLooked = maxStatesInAll + 4 * maxStates;

/** What has been made of a text, the one asked for last at the end: an agent asks again at each configuration, the operator at each edit. */
const known = new Map<string, PatternMachine | Refusal>();
const maxKnown = 2 * maxPatterns;

/** Why there is no machine, and how many states it has cost to find out. */
class Refusal {
  readonly message: string;
  readonly states: number;

  constructor(message: string, states = 0) {
    this.message = message;
    this.states = states;
  }
}

function machineOf(text: string): PatternMachine | Refusal {
  const made = known.get(text) ?? make(text);
  known.delete(text);
  const [oldest] = known.keys();
  if (known.size >= maxKnown && oldest !== undefined) known.delete(oldest);
  known.set(text, made);
  return made;
}

function make(text: string): PatternMachine | Refusal {
  const set = new RE2Set(RE2Set.ANCHOR_BOTH, RE2JS.CASE_INSENSITIVE);
  try {
    set.add(text);
    set.compile();
  } catch (error) {
    return new Refusal(error instanceof RE2JSSyntaxException ? whatIsWrong(error, text) : (error as Error).message);
  }
  return patternMachine(set.prog) ?? new Refusal(tooCostly(text), maxStates);
}

/**
 * Patterns one after the other, as far as there is room for them. To refuse one takes as long as to take it: what is left is not even
 * looked at once the room is used up, or the four thousand that a profile can hold would keep their judge busy for minutes.
 */
export class PatternBudget {
  #patterns = 0;
  #states = 0;
  /** Those of refused ones included. */
  #looked = 0;

  /** Why the text is no pattern, or cannot be one more of them; undefined where it is. */
  error(text: string): string | undefined {
    if (this.#patterns >= maxPatterns) return `too many: the patterns of a profile are at most ${maxPatterns}`;
    if (this.#looked >= maxLooked) return 'too costly: those before it cost more than all patterns of a profile may';
    this.#patterns += 1;
    const machine = machineOf(text);
    this.#looked += machine.states;
    if (machine instanceof Refusal) return machine.message;
    if (this.#states + machine.states > maxStatesInAll) {
      return `too costly: its machine has ${machine.states} states, and with those before it more than ${maxStatesInAll}`;
    }
    this.#states += machine.states;
    return undefined;
  }
}

/** @param texts have passed a {@link PatternBudget} */
export function patternSet(texts: readonly string[]): PatternSet {
  const bySuffix = new Map<string, { place: number; machine: PatternMachine }[]>();
  for (const [place, text] of texts.entries()) {
    const machine = machineOf(text);
    if (machine instanceof Refusal) throw new Error(machine.message);
    const alike = bySuffix.get(machine.suffix) ?? [];
    alike.push({ place, machine });
    bySuffix.set(machine.suffix, alike);
  }
  return (name) => {
    const places: number[] = [];
    for (const [suffix, alike] of bySuffix) {
      if (!name.endsWith(suffix)) continue;
      for (const { place, machine } of alike) if (machine.matches(name)) places.push(place);
    }
    return places;
  };
}

/** Where one counts, the highest count is to blame. */
function tooCostly(text: string): string {
  const counts = [...text.matchAll(/\{(\d+)(?:,(\d*))?\}/g)];
  const highest = (count: RegExpExecArray) => Math.max(Number(count[1]), Number(count[2] ?? 0));
  const [worst] = counts.toSorted((a, b) => highest(b) - highest(a));
  const place =
    worst === undefined ? '' : `, for which the count at character ${worst.index + 1} is to blame: ${worst[0]}`;
  return `too costly: its machine would have more than ${maxStates} states, or take too long to make${place}`;
}

/** In words, with what it is about and where that stands. */
function whatIsWrong(error: RE2JSSyntaxException, text: string): string {
  const description = error.getDescription();
  const { at, part } = placeOf(error, text);
  return `not a pattern of the RE2 syntax: ${description} at character ${at + 1}${part === '' ? '' : `: ${part}`}`;
}

/** Where it stands. The engine says which text it stumbles over, and of a parenthesis nothing; the same text may stand before it. */
function placeOf(error: RE2JSSyntaxException, text: string): { at: number; part: string } {
  // The engine's own sign for "without case" is not the user's.
  const part = partOf(error);
  if (part === '') return { at: text.length - 1, part };
  if (part === text) {
    const at = oddParenthesis(text);
    if (at !== undefined) return { at, part: text.slice(at) };
  }
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) {
    // What the engine stumbles over it stumbles over as soon as it has read it; the character behind ends a name.
    const end = at + part.length;
    if ([end, end + 1].some((length) => stumblesAlike(text.slice(0, length), error))) return { at, part };
  }
  return { at: text.indexOf(part), part };
}

function stumblesAlike(text: string, error: RE2JSSyntaxException): boolean {
  try {
    RE2JS.compile(text, RE2JS.CASE_INSENSITIVE);
    return false;
  } catch (other) {
    if (!(other instanceof RE2JSSyntaxException)) return false;
    return other.getDescription() === error.getDescription();
  }
}

function partOf(error: RE2JSSyntaxException): string {
  return (error.getPattern() ?? '').replace(/^\(\?i\)/, '');
}

/** The first parenthesis that closes nothing, or the last that nothing closes; those in a class, quoted or escaped are text. */
function oddParenthesis(text: string): number | undefined {
  const open: number[] = [];
  for (const { 0: token, index } of text.matchAll(/\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]])*\]|[()]/gs)) {
    if (token === '(') open.push(index);
    else if (token === ')' && open.pop() === undefined) return index;
  }
  return open.at(-1);
}
