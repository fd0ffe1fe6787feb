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
const fewWords = 128;

/** Copies `from[at, end)` to `to[toAt, …)`, another buffer that has room for it. */
export function copyOctets(from: Buffer, at: number, end: number, to: Buffer, toAt: number): void {
  if (end - at > fewOctets) {
    from.copy(to, toAt, at, end);
    return;
  }
  for (let offset = 0; offset < end - at; offset += 1) to[toAt + offset] = from[at + offset] as number;
}

/** Memory to be read by words of 32 bits and by octets. */
export interface Wordwise {
  readonly octets: Buffer;
  /** The same, but for up to three octets at its end. */
  readonly words: Int32Array;
}

/** Of a buffer that has its memory for itself, or whole words of it. */
export function wordwise(octets: Buffer): Wordwise {
  const { buffer, byteOffset, length } = octets;
  return { octets, words: new Int32Array(buffer, byteOffset, length >> 2) };
}

/** Copies `length` octets, and what stands behind them up to the next whole word. Places are counted in octets, and stand at whole words. */
export function copyWords(from: Wordwise, at: number, length: number, to: Wordwise, toAt: number): void {
  const [source, target] = [from.words, to.words];
  const [first, targetFirst] = [at >> 2, toAt >> 2];
  const count = (length + 3) >> 2;
  if (count > fewWords || first + count > source.length) {
    from.octets.copy(to.octets, toAt, at, at + length);
    return;
  }
  for (let word = 0; word < count; word += 1) target[targetFirst + word] = source[first + word] as number;
}
