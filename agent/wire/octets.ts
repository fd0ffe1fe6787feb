/** Reading and writing octets of a message. Callers have checked that the place exists; what lies outside reads as 0. */

export function u8(message: Buffer, at: number): number {
  return message[at] ?? 0;
}

export function u16(message: Buffer, at: number): number {
  return (u8(message, at) << 8) | u8(message, at + 1);
}

export function u32(message: Buffer, at: number): number {
  return (u16(message, at) * 0x10000 + u16(message, at + 2)) >>> 0;
}

export function setU16(message: Buffer, at: number, value: number): void {
  message[at] = value >>> 8;
  message[at + 1] = value;
}

export function setU32(message: Buffer, at: number, value: number): void {
  setU16(message, at, value >>> 16);
  setU16(message, at + 2, value & 0xffff);
}

/** Up to this length a loop is faster than to leave JavaScript. */
const fewOctets = 64;

/** Copies `from[at, end)` to `to[toAt, …)`, another buffer that has room for it. */
export function copyOctets(from: Buffer, at: number, end: number, to: Buffer, toAt: number): void {
  if (end - at > fewOctets) {
    from.copy(to, toAt, at, end);
    return;
  }
  for (let offset = 0; offset < end - at; offset += 1) to[toAt + offset] = from[at + offset] as number;
}
