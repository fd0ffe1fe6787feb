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
  // The engine's own sign for "without case" is not the user's.
  const part = (error.getPattern() ?? '').replace(/^\(\?i\)/, '');
  const at = part === '' ? text.length : text.indexOf(part) + 1;
  return `not a pattern of the RE2 syntax: ${error.getDescription()} at character ${at}${part === '' ? '' : `: ${part}`}`;
}
