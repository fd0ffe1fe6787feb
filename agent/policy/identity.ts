/**
 * `CH TXT id.server.` (RFC 4892 §2): which node and listener answered. Intercepted pods see the Service address as their
 * server, so this is how a person finds out who answers them; the agent's own probes ask it too, and it costs no upstream.
 */
import { finishAnswer, writeEmptyAnswer } from '../wire/answer.ts';
import { origin } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { nameFromText } from '../wire/name.ts';
import { setU16, setU32 } from '../wire/octets.ts';
import { classChaos, type PendingQuery } from '../wire/query.ts';
import type { Policy } from './policy.ts';

export const identityName = 'id.server';
const typeTxt = 16;
const typeAny = 255;
const pointerToQuestion = 0xc000 | header.headerLength;
const maxTextLength = 255;

/** @param identity what to tell, `NODE/LISTENER`; cut to 255 octets (RFC 1035 §3.3) */
export function identity(identity: string): Policy {
  const name = nameFromText(identityName);
  const text = Buffer.from(identity).subarray(0, maxTextLength);
  return (query, out, limit) => {
    if (query.class !== classChaos) return 0;
    if (query.name !== name || (query.type !== typeTxt && query.type !== typeAny)) {
      // The class holds nothing else here, and no upstream is asked about a server's own affairs.
      return writeEmptyAnswer(out, query, header.rcode.refused, -1, '', origin.local);
    }
    const end = writeText(out, query, text);
    return finishAnswer(out, end, query, limit, {
      dnssecOk: query.dnssecOk,
      extendedRcode: 0,
      extendedError: -1,
      extraText: '',
      origin: query.asksOrigin ? origin.local : -1,
    });
  };
}

function writeText(out: Buffer, query: PendingQuery, text: Buffer): number {
  const { question } = query;
  writeEmptyAnswer(out, query, header.rcode.noError);
  setU16(out, 6, 1);
  setU16(out, 10, 0);
  const at = header.headerLength + question.length;
  setU16(out, at, pointerToQuestion);
  setU16(out, at + 2, typeTxt);
  setU16(out, at + 4, classChaos);
  setU32(out, at + 6, 0);
  setU16(out, at + 10, text.length + 1);
  out[at + 12] = text.length;
  text.copy(out, at + 13);
  return at + 13 + text.length;
}
