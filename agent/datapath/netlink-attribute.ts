/** Attributes of netlink messages (netlink(7), struct nlattr): length, type, value, each at a multiple of four octets. */

const headerLength = 4;
const nestedFlag = 0x8000;
/** Without the flags "nested" and "in network byte order". */
const typeMask = 0x3fff;

export function attribute(type: number, value: Buffer): Buffer {
  const octets = Buffer.alloc(align(headerLength + value.length));
  octets.writeUInt16LE(headerLength + value.length, 0);
  octets.writeUInt16LE(type, 2);
  value.copy(octets, headerLength);
  return octets;
}

export function nested(type: number, ...attributes: readonly Buffer[]): Buffer {
  return attribute(type | nestedFlag, Buffer.concat(attributes));
}

/** Text with the NUL that the kernel expects at its end. */
export function text(type: number, value: string): Buffer {
  return attribute(type, Buffer.from(`${value}\0`));
}

/** A number as rtnetlink(7) has it: in the byte order of the machine, which is little-endian wherever Node runs on Linux nodes. */
export function hostU32(type: number, value: number): Buffer {
  return attribute(type, hostU32Octets(value));
}

export function hostU16Octets(value: number): Buffer {
  const octets = Buffer.alloc(2);
  octets.writeUInt16LE(value & 0xffff);
  return octets;
}

export function hostU32Octets(value: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32LE(value >>> 0);
  return octets;
}

/** A number as nf_tables has it: in network byte order. Negative ones as two's complement. */
export function netU32(type: number, value: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value >>> 0);
  return attribute(type, octets);
}

export function netU64(type: number, value: number): Buffer {
  const octets = Buffer.alloc(8);
  octets.writeBigUInt64BE(BigInt(value));
  return attribute(type, octets);
}

/** The attributes from `at` to the end of `message`, as [type without flags, value]; what is cut short ends the list. */
export function* attributes(message: Buffer, at = 0): Generator<[type: number, value: Buffer]> {
  let next = at;
  while (next + headerLength <= message.length) {
    const length = message.readUInt16LE(next);
    if (length < headerLength || next + length > message.length) return;
    yield [message.readUInt16LE(next + 2) & typeMask, message.subarray(next + headerLength, next + length)];
    next += align(length);
  }
}

/** The value of the first attribute of this type. */
export function findAttribute(message: Buffer, type: number, at = 0): Buffer | undefined {
  for (const [found, value] of attributes(message, at)) if (found === type) return value;
  return undefined;
}

export function textOf(value: Buffer): string {
  const end = value.indexOf(0);
  return value.toString('utf8', 0, end < 0 ? value.length : end);
}

export function align(length: number): number {
  return (length + 3) & ~3;
}
