/** Addresses of names without a dot, which no server outside of the search path knows: they are not asked about. */
import * as header from '../wire/header.ts';
import { writeLocalAnswer } from '../wire/local-answer.ts';
import { nameFromText } from '../wire/name.ts';
import { classIn } from '../wire/query.ts';
import { isAddressType } from './local-records.ts';
import type { Policy } from './policy.ts';

/** @param zones that are configured: one of a single label is served */
export function singleLabels(zones: readonly string[]): Policy {
  const served = new Set(zones.map(nameFromText));
  return (query, out, limit) => {
    const { name, type } = query;
    if (query.class !== classIn || !isAddressType(type)) return 0;
    const labelLength = name.charCodeAt(0);
    if (name.length !== labelLength + 2 || served.has(name)) return 0;
    return writeLocalAnswer(out, query, limit, { rcode: header.rcode.nxDomain });
  };
}
