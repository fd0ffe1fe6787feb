/**
 * What two queries must share to share an answer: name without regard to case, type and class, DO and CD (RFC 4035 §4.7, RFC 3225).
 * It stays in the octets that it came in, with a number that tells most questions apart: a string for each would cost more than to
 * serve a cached answer.
 */
import { randomInt } from 'node:crypto';
import { lowerCase } from './name.ts';
import { u8, u16 } from './octets.ts';

export interface Question {
  /** Holds name, type and class, uncompressed, from `questionAt` on. */
  readonly questionIn: Buffer;
  readonly questionAt: number;
  readonly questionLength: number;
  /** 2 for DO, and 1 for CD. */
  readonly questionFlags: number;
  /** Of all of it. */
  readonly hash: number;
  /** Of all but the type. */
  readonly nameHash: number;
}

/** Type and class. */
export const fixedLength = 4;

/** Of each process its own, so that nobody finds names offline that share a hash. */
const seed = randomInt(0x100000000);

/** @param name octets of it, in lower case */
export function hashName(name: Buffer, from: number, to: number): number {
  let hash = seed;
  for (let at = from; at < to; at += 1) hash = hashOctet(hash, u8(name, at));
  return hash;
}

export function hashOctet(hash: number, octet: number): number {
  return Math.imul(hash ^ octet, 0x01000193);
}

/** The hashes of all but the type, with whatever flags. */
export function nameHashes({ questionIn, questionAt, questionLength }: Question): number[] {
  const fixedAt = questionAt + questionLength - fixedLength;
  let hash = seed;
  for (let at = questionAt; at < fixedAt; at += 1) hash = hashOctet(hash, lowerCase(u8(questionIn, at)));
  const of = u16(questionIn, fixedAt + 2) << 2;
  return [mixed(hash, of), mixed(hash, of | 1), mixed(hash, of | 2), mixed(hash, of | 3)];
}

/** What a type, or class and flags, make of the hash of a name. */
export function mixed(hash: number, more: number): number {
  let mix = Math.imul(hash ^ more, 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 15), 0xc2b2ae35);
  return (mix ^ (mix >>> 13)) | 0;
}

export function isSameQuestion(one: Question, other: Question): boolean {
  if (one.hash !== other.hash || one.questionLength !== other.questionLength) return false;
  if (one.questionFlags !== other.questionFlags) return false;
  return areSameOctets(one.questionIn, one.questionAt, other.questionIn, other.questionAt, one.questionLength);
}

/** Name without regard to case, type and class of two questions of this length. */
export function areSameOctets(one: Buffer, oneAt: number, other: Buffer, otherAt: number, length: number): boolean {
  const fixedAt = length - fixedLength;
  for (let at = 0; at < length; at += 1) {
    const theirs = u8(one, oneAt + at);
    const ours = u8(other, otherAt + at);
    if (theirs !== ours && (at >= fixedAt || lowerCase(theirs) !== lowerCase(ours))) return false;
  }
  return true;
}

/** A question that stands in `octets[from, to)` with its name in lower case, and its flags behind it. */
export function questionAt(octets: Buffer, from: number, to: number): Question {
  const fixedAt = to - fixedLength;
  const questionFlags = u8(octets, to);
  const nameHash = mixed(hashName(octets, from, fixedAt), (u16(octets, fixedAt + 2) << 2) | questionFlags);
  const hash = mixed(nameHash, u16(octets, fixedAt));
  return { questionIn: octets, questionAt: from, questionLength: to - from, questionFlags, hash, nameHash };
}
