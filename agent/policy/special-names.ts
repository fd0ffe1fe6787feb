/**
 * Names that mean the same everywhere and are nobody's to ask about: `localhost` (RFC 6761 §6.3), `invalid` (§6.4) and `onion`
 * (RFC 7686 §2), with all below them. `local` and `home.arpa` are left to the servers: behind a forwarder they may well be
 * somebody's zone, of a directory or of a home's router.
 */
import * as header from '../wire/header.ts';
import { writeLocalAnswer } from '../wire/local-answer.ts';
import { nameFromText } from '../wire/name.ts';
import { classIn } from '../wire/query.ts';
import { Suffixes } from '../wire/suffixes.ts';
import { addressRecords, writeRecords } from './local-records.ts';
import type { Policy } from './policy.ts';

const loopbackTtlSeconds = 3_600;

/** @param zones that are configured: what is theirs is asked of their servers */
export function specialNames(zones: readonly string[]): Policy {
  const usual = ['localhost', 'invalid', 'onion'] as const;
  const special = usual.filter((name) => !zones.includes(name));
  const names = new Suffixes(new Map(special.map((name) => [nameFromText(name), name])));
  const ends = special.map(nameFromText);
  const loopback = addressRecords(['127.0.0.1', '::1'], loopbackTtlSeconds);
  return (query, out, limit) => {
    // Every packet comes by here: the suffix is looked for label by label only where it may be found.
    if (query.class !== classIn || !ends.some((end) => query.name.endsWith(end))) return 0;
    const name = names.longest(query.name);
    if (name === undefined) return 0;
    if (name === 'localhost') return writeRecords(out, query, limit, loopback);
    return writeLocalAnswer(out, query, limit, { rcode: header.rcode.nxDomain });
  };
}
