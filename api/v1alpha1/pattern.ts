/**
 * The one door to re2js: patterns that users write, in RE2's syntax, matched in a time that is linear in the name whatever the
 * pattern says. What would have to backtrack (look-around, back-references) is refused.
 */
import { RE2JS, RE2JSSyntaxException, RE2Set } from 're2js';

/** For the states of the machine that patterns become; beyond, states are forgotten, and names cost more but stay linear. */
const maxMachineBytes = 4 * 1024 * 1024;

/** Which of the patterns match: their places. @param name in lower case, without a trailing dot; matched whole */
export type PatternSet = (name: string) => readonly number[];

/** Why the text is no pattern; undefined where it is one. */
export function patternError(text: string): string | undefined {
  try {
    RE2JS.compile(text, RE2JS.CASE_INSENSITIVE);
    return undefined;
  } catch (error) {
    return error instanceof RE2JSSyntaxException ? whatIsWrong(error, text) : (error as Error).message;
  }
}

/**
 * One machine for all, without case, as names are: a name passes through it once, however many patterns there are.
 * @param texts are patterns, see {@link patternError}
 */
export function patternSet(texts: readonly string[]): PatternSet {
  const set = new RE2Set(RE2Set.ANCHOR_BOTH, RE2JS.CASE_INSENSITIVE, maxMachineBytes);
  for (const text of texts) set.add(text);
  set.compile();
  return (name) => set.match(name);
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
