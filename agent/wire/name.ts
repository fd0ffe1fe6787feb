/**
 * Domain names. Inside the agent a name is a string in canonical wire form: each label begins with an octet of its length,
 * letters are lower case (RFC 4343), octets are latin1 characters, and the root's empty label ends it: `\x03www\x00`.
 */
import { u8 } from './octets.ts';

/** RFC 1035 §2.3.4. */
export const maxNameLength = 255;
export const maxLabelLength = 63;

const isPointer = 0xc0;

export const rootName = '\0';

/**
 * Where the name at `at` ends in the message, without following pointers; -1 where it is malformed.
 * A pointer must point backwards, so that no chain of them can loop (RFC 1035 §4.1.4).
 */
export function skipName(message: Buffer, at: number): number {
  let length = 0;
  for (let position = at; position < message.length; ) {
    const octet = u8(message, position);
    if (octet === 0) return length < maxNameLength ? position + 1 : -1;
    if ((octet & isPointer) === isPointer) {
      const target = ((octet & 0x3f) << 8) | u8(message, position + 1);
      return position + 2 <= message.length && target < at ? position + 2 : -1;
    }
    if (octet > maxLabelLength) return -1;
    length += octet + 1;
    position += octet + 1;
  }
  return -1;
}

/**
 * Copies the uncompressed name at `at` into `out` from `to` on, in lower case; returns where it ends in `out`,
 * or -1 where it is malformed, compressed, or longer than 255 octets.
 */
export function copyCanonicalName(message: Buffer, at: number, out: Buffer, to: number): number {
  let position = at;
  let end = to;
  for (;;) {
    if (position >= message.length) return -1;
    const length = u8(message, position);
    if (length > maxLabelLength || end - to + length + 1 > maxNameLength) return -1;
    if (position + length >= message.length) return -1;
    out[end] = length;
    for (let offset = 1; offset <= length; offset += 1) out[end + offset] = lowerCase(u8(message, position + offset));
    position += length + 1;
    end += length + 1;
    if (length === 0) return end;
  }
}

export function lowerCase(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet;
}

/** Wire form of a name in presentation form without escapes: `Corp.example` or `.`; what our own configuration holds. */
export function nameFromText(text: string): string {
  const labels = text
    .toLowerCase()
    .split('.')
    .filter((label) => label !== '');
  return `${labels.map((label) => String.fromCharCode(label.length) + label).join('')}\0`;
}

/** Presentation form (RFC 1035 §5.1), for people: dots and unprintable octets in labels are escaped. */
export function nameToText(name: string): string {
  let text = '';
  for (let at = 0; name.charCodeAt(at) > 0; ) {
    const length = name.charCodeAt(at);
    for (const character of name.slice(at + 1, at + 1 + length)) {
      const octet = character.charCodeAt(0);
      if (character === '.' || character === '\\') text += `\\${character}`;
      else text += octet > 0x20 && octet < 0x7f ? character : `\\${octet.toString().padStart(3, '0')}`;
    }
    text += '.';
    at += length + 1;
  }
  return text === '' ? '.' : text;
}

/** The labels of a name in wire form that lacks its end; undefined where it does not end with a label. */
export function labelsOf(wire: string): string[] | undefined {
  const labels: string[] = [];
  let at = 0;
  while (at < wire.length) {
    const end = at + 1 + wire.charCodeAt(at);
    labels.push(wire.slice(at + 1, end));
    at = end;
  }
  return at === wire.length ? labels : undefined;
}

/**
 * The name at `at`, in canonical wire form. What a pointer leads to has not been looked at before: each must lead further back
 * than where the part before it began, so that no chain of them goes on for ever. A name that is none ends there, as does one that
 * is too long: pointers that share their ends make a few octets of an answer a long name, in each of its thousands of records.
 */
export function nameAt(message: Buffer, at: number): string {
  let name = '';
  let began = at;
  for (let position = at; position < message.length; ) {
    const octet = u8(message, position);
    if ((octet & isPointer) === isPointer) {
      const target = ((octet & 0x3f) << 8) | u8(message, position + 1);
      if (target >= began) break;
      began = target;
      position = target;
      continue;
    }
    if (octet === 0 || octet > maxLabelLength || name.length + octet + 1 >= maxNameLength) break;
    for (let offset = 0; offset <= octet; offset += 1) {
      name += String.fromCharCode(lowerCase(u8(message, position + offset)));
    }
    position += octet + 1;
  }
  return name + rootName;
}

/** By whole labels: in wire form a name ends with a zone's only there, or within a label that holds such octets. */
export function isWithin(name: string, zone: string): boolean {
  if (!name.endsWith(zone)) return false;
  const zoneAt = name.length - zone.length;
  let at = 0;
  while (at < zoneAt) at += 1 + name.charCodeAt(at);
  return at === zoneAt;
}
