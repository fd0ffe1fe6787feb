/**
 * What `node --test` prints through us: a dot per test, and everything there is to know about one that fails. The
 * built-in dot reporter swallows what a test file wrote to its standard error, which is all there is to see of a file
 * that cannot even be imported.
 *
 * The totals go to the file that LOCALDNS_TEST_TOTALS names, for the runner to add up.
 */
import { appendFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
  /** The names of those that failed. */
  failures: string[];
}

const dotsPerLine = 100;
const outputLines = 200;

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const totals: Totals = { passed: 0, failed: 0, skipped: 0, failures: [] };
  const skips = new Map<string, string[]>();
  const output = new Map<string, string[]>();
  const failedFiles = new Set<string>();
  let lastReason = '';
  let dots = 0;

  for await (const { type, data } of events) {
    switch (type) {
      case 'test:stdout':
      case 'test:stderr': {
        // Named as the file was on the command line; in the events of tests it is absolute.
        const file = resolve(data.file);
        output.set(file, [...(output.get(file) ?? []), data.message].slice(-outputLines));
        break;
      }
      case 'test:pass':
      case 'test:fail': {
        if (data.details.type === 'suite' && !(type === 'test:fail' && failedItself(data.details.error))) break;
        const at = `${place(data)} ${data.name}`;
        if (type === 'test:fail' && data.todo === undefined) {
          totals.failed++;
          totals.failures.push(data.name);
          const reason = indent(describe(data.details.error));
          // At once and in full, so that a run which is cut off later has still said what it knew.
          yield `${dots % dotsPerLine === 0 ? '' : '\n'}FAILED ${at}\n`;
          // A hook that fails takes every test of its file along, each with the same words.
          yield reason === lastReason ? '    for the same reason\n' : `${reason}\n${said(output, data.file)}`;
          lastReason = reason;
          if (data.file !== undefined) failedFiles.add(data.file);
          dots = 0;
          break;
        }
        if (data.skip !== undefined || data.todo !== undefined) {
          totals.skipped++;
          const reason = typeof data.skip === 'string' ? data.skip : 'no reason given';
          skips.set(reason, [...(skips.get(reason) ?? []), at]);
          yield 's';
        } else {
          totals.passed++;
          yield '.';
        }
        dots++;
        if (dots % dotsPerLine === 0) yield '\n';
        break;
      }
    }
  }
  if (dots % dotsPerLine !== 0) yield '\n';
  // What a file prints may reach us after the failure that it belongs to.
  for (const file of failedFiles) yield said(output, file);
  // Of the others the tables alone: what was measured is for people to read, also where it is as it should be.
  for (const lines of output.values()) yield tables(lines);
  for (const [reason, tests] of skips) {
    yield `skipped ${tests.length === 1 ? tests[0] : `${tests.length} tests, as ${tests[0]}`}: ${reason}\n`;
  }
  const path = process.env.LOCALDNS_TEST_TOTALS;
  if (path) appendFileSync(path, `${JSON.stringify(totals)}\n`);
}

interface Located {
  file?: string;
  line?: number;
}

function place({ file, line }: Located): string {
  return file === undefined ? '' : `${relative(process.cwd(), file)}:${line ?? 1}`;
}

/** A suite fails when one of its tests does, which has then been told already; or by itself, in a hook or its body. */
function failedItself(error: Error): boolean {
  return (error as { failureType?: string }).failureType !== 'subtestsFailed';
}

/** The runner wraps what a test threw; the wrapping says nothing that its cause does not. */
function describe(error: Error): string {
  const { cause } = error;
  if (cause !== undefined && !(cause instanceof Error)) return String(cause);
  // Where in Node's own test runner the test was called from helps nobody.
  return inspect(cause ?? error, { depth: 8 }).replaceAll(/^ +at .*\(?(node:internal|node:async_hooks).*\n/gm, '');
}

function said(output: Map<string, string[]>, file: string | undefined): string {
  const lines = file === undefined ? undefined : output.get(file);
  if (file === undefined || lines === undefined) return '';
  output.delete(file);
  return `  what ${relative(process.cwd(), file)} printed:\n${indent(lines.join('').trimEnd())}\n`;
}

function tables(lines: readonly string[]): string {
  const rows = lines
    .join('')
    .split('\n')
    .filter((line) => line.startsWith('|'));
  return rows.map((row) => `${row}\n`).join('');
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '    ');
}
