/**
 * The one door to re2js: patterns that users write, in RE2's syntax, matched in a time that is linear in the name whatever the
 * pattern says. What would have to backtrack (look-around, back-references) is refused.
 */
import { RE2JS } from 're2js';

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
    return { error: (error as Error).message };
  }
}
