/**
 * Names that mean the same everywhere, or nothing outside of one network, and are nobody's to ask about: `localhost` (RFC 6761
 * §6.3), `invalid` (§6.4), `onion` (RFC 7686 §2), `local` (RFC 6762 §22.1) and `home.arpa` (RFC 8375 §4), with all below them.
 */
import { extendedError } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { writeLocalAnswer } from '../wire/local-answer.ts';
import { isWithin, nameFromText } from '../wire/name.ts';
import { classIn } from '../wire/query.ts';
import { addressRecords, writeRecords } from './local-records.ts';
import type { Policy } from './policy.ts';

const loopbackTtlSeconds = 3_600;
const homeArpa = nameFromText('home.arpa');
const typeDs = 43;

/** These may well be somebody's, of a directory or of a home's router: whoever misses one reads how to get it. */
const needsZone = 'asked of servers only where a zone is configured for it';
const why = { local: needsZone, 'home.arpa': needsZone, invalid: '', onion: '' } as const;

/** @param zones that are configured: what is theirs is asked of their servers */
export function specialNames(zones: readonly string[]): Policy {
  const special = ['localhost', 'invalid', 'onion', 'local', 'home.arpa'] as const;
  const domains = special.map((name) => ({
    name,
    domain: nameFromText(name),
    letter: name.charCodeAt(name.length - 1),
  }));
  const configured = zones.filter((zone) => zone !== '.').map(nameFromText);
  const loopback = addressRecords(['127.0.0.1', '::1'], loopbackTtlSeconds);
  return (query, out, limit) => {
    if (query.class !== classIn) return 0;
    // Every packet comes by here: its last letter tells that most names are none of these.
    const letter = query.name.charCodeAt(query.name.length - 2);
    let name: (typeof special)[number] | undefined;
    for (const one of domains) if (one.letter === letter && isWithin(query.name, one.domain)) name = one.name;
    if (name === undefined) return 0;
    for (const zone of configured) if (isWithin(query.name, zone)) return 0;
    if (name === 'localhost') return writeRecords(out, query, limit, loopback);
    // RFC 8375 §4: its parent tells that it is not signed, and whoever validates has to hear that.
    if (query.name === homeArpa && query.type === typeDs) return 0;
    // RFC 8020: a name that does not exist would hide the zones below it. RFC 6303 §3: the apex of a zone exists.
    const exists = query.name === homeArpa || configured.some((zone) => zone.endsWith(query.name));
    const rcode = exists ? header.rcode.noError : header.rcode.nxDomain;
    const extraText = why[name];
    return writeLocalAnswer(out, query, limit, {
      rcode,
      ...(extraText !== '' && { extendedError: extendedError.other, extraText }),
    });
  };
}
