/** What the agent asks its own listeners: who they are, and whether what comes to their addresses comes to this process. */
import { randomBytes } from 'node:crypto';
import { identityName } from './policy/identity.ts';
import { heartbeatAnswer, heartbeatName, nonceDigits } from './policy/probe.ts';
import * as header from './wire/header.ts';
import { nameFromText } from './wire/name.ts';
import { classChaos } from './wire/query.ts';
import { writeOwnQuery } from './wire/upstream-query.ts';

const typeTxt = 16;

export interface Heartbeat {
  readonly query: Buffer;
  /** True for the answer of the process that has the key, and of no other. */
  isAnsweredBy(reply: Buffer): boolean;
}

/** `CH TXT id.server`: answered here, so it says nothing about upstreams and sends them nothing. */
export function identityQuery(): Buffer {
  return chaosQuery(identityName);
}

/** A query that has never been asked before. @param startKey of this process */
export function heartbeat(startKey: Uint8Array): Heartbeat {
  const nonce = randomBytes(nonceDigits / 2).toString('hex');
  const proof = Buffer.from(heartbeatAnswer(startKey, nonce), 'latin1');
  return {
    query: chaosQuery(heartbeatName(nonce)),
    isAnsweredBy: (reply) => header.responseCode(reply) === header.rcode.noError && reply.includes(proof),
  };
}

function chaosQuery(text: string): Buffer {
  const name = nameFromText(text);
  const typeAndClass = Buffer.from([0, typeTxt, 0, classChaos]);
  const question = Buffer.concat([Buffer.from(name, 'latin1'), typeAndClass]);
  return writeOwnQuery(question);
}
