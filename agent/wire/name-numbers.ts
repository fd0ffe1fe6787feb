import { lowerCase, maxLabelLength } from './name.ts';
import { u8 } from './octets.ts';
import { hashName, hashOctet, mixed } from './question.ts';

const isPointer = 0xc0;
const root = 0;

/**
 * The names of one message as numbers: equal names have the same, however they are written. Each label is read once, whatever
 * leads to it: thousands of records whose owners are one long name cost as much as that name.
 */
export class NameNumbers {
  readonly #message: Buffer;
  /** By where a name, or the rest of one, begins: one more than its number; 0 where it is not known. */
  readonly #known: Int32Array;
  /** By the hash of a label and what it stands before: the name that was numbered last. */
  readonly #newest = new Map<number, number>();
  /** By number: where its first label stands, the name behind that, and the next name of the same hash. */
  readonly #labels = [0];
  readonly #parents = [0];
  readonly #chained = [0];
  readonly #path: number[] = [];
  /** Labels do not overlap, but where somebody has made them so. */
  #octetsLeft: number;

  constructor(message: Buffer) {
    this.#message = message;
    this.#known = new Int32Array(message.length);
    this.#octetsLeft = message.length;
  }

  /** What is no name ends where it is none, and what leads round in a circle where that closes. */
  of(at: number): number {
    const message = this.#message;
    const path = this.#path;
    let number = root;
    for (let position = at; position < message.length; ) {
      const known = this.#known[position] as number;
      if (known > 0) {
        number = known - 1;
        break;
      }
      const octet = u8(message, position);
      if (octet === 0 || (octet > maxLabelLength && octet < isPointer) || this.#octetsLeft <= 0) break;
      // For whoever comes here again on the way.
      this.#known[position] = root + 1;
      path.push(position);
      if (octet >= isPointer) position = ((octet & 0x3f) << 8) | u8(message, position + 1);
      else {
        position += octet + 1;
        this.#octetsLeft -= octet + 1;
      }
    }
    for (let from = path.pop(); from !== undefined; from = path.pop()) {
      if (u8(message, from) < isPointer) number = this.#numberOf(from, number);
      this.#known[from] = number + 1;
    }
    return number;
  }

  #numberOf(label: number, parent: number): number {
    const message = this.#message;
    const end = label + 1 + u8(message, label);
    let hash = hashName(message, label, label + 1);
    for (let at = label + 1; at < end; at += 1) hash = hashOctet(hash, lowerCase(u8(message, at)));
    hash = mixed(hash, parent);
    const newest = this.#newest.get(hash) ?? 0;
    for (let number = newest; number > 0; number = this.#chained[number] as number) {
      if (this.#parents[number] === parent && this.#isSameLabel(this.#labels[number] as number, label)) return number;
    }
    const number = this.#labels.length;
    this.#newest.set(hash, number);
    this.#labels.push(label);
    this.#parents.push(parent);
    this.#chained.push(newest);
    return number;
  }

  #isSameLabel(one: number, other: number): boolean {
    const message = this.#message;
    const length = u8(message, one);
    if (u8(message, other) !== length) return false;
    for (let at = 1; at <= length; at += 1) {
      if (lowerCase(u8(message, one + at)) !== lowerCase(u8(message, other + at))) return false;
    }
    return true;
  }
}
