/**
 * `CH TXT id.server.` (RFC 4892 §2): which node and listener answered. Intercepted pods see the Service address as their
 * server, so this is how a person finds out who answers them; the agent's own probes ask it too, and it costs no upstream.
 */
import { writeEmptyAnswer } from '../wire/answer.ts';
import { origin } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { nameFromText } from '../wire/name.ts';
import { classChaos } from '../wire/query.ts';
import { typeAny } from '../wire/records.ts';
import { typeTxt, writeChaosText } from './chaos-text.ts';
import type { Policy } from './policy.ts';

export const identityName = 'id.server';
const maxTextLength = 255;

/** What node and listener are known by; cut to the 255 octets of a text (RFC 1035 §3.3). */
export function identityOf(nodeName: string, listener: string): Buffer {
  return Buffer.from(`${nodeName}/${listener}`).subarray(0, maxTextLength);
}

export function identity(text: Buffer): Policy {
  const name = nameFromText(identityName);
  return (query, out, limit) => {
    if (query.class !== classChaos) return 0;
    if (query.name !== name || (query.type !== typeTxt && query.type !== typeAny)) {
      // The class holds nothing else here, and no upstream is asked about a server's own affairs.
      return writeEmptyAnswer(out, query, header.rcode.refused, -1, '', origin.local);
    }
    return writeChaosText(out, query, limit, text);
  };
}
