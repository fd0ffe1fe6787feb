/** A kernel of the test's own: what is in the memory that it is given, by the addresses that the headers have. */
import assert from 'node:assert/strict';
import type { BatchCalls } from '../libc.ts';

const headerOctets = 64;
export class FakeKernel implements BatchCalls {
  readonly sent: { fd: number; to: string; text: string }[] = [];
  /** How many datagrams the next calls take; all where it is empty. */
  takes: number[] = [];
  incoming: { from: Buffer; text: string; control?: Buffer }[] = [];
  readonly #memory: { address: bigint; octets: Buffer }[] = [];
  #nextAddress = 0x1000n;

  allocate(length: number) {
    const memory = { address: this.#nextAddress, octets: Buffer.alloc(length) };
    this.#nextAddress += BigInt(length);
    this.#memory.push(memory);
    return memory;
  }

  #at(address: bigint, length: number): Buffer {
    for (const { address: from, octets } of this.#memory) {
      const offset = Number(address - from);
      if (offset >= 0 && offset + length <= octets.length) return octets.subarray(offset, offset + length);
    }
    throw new Error(`nothing is at ${address}`);
  }

  #parts(headers: Buffer, index: number) {
    const header = headers.subarray(index * headerOctets, (index + 1) * headerOctets);
    const vector = this.#at(header.readBigUInt64LE(16), 16);
    assert.equal(header.readBigUInt64LE(24), 1n);
    const name = this.#at(header.readBigUInt64LE(0), header.readUInt32LE(8));
    const control = this.#at(header.readBigUInt64LE(32), header.readUInt32LE(40));
    return { header, name, control, data: this.#at(vector.readBigUInt64LE(0), Number(vector.readBigUInt64LE(8))) };
  }

  receive(_fd: number, headers: Buffer, count: number): number {
    const now = this.incoming.splice(0, count);
    for (const [index, { from, text, control }] of now.entries()) {
      const parts = this.#parts(headers, index);
      from.copy(parts.name);
      control?.copy(parts.control);
      parts.header.writeUInt32LE(parts.data.write(text), 56);
    }
    return now.length === 0 ? -1 : now.length;
  }

  send(fd: number, headers: Buffer, count: number): number {
    const taken = Math.min(count, this.takes.shift() ?? count);
    for (let index = 0; index < taken; index += 1) {
      const { name, data } = this.#parts(headers, index);
      this.sent.push({ fd, to: `${name.subarray(4, 8).join('.')}:${name.readUInt16BE(2)}`, text: data.toString() });
    }
    return taken === 0 ? -1 : taken;
  }

  /** Something is there to be read. */
  readable = () => {};

  onReadable(_fd: number, callback: () => void) {
    this.readable = callback;
    return { stop: () => {} };
  }
}
