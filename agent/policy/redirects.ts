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
  /** Each is given a name in lower case without a trailing dot. */
  patterns: readonly ((name: string) => boolean)[];
}

export interface Redirect {
  match: Names;
  except: Names;
  addresses: readonly string[];
  ttlSeconds: number;
  /** What other types than A and AAAA get: NODATA, or what the servers say. */
  otherTypes: 'NoData' | 'Forward';
}

/** Names whose verdict by patterns is remembered: a pattern costs a thousand times what it costs to look up a name. */
const maxVerdicts = 8_192;

export function redirects(list: readonly Redirect[]): Policy {
  const rules = list.map((redirect) => ({
    ...redirect,
    records: addressRecords(redirect.addresses, redirect.ttlSeconds),
  }));
  const table = new NameTable(rules);
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
  readonly #patterns: readonly (readonly [(name: string) => boolean, Candidate])[];
  #verdicts = new Map<string, Rule | undefined>();

  constructor(rules: readonly Rule[]) {
    const candidates = rules.map((rule) => new Candidate(rule));
    const by = (names: (match: Names) => readonly string[]) =>
      grouped(candidates.flatMap((candidate) => names(candidate.rule.match).map((name) => [name, candidate] as const)));
    this.#exact = by(({ exact }) => exact);
    this.#suffixes = new Suffixes(by(({ suffixes }) => suffixes));
    this.#patterns = candidates.flatMap((candidate) =>
      candidate.rule.match.patterns.map((matches) => [matches, candidate] as const),
    );
  }

  find(name: string): Rule | undefined {
    const named = this.#exact.get(name)?.find((candidate) => candidate.takes(name));
    if (named !== undefined) return named.rule;
    const below = this.#suffixes.find(name, (candidates) => candidates.find((candidate) => candidate.takes(name)));
    if (below !== undefined) return below.rule;
    return this.#patterns.length === 0 ? undefined : this.#byPattern(name);
  }

  #byPattern(name: string): Rule | undefined {
    if (this.#verdicts.has(name)) return this.#verdicts.get(name);
    const text = textOf(name);
    const found = this.#patterns.find(([matches, candidate]) => matches(text) && candidate.takes(name))?.[1].rule;
    if (this.#verdicts.size >= maxVerdicts) this.#verdicts = new Map();
    this.#verdicts.set(name, found);
    return found;
  }
}

class Candidate {
  readonly rule: Rule;
  readonly #exact: ReadonlySet<string>;
  readonly #suffixes: Suffixes<true>;

  constructor(rule: Rule) {
    this.rule = rule;
    this.#exact = new Set(rule.except.exact.map(nameFromText));
    this.#suffixes = new Suffixes(new Map(rule.except.suffixes.map((suffix) => [nameFromText(suffix), true])));
  }

  /** Whether nothing excepts the name. */
  takes(name: string): boolean {
    if (this.#exact.has(name) || this.#suffixes.longest(name) !== undefined) return false;
    const { patterns } = this.rule.except;
    return patterns.length === 0 || !patterns.some((matches) => matches(textOf(name)));
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
