/** The one door to pino: JSON lines on stdout, written by the control worker. */
import { type Logger, pino } from 'pino';
import type { Clock } from './clock.ts';
import { LogOutput, withoutWaiting } from './log-output.ts';

export type Log = Logger;

const stdout = 1;
/** Octets of lines about queries that are written in one go. */
const queryLinesOctets = 8 * 1024;
/** Of the room for lines that wait, what those about queries may fill: the others say what is wrong. */
const queryLinesShare = 0.5;

/**
 * `end` before the process does: lines may wait for whoever reads them.
 * @param level of all but the lines about queries: those a profile has asked for
 */
export function openLog(level: string, clock: Clock, fd = withoutWaiting(stdout)) {
  const output = new LogOutput(fd, clock);
  const formatters = { level: (label: string) => ({ level: label }) };
  const log: Log = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters }, output);
  return {
    log,
    end: (withinMs: number) => output.end(withinMs),
    lost: () => output.lost,
    queries: openQueryLines(formatters, output),
  };
}

/** There may be thousands a second, each with the time at which its query was answered: they are written many at a time. */
function openQueryLines(formatters: { level: (label: string) => object }, output: LogOutput) {
  let atMs = 0;
  const timestamp = () => `,"time":"${new Date(atMs).toISOString()}"`;
  const write = (line: string) => {
    output.hold(line, queryLinesShare);
    if (output.waiting >= queryLinesOctets) output.flush();
  };
  const log = pino({ level: 'info', base: null, timestamp, formatters }, { write });
  return {
    write: (line: object, wallMs: number): void => {
      atMs = wallMs;
      log.info(line, 'query');
    },
    flush: () => output.flush(),
  };
}
