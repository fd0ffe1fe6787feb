/**
 * The header of a message (RFC 1035 §4.1.1), read and written in place:
 *
 *     0  id                          2  QR Opcode(4) AA TC RD | RA Z AD CD Rcode(4)
 *     4  QDCOUNT    6  ANCOUNT       8  NSCOUNT   10  ARCOUNT
 */
import { setU16, u16 } from './octets.ts';

export const headerLength = 12;

export const flag = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  authenticData: 0x0020,
  checkingDisabled: 0x0010,
} as const;

/** RFC 1035 §4.1.1, RFC 6891 §9 (BADVERS). */
export const rcode = { noError: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5, badVers: 16 } as const;

export const id = (message: Buffer): number => u16(message, 0);
export const flags = (message: Buffer): number => u16(message, 2);
export const opcode = (message: Buffer): number => (u16(message, 2) >> 11) & 0xf;
export const responseCode = (message: Buffer): number => u16(message, 2) & 0xf;
export const questionCount = (message: Buffer): number => u16(message, 4);
export const answerCount = (message: Buffer): number => u16(message, 6);
export const authorityCount = (message: Buffer): number => u16(message, 8);
export const additionalCount = (message: Buffer): number => u16(message, 10);

export function writeHeader(
  message: Buffer,
  messageId: number,
  messageFlags: number,
  counts: { question: number; answer: number; authority: number; additional: number },
): void {
  setU16(message, 0, messageId);
  setU16(message, 2, messageFlags);
  setU16(message, 4, counts.question);
  setU16(message, 6, counts.answer);
  setU16(message, 8, counts.authority);
  setU16(message, 10, counts.additional);
}
