import { writeFileSync } from 'node:fs';

/** Linux shares processors between sessions first, so niceness alone would not do (sched(7), autogroup). */
export function preferSession(pid: number | undefined): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, '-15');
  } catch {
    // Another system, or no right to it: then it is as loud as it is.
  }
}
