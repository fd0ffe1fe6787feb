/** The one door to pino: JSON lines on stdout, written by the control worker. */
import { destination, type Logger, pino } from 'pino';

export type Log = Logger;

/** `flush` before the process ends: lines are written in the background. */
export function openLog(level: string): { log: Log; flush: () => void } {
  const stream = destination({ dest: 1, sync: true });
  const formatters = { level: (label: string) => ({ level: label }) };
  const log = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters }, stream);
  return { log, flush: () => stream.flushSync() };
}
