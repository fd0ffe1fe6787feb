import { destination, type Logger as Pino, pino } from 'pino';
import type { LogLevel } from './options.ts';

export type Log = Pick<Pino, 'debug' | 'info' | 'warn' | 'error'>;

/** JSON lines on stdout, written at once: a worker transport would cost 200 MB, and lose the last line before an exit. */
export function createLog(level: LogLevel): Log {
  return pino(
    {
      level,
      base: { program: 'operator' },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ fd: 1, sync: true }),
  );
}
