/**
 * How one process of the agent knows itself, though others hold the same addresses: by a key that is drawn at its start.
 *
 * A heartbeat, `CH TXT <nonce>.heartbeat.localdns.`, comes from the agent's own control worker: only the right text in the
 * answer proves that packets to the address reach this process, and that its serving thread works; others see in it when this
 * process started. A loop probe,
 * `IN <any>.<32 hexadecimal digits>.loop.localdns.`, is sent to upstream servers: where it comes in again, they ask this agent.
 */
import { createHmac } from 'node:crypto';
import { maxMessageLength, writeEmptyAnswer } from '../wire/answer.ts';
import { origin } from '../wire/edns.ts';
import * as header from '../wire/header.ts';
import { nameFromText } from '../wire/name.ts';
import { classChaos, classIn } from '../wire/query.ts';
import { typeTxt, writeChaosText } from './chaos-text.ts';
import type { Policy } from './policy.ts';

/** Hexadecimal digits of a heartbeat's nonce: 64 bits, so that no answer can be prepared. */
export const nonceDigits = 16;
const proofDigits = 32;
const heartbeatZone = 'heartbeat.localdns';
const heartbeatEnd = nameFromText(heartbeatZone);

export interface ProbeEvents {
  /** A heartbeat was answered: over UDP, over TCP. */
  heartbeat: () => void;
  tcpHeartbeat: () => void;
  /** A loop probe came back. */
  loop: () => void;
}

/** Presentation form. @param nonce 16 hexadecimal digits, lower case */
export function heartbeatName(nonce: string): string {
  return `${nonce}.${heartbeatZone}`;
}

/** The text that only the process with this key can answer with. */
export function heartbeatAnswer(key: Uint8Array, nonce: string): string {
  return createHmac('sha256', key).update(nonce).digest('hex').slice(0, proofDigits);
}

/**
 * When this process started, in milliseconds on a clock that all processes of the node share: agents on the same addresses know
 * by it which of them is the newest.
 */
export function startedAtMs(): number {
  return Math.round(Number(process.hrtime.bigint()) / 1e6 - process.uptime() * 1e3);
}

/** Whether the answer to a heartbeat is that of an agent that has started later. An older version does not say when it did. */
export function isOfSuccessor(reply: Buffer, ownStartMs = startedAtMs()): boolean {
  const [, atMs = '0'] = /[0-9a-f]{32} (\d+)/.exec(reply.toString('latin1')) ?? [];
  return Number(atMs) > ownStartMs;
}

/** Presentation form of the name that no resolver has heard of but by the process with this key. */
export function loopName(key: Uint8Array): string {
  return `${heartbeatAnswer(key, 'loop')}.loop.localdns`;
}

/** @param key 32 random octets */
export function probe(key: Uint8Array, events: ProbeEvents, startMs = startedAtMs()): Policy {
  const loop = nameFromText(loopName(key));
  return (query, out, limit) => {
    if (query.class === classIn) {
      if (!query.name.endsWith(loop)) return 0;
      events.loop();
      return writeEmptyAnswer(out, query, header.rcode.refused, -1, '', origin.local);
    }
    if (query.class !== classChaos || query.type !== typeTxt) return 0;
    const nonce = nonceOf(query.name);
    if (nonce === undefined) return 0;
    // Over UDP no answer may be as long as that.
    if (limit === maxMessageLength) events.tcpHeartbeat();
    else events.heartbeat();
    return writeChaosText(out, query, limit, Buffer.from(`${heartbeatAnswer(key, nonce)} ${startMs}`, 'latin1'));
  };
}

function nonceOf(name: string): string | undefined {
  if (name.charCodeAt(0) !== nonceDigits || !name.endsWith(heartbeatEnd)) return undefined;
  if (name.length !== 1 + nonceDigits + heartbeatEnd.length) return undefined;
  const nonce = name.slice(1, 1 + nonceDigits);
  return /^[0-9a-f]+$/.test(nonce) ? nonce : undefined;
}
