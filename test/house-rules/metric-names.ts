import type { Offence, SourceFile } from './source-tree.ts';

export interface Metric {
  type: 'Counter' | 'Gauge' | 'Histogram' | 'Summary';
  name: string;
}

/** The metrics that a file declares: with prom-client's classes, or with functions that are called as they are. */
export function metricsOf(text: string): Metric[] {
  const declared =
    /\b(counter|gauge|histogram|summary)\b(?:<[^(]*>)?\(\s*(?:\{[^}]*?\bname:\s*)?(['"`])(?<name>\w+)\2/gi;
  return [...text.matchAll(declared)].map(([, type = '', , name = '']) => ({
    type: `${type.charAt(0).toUpperCase()}${type.slice(1).toLowerCase()}` as Metric['type'],
    name,
  }));
}

/** "Metric and label naming" of Prometheus: one prefix, base units in the plural, `_total` for what only grows. */
export function metricOffences({ path, text }: SourceFile): Offence[] {
  const metrics = metricsOf(text);
  // A name that is declared in some other way would escape the rule; one that ends in _ is a prefix.
  const unread = [...text.matchAll(/(['"`])(localdns_\w*[^\W_])\1/g)]
    .map(([, , name = '']) => name)
    .filter((name) => !metrics.some((metric) => metric.name === name));
  return [
    ...metrics.flatMap(({ type, name }) =>
      complaints(type, name).map((complaint) => ({ path, message: `${name} ${complaint}` })),
    ),
    ...unread.map((name) => ({ path, message: `${name} is declared in a way that this rule does not read` })),
  ];
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
