/**
 * The one door to re2js: patterns that users write, in RE2's syntax, matched in a time that is linear in the name whatever the
 * pattern says. What would have to backtrack (look-around, back-references) is refused.
 */
import { RE2JS, RE2JSSyntaxException } from 're2js';

export interface Pattern {
  /** @param name in lower case, without a trailing dot; matched whole */
  matches(name: string): boolean;
}

/** Without case, as names are; or why the text is no pattern. */
export function compilePattern(text: string): Pattern | { error: string } {
  try {
    const compiled = RE2JS.compile(text, RE2JS.CASE_INSENSITIVE);
    return { matches: (name) => compiled.testExact(name) };
  } catch (error) {
    return { error: error instanceof RE2JSSyntaxException ? whatIsWrong(error, text) : (error as Error).message };
  }
}

/** In words, with what it is about and where that stands. */
function whatIsWrong(error: RE2JSSyntaxException, text: string): string {
  // The engine's own sign for "without case" is not the user's.
  const part = (error.getPattern() ?? '').replace(/^\(\?i\)/, '');
  const at = part === '' ? text.length : text.indexOf(part) + 1;
  return `not a pattern of the RE2 syntax: ${error.getDescription()} at character ${at}${part === '' ? '' : `: ${part}`}`;
}
