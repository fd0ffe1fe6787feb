/** Domains that nobody shall reach: the answer says that the name is blocked (RFC 8914 §4.16). */
import { extendedError } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { writeLocalAnswer } from '../wire/local-answer.ts';
import { nameFromText } from '../wire/name.ts';
import { classIn } from '../wire/query.ts';
import { Suffixes } from '../wire/suffixes.ts';
import { addressRecords, writeRecords } from './local-records.ts';
import type { Policy } from './policy.ts';

export interface BlockedDomain {
  domain: string;
  /** NxDomain: there is no such name. NullAddress: it has addresses at which nobody is, 0.0.0.0 and `::`. */
  response: 'NxDomain' | 'NullAddress';
}

const nullAddressTtlSeconds = 60;

/** The domains, and what is below them. */
export function blocked(domains: readonly BlockedDomain[]): Policy {
  const responses = new Suffixes(new Map(domains.map(({ domain, response }) => [nameFromText(domain), response])));
  const nowhere = addressRecords(['0.0.0.0', '::'], nullAddressTtlSeconds);
  const why = { extendedError: extendedError.blocked, extraText: 'blockedDomains' };
  return (query, out, limit) => {
    if (query.class !== classIn) return 0;
    switch (responses.longest(query.name)) {
      case 'NxDomain':
        return writeLocalAnswer(out, query, limit, { rcode: header.rcode.nxDomain, ...why });
      case 'NullAddress':
        return writeRecords(out, query, limit, nowhere, why);
      default:
        return 0;
    }
  };
}
