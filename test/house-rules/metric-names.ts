import type { Offence, SourceFile } from './source-tree.ts';

export interface Metric {
  type: 'Counter' | 'Gauge' | 'Histogram' | 'Summary';
  name: string;
}

/** The metrics that a file declares with prom-client's classes. */
export function metricsOf(text: string): Metric[] {
  const declared =
    /\bnew\s+(?:\w+\.)?(Counter|Gauge|Histogram|Summary)\b[^({]*\(\s*\{[^}]*?\bname:\s*(['"`])([^'"`]+)\2/g;
  return [...text.matchAll(declared)].map(([, type, , name]) => ({ type: type as Metric['type'], name: name ?? '' }));
}

/** "Metric and label naming" of Prometheus: one prefix, base units in the plural, `_total` for what only grows. */
export function metricOffences({ path, text }: SourceFile): Offence[] {
  return metricsOf(text).flatMap(({ type, name }) =>
    complaints(type, name).map((complaint) => ({ path, message: `${name} ${complaint}` })),
  );
}

const otherUnits =
  /_(ms|millis|milliseconds|micros|microseconds|us|nanos|nanoseconds|ns|minutes|hours|kb|kib|mb|mib|kilobytes|megabytes|percent|second|byte)(_|$)/;

function complaints(type: Metric['type'], name: string): string[] {
  return [
    !/^localdns(_[a-z0-9]+)+$/.test(name) && 'is not localdns_ and words of small letters',
    otherUnits.test(name) && 'is not in a base unit: seconds, bytes, ratio',
    type === 'Counter' && !name.endsWith('_total') && 'is a counter and does not end in _total',
    type !== 'Counter' && name.endsWith('_total') && `ends in _total and is a ${type.toLowerCase()}`,
    /_(count|sum|bucket)$/.test(name) && 'ends as a part of a histogram does',
  ].filter((complaint) => complaint !== false);
}
