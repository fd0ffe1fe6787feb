/** The one door to pino: JSON lines on stdout, written by the control worker. */
import { destination, type Logger, pino } from 'pino';

export type Log = Logger;

/** Octets of lines about queries that are written in one go. */
const queryLinesOctets = 8 * 1024;

/** `flush` before the process ends: lines are written in the background. */
export function openLog(level: string) {
  const stream = destination({ dest: 1, sync: true });
  const formatters = { level: (label: string) => ({ level: label }) };
  const log: Log = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters }, stream);
  return { log, flush: () => stream.flushSync(), queries: openQueryLines(level, formatters) };
}

/** There may be thousands a second, each with the time at which its query was answered: they are written many at a time. */
function openQueryLines(level: string, formatters: { level: (label: string) => object }) {
  const stream = destination({ dest: 1, sync: true, minLength: queryLinesOctets });
  let atMs = 0;
  const timestamp = () => `,"time":"${new Date(atMs).toISOString()}"`;
  const log = pino({ level, base: null, timestamp, formatters }, stream);
  return {
    write: (line: object, wallMs: number): void => {
      atMs = wallMs;
      log.info(line, 'query');
    },
    flush: () => stream.flushSync(),
  };
}
