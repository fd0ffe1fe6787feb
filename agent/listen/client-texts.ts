import { addressText } from '../wire/address.ts';

/** More than there are pods on most nodes. */
const places = 512;
const wordsPerPlace = 4;

/** Addresses of clients as text, which costs more to write than a cached answer does: the same ones ask again and again. */
export class ClientTexts {
  readonly #words = new Uint32Array(places * wordsPerPlace);
  readonly #texts: (string | undefined)[] = new Array(places).fill(undefined);

  /** @param words in network byte order, as they stand in memory */
  ofIpv6(words: readonly number[], from: number): string {
    const [a, b, c, d] = [word(words, from), word(words, from + 1), word(words, from + 2), word(words, from + 3)];
    return this.#find(a, b, c, d) ?? this.#keep(a, b, c, d, addressText(octetsOf([a, b, c, d])));
  }

  ofIpv4(address: number): string {
    return this.#find(address, 0, 0, 0) ?? this.#keep(address, 0, 0, 0, addressText(octetsOf([address])));
  }

  #find(a: number, b: number, c: number, d: number): string | undefined {
    const place = placeOf(a, b, c, d);
    const words = this.#words;
    const at = place * wordsPerPlace;
    const isIt = words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d;
    return isIt ? this.#texts[place] : undefined;
  }

  #keep(a: number, b: number, c: number, d: number, text: string): string {
    const place = placeOf(a, b, c, d);
    this.#words.set([a, b, c, d], place * wordsPerPlace);
    this.#texts[place] = text;
    return text;
  }
}

function word(words: readonly number[], at: number): number {
  return words[at] as number;
}

function octetsOf(words: number[]): Buffer {
  return Buffer.from(Uint32Array.from(words).buffer);
}

function placeOf(a: number, b: number, c: number, d: number): number {
  return Math.imul(a ^ b ^ c ^ d, 0x9e3779b1) >>> 23;
}
