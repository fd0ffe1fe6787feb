/**
 * Names that lead to addresses of the user's choice, by name, by suffix or by pattern: an emulator's for a cloud's API, say.
 *
 * Of several that match the first counts in this order: exact names, then the longest suffix, then patterns as they are
 * listed. Whom a redirect's `except` matches it does not redirect; another may.
 */
import { nameFromText, nameToText } from '../wire/name.ts';
import { classIn } from '../wire/query.ts';
import { Suffixes } from '../wire/suffixes.ts';
import { addressRecords, isAddressType, type Records, writeRecords } from './local-records.ts';
import type { Policy } from './policy.ts';

export interface Names {
  exact: readonly string[];
  /** Domains: these and all names below them, by whole labels. */
  suffixes: readonly string[];
  patterns: readonly string[];
}

/** Says of a name in lower case without a trailing dot which of the patterns match it: their places. */
export type Compile = (patterns: readonly string[]) => (name: string) => readonly number[];

export interface Redirect {
  match: Names;
  except: Names;
  addresses: readonly string[];
  ttlSeconds: number;
  /** What other types than A and AAAA get: NODATA, or what the servers say. */
  otherTypes: 'NoData' | 'Forward';
}

/** Names whose verdict by patterns is remembered: to run through their machine costs many times what it costs to look up a name. */
const maxVerdicts = 8_192;

export function redirects(list: readonly Redirect[], compile: Compile): Policy {
  const rules = list.map((redirect) => ({
    ...redirect,
    records: addressRecords(redirect.addresses, redirect.ttlSeconds),
  }));
  const table = new NameTable(rules, compile);
  return (query, out, limit) => {
    if (query.class !== classIn) return 0;
    const rule = table.find(query.name);
    if (rule === undefined) return 0;
    return isAddressType(query.type) || rule.otherTypes === 'NoData'
      ? writeRecords(out, query, limit, rule.records)
      : 0;
  };
}

interface Rule extends Redirect {
  records: Records;
}

class NameTable {
  readonly #exact: ReadonlyMap<string, readonly Candidate[]>;
  readonly #suffixes: Suffixes<readonly Candidate[]>;
  readonly #byPlace: readonly Candidate[];
  readonly #matching: (name: string) => readonly number[];
  #verdicts = new Map<string, Rule | undefined>();

  constructor(rules: readonly Rule[], compile: Compile) {
    const candidates = rules.map((rule) => new Candidate(rule, compile));
    const by = (names: (match: Names) => readonly string[]) =>
      grouped(candidates.flatMap((candidate) => names(candidate.rule.match).map((name) => [name, candidate] as const)));
    this.#exact = by(({ exact }) => exact);
    this.#suffixes = new Suffixes(by(({ suffixes }) => suffixes));
    const patterns = candidates.flatMap((candidate) =>
      candidate.rule.match.patterns.map((pattern) => [pattern, candidate] as const),
    );
    this.#byPlace = patterns.map(([, candidate]) => candidate);
    this.#matching = compile(patterns.map(([pattern]) => pattern));
  }

  find(name: string): Rule | undefined {
    const named = this.#exact.get(name)?.find((candidate) => candidate.takes(name));
    if (named !== undefined) return named.rule;
    const below = this.#suffixes.find(name, (candidates) => candidates.find((candidate) => candidate.takes(name)));
    if (below !== undefined) return below.rule;
    return this.#byPlace.length === 0 ? undefined : this.#byPattern(name);
  }

  #byPattern(name: string): Rule | undefined {
    if (this.#verdicts.has(name)) return this.#verdicts.get(name);
    const places = this.#matching(textOf(name)).toSorted((a, b) => a - b);
    const taking = places.map((place) => this.#byPlace[place]).find((candidate) => candidate?.takes(name));
    const found = taking?.rule;
    if (this.#verdicts.size >= maxVerdicts) this.#verdicts = new Map();
    this.#verdicts.set(name, found);
    return found;
  }
}

class Candidate {
  readonly rule: Rule;
  readonly #exact: ReadonlySet<string>;
  readonly #suffixes: Suffixes<true>;
  readonly #patterns: ((name: string) => readonly number[]) | undefined;

  constructor(rule: Rule, compile: Compile) {
    this.rule = rule;
    this.#patterns = rule.except.patterns.length === 0 ? undefined : compile(rule.except.patterns);
    this.#exact = new Set(rule.except.exact.map(nameFromText));
    this.#suffixes = new Suffixes(new Map(rule.except.suffixes.map((suffix) => [nameFromText(suffix), true])));
  }

  /** Whether nothing excepts the name. */
  takes(name: string): boolean {
    if (this.#exact.has(name) || this.#suffixes.longest(name) !== undefined) return false;
    return this.#patterns === undefined || this.#patterns(textOf(name)).length === 0;
  }
}

function grouped(pairs: readonly (readonly [string, Candidate])[]): Map<string, Candidate[]> {
  const groups = new Map<string, Candidate[]>();
  for (const [text, candidate] of pairs) {
    const name = nameFromText(text);
    groups.set(name, [...(groups.get(name) ?? []), candidate]);
  }
  return groups;
}

function textOf(name: string): string {
  return nameToText(name).slice(0, -1);
}
