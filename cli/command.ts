/** What each command's file exports, and how a command says that it was called wrongly. */

export interface Command {
  /** The text of `localdns COMMAND --help`. */
  usage?: string;
  /** Takes what follows the command's word. Returns the exit code; nothing means 0. */
  run(argv: string[]): Promise<number | undefined> | Promise<void>;
}

/** 0 good, 1 found wrong, 2 could not run. */
export const exitCode = { good: 0, foundWrong: 1, couldNotRun: 2 } as const;

/** Ends the program with code 2 and one line: its message, which names the option or argument. */
export class UsageError extends Error {
  override name = 'UsageError';
}
