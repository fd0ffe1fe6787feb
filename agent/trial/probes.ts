/** Whether names that a profile calls probes are resolved, asked as a pod asks. */
import type { Clock } from '../clock.ts';
import { extendedError, optionCode, optLength } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { nameFromText } from '../wire/name.ts';
import { u16 } from '../wire/octets.ts';
import { classIn } from '../wire/query.ts';
import { walkRecords } from '../wire/records.ts';
import { writeOwnQuery } from '../wire/upstream-query.ts';
import type { Probed } from './trial.ts';

/** Asks this node's own listener; rejects where no answer comes. */
export type AskListener = (query: Buffer) => Promise<Buffer>;

/** A packet may be lost, and an answer may be an old one while servers are asked anew: for so long, all in all. */
const tries = 6;
const pauseMs = 500;
/** A pod asks for both at once, and can do with either. */
const addressTypes = { A: 1, AAAA: 28 };
const maxMessageLength = 256;

const noAddress = 'it has no address';
const rcodeNames: Readonly<Record<number, string>> = { 1: 'FORMERR', 2: 'SERVFAIL', 3: 'NXDOMAIN', 5: 'REFUSED' };

/** Never rejects. */
export function probeNames(names: readonly string[], ask: AskListener, clock: Clock): Promise<Probed[]> {
  return Promise.all(names.map((name) => probe(name, ask, clock)));
}

async function probe(name: string, ask: AskListener, clock: Clock): Promise<Probed> {
  for (let left = tries; ; left -= 1) {
    const complaint = await complaintOf(name, ask);
    if (complaint === undefined) return { name, ok: true };
    if (left === 1) return { name, ok: false, message: complaint.slice(0, maxMessageLength) };
    await new Promise<void>((resolve) => void clock.after(pauseMs, resolve));
  }
}

/** Undefined where an address of the name is known. */
async function complaintOf(name: string, ask: AskListener): Promise<string | undefined> {
  const complaints = await Promise.all(
    Object.values(addressTypes).map(async (type) => {
      try {
        const wire = Buffer.from(nameFromText(name), 'latin1');
        const question = Buffer.concat([wire, Buffer.from([0, type, 0, classIn])]);
        const reply = await ask(writeOwnQuery(question));
        return judge(reply, header.headerLength + question.length, type);
      } catch (error) {
        return (error as Error).message;
      }
    }),
  );
  if (complaints.includes(undefined)) return undefined;
  return complaints.find((complaint) => complaint !== noAddress) ?? noAddress;
}

function judge(reply: Buffer, questionEnd: number, type: number): string | undefined {
  const rcode = header.responseCode(reply);
  if (rcode !== header.rcode.noError) return `the answer is ${rcodeNames[rcode] ?? `RCODE ${rcode}`}`;
  const walk = walkRecords(reply, questionEnd, type);
  if (walk === undefined) return 'the answer is malformed';
  if (walk.answersOfType === 0) return noAddress;
  return isStale(reply, walk.end) ? 'only an old answer is known, and no server gives a new one' : undefined;
}

/** @param at where the OPT record begins, which is the last of all */
function isStale(reply: Buffer, at: number): boolean {
  for (let option = at + optLength; option + 6 <= reply.length; option += 4 + u16(reply, option + 2)) {
    if (u16(reply, option) === optionCode.extendedError && u16(reply, option + 4) === extendedError.staleAnswer)
      return true;
  }
  return false;
}
