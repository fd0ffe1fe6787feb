import { type Reason, reasons } from '../../../api/v1alpha1/conditions.ts';

/** `blocking`: interception is not possible, or for `address` alone where one is named. */
export type Level = 'ok' | 'warning' | 'blocking';

/** What one check found on this node. */
export interface Finding {
  /** Stable, in kebab-case: which check this is. Several findings may come of one. */
  readonly check: string;
  readonly level: Level;
  /** Becomes the reason of the condition Intercepting=False where it is blocking. */
  readonly reason: Reason;
  /** What was found, what it means, what to do. */
  readonly message: string;
  /** The one listen address or Service address that it concerns; absent where it concerns all of them. */
  readonly address?: string;
}

export type Check<F> = (facts: F) => Finding[];

/** The three things that a check can say, with its name filled in. */
export function saying(check: string) {
  const say =
    (level: Level) =>
    (reason: Reason, message: string, address?: string): Finding => ({
      check,
      level,
      reason,
      message,
      ...(address !== undefined && { address }),
    });
  return {
    ok: (message: string, address?: string) => say('ok')(reasons.checkPassed, message, address),
    warning: say('warning'),
    blocking: say('blocking'),
  };
}
