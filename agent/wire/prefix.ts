/** Networks, as the first bits that their addresses share (RFC 4632 §3.1, RFC 4291 §2.3). */
import { addressOctets } from './address.ts';
import { u8 } from './octets.ts';

export interface Prefix {
  /** 4 or 16; what stands behind the first `bits` of them says nothing. */
  octets: Buffer;
  bits: number;
}

/** @param text an address, a slash and a number of bits: `10.0.0.0/8` */
export function prefixFromText(text: string): Prefix {
  const [address = '', bits] = text.split('/');
  return { octets: addressOctets(address), bits: Number(bits) };
}

/** Whether the address of `length` octets at `at` belongs to the network; one of the other family never does. */
export function isWithin({ octets, bits }: Prefix, message: Buffer, at: number, length: number): boolean {
  if (octets.length !== length) return false;
  const whole = bits >> 3;
  for (let index = 0; index < whole; index += 1) {
    if (u8(message, at + index) !== u8(octets, index)) return false;
  }
  const rest = bits & 7;
  return u8(message, at + whole) >> (8 - rest) === u8(octets, whole) >> (8 - rest);
}
