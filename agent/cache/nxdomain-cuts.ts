/**
 * Where a name does not exist, nothing below it does (RFC 8020 §2). Servers that say otherwise are about: CoreDNS says NXDOMAIN to
 * `_tcp.web.default.svc.cluster.local` and answers `_http._tcp.web.default.svc.cluster.local`; a resolver may know a private
 * `db.corp` below a `corp` that the public root denies. So it is believed only where it cannot hide what there is:
 *
 * - the servers have validated it (AD; §2 leaves it to that): an empty non-terminal of a signed zone cannot be denied;
 * - it is not the root zone that denies it: private top-level domains are of no signed zone;
 * - it is below the name of its server block, and each block has its own: what is configured is not looked for here.
 *
 * Who wants proofs (DO), or none (CD), gets them from the servers.
 */
import { LRUCache } from 'lru-cache';
import * as header from '../wire/header.ts';
import { type LocalRecord, writeLocalAnswer } from '../wire/local-answer.ts';
import { isWithin, nameAt, rootName } from '../wire/name.ts';
import { classIn, type PendingQuery } from '../wire/query.ts';
import type { RecordWalk } from '../wire/records.ts';
import { soaOf } from '../wire/soa.ts';
import { isAboutName } from './by-name.ts';

/** They are beside the budget of the cache: some 300 octets each. Those that answer are kept. */
const maxCuts = 256;

interface Cut {
  soa: LocalRecord;
  /** Octets of the name of the zone that denies it. */
  zoneLength: number;
  expiresAtMs: number;
}

/** Of one server block. */
export class NxdomainCuts {
  readonly #block: string;
  readonly #cuts = new LRUCache<string, Cut>({ max: maxCuts });

  /** @param block its name, in canonical wire form */
  constructor(block: string) {
    this.#block = block;
  }

  /** From each answer of the servers. @param seconds for which it may be cached, 0 for not at all */
  learn(query: PendingQuery, message: Buffer, walk: RecordWalk, seconds: number, nowMs: number): void {
    if (query.class !== classIn) return;
    if (!isAboutName(message, walk)) {
      if (this.#cuts.size > 0 && header.responseCode(message) === header.rcode.noError) this.#refute(query.name);
      return;
    }
    if ((header.flags(message) & header.flag.authenticData) === 0) return;
    const soa = soaOf(message, walk);
    const zone = soa && nameAt(message, walk.soaOffset);
    if (soa === undefined || zone === undefined || zone === rootName || !isWithin(query.name, zone)) return;
    this.#cuts.set(query.name, { soa, zoneLength: zone.length, expiresAtMs: nowMs + seconds * 1000 });
  }

  /** Something exists at the name: so does all that it is below. */
  #refute(name: string): void {
    for (let at = 0; name.charCodeAt(at) > 0; at += 1 + name.charCodeAt(at)) this.#cuts.delete(name.slice(at));
  }

  /** Writes NXDOMAIN into `out` and returns its length; 0: ask the servers. */
  answer(query: PendingQuery, out: Buffer, limit: number, nowMs: number): number {
    if (this.#cuts.size === 0 || query.class !== classIn || query.dnssecOk) return 0;
    if ((query.flags & header.flag.checkingDisabled) !== 0) return 0;
    const { name } = query;
    for (let at = 0; name.length - at > this.#block.length; at += 1 + name.charCodeAt(at)) {
      const cut = this.#cuts.get(name.slice(at));
      if (cut === undefined || nowMs >= cut.expiresAtMs) continue;
      const ttlSeconds = Math.floor((cut.expiresAtMs - nowMs) / 1000);
      const authority = { ...cut.soa, ttlSeconds, ownerLength: cut.zoneLength };
      return writeLocalAnswer(out, query, limit, { rcode: header.rcode.nxDomain, authority });
    }
    return 0;
  }
}
