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

/** What has been made of a text; the operator asks again whenever it looks at a profile, an agent at each configuration. */
const known = new Map<string, PatternMachine | string>();
const maxKnown = 2 * maxPatterns;

function machineOf(text: string): PatternMachine | string {
  const before = known.get(text);
  if (before !== undefined) return before;
  if (known.size >= maxKnown) known.clear();
  const made = make(text);
  known.set(text, made);
  return made;
}

function make(text: string): PatternMachine | string {
  const set = new RE2Set(RE2Set.ANCHOR_BOTH, RE2JS.CASE_INSENSITIVE);
  try {
    set.add(text);
    set.compile();
  } catch (error) {
    return error instanceof RE2JSSyntaxException ? whatIsWrong(error, text) : (error as Error).message;
  }
  return patternMachine(set.prog) ?? tooCostly(text);
}

/** Patterns one after the other, as far as there is room for them. */
export class PatternBudget {
  #patterns = 0;
  #states = 0;

  /** Why the text is no pattern, or cannot be one more of them; undefined where it is. */
  error(text: string): string | undefined {
    const machine = machineOf(text);
    if (typeof machine === 'string') return machine;
    if (this.#patterns >= maxPatterns) return `too many: the patterns of a profile are at most ${maxPatterns}`;
    if (this.#states + machine.states > maxStatesInAll) {
      return `too costly: its machine has ${machine.states} states, and with those before it more than ${maxStatesInAll}`;
    }
    this.#patterns += 1;
    this.#states += machine.states;
    return undefined;
  }
}

/** @param texts have passed a {@link PatternBudget} */
export function patternSet(texts: readonly string[]): PatternSet {
  const bySuffix = new Map<string, { place: number; machine: PatternMachine }[]>();
  for (const [place, text] of texts.entries()) {
    const machine = machineOf(text);
    if (typeof machine === 'string') throw new Error(machine);
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
