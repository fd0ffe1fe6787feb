/**
 * A program that does nothing until it is killed, as an ELF file that fits into a page: what a pod's sandbox runs, and a pod that
 * only has to be there. Written here, it needs no compiler.
 */
import { arch } from 'node:os';

const elfHeader = 64;
const programHeader = 56;
const loadedAt = 0x400000n;

interface Machine {
  /** As ELF numbers it. */
  id: number;
  /** Asks the kernel to sleep until a signal comes, for ever. */
  code: number[];
}

const machines: Readonly<Record<string, Machine>> = {
  x64: {
    id: 62,
    // mov eax, 34 (pause); syscall; jmp back
    code: [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7],
  },
  arm64: {
    id: 183,
    // mov x0..x4, 0; mov x8, 73 (ppoll); svc 0; b back
    code: [0xd2800000, 0xd2800001, 0xd2800002, 0xd2800003, 0xd2800004, 0xd2800928, 0xd4000001, 0x17fffff9].flatMap(
      (word) => [0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff),
    ),
  },
};

export function pauseProgram(): Buffer {
  const machine = machines[arch()];
  if (machine === undefined) throw new Error(`no program that pauses is known for ${arch()}`);
  const start = elfHeader + programHeader;
  const file = Buffer.alloc(start + machine.code.length);
  const size = BigInt(file.length);
  // e_ident: 64 bits, little endian, version 1
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(2, 16); // e_type: executable
  file.writeUInt16LE(machine.id, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(loadedAt + BigInt(start), 24); // e_entry
  file.writeBigUInt64LE(BigInt(elfHeader), 32); // e_phoff
  file.writeUInt16LE(elfHeader, 52);
  file.writeUInt16LE(programHeader, 54);
  file.writeUInt16LE(1, 56); // e_phnum
  file.writeUInt32LE(1, elfHeader); // p_type: load
  file.writeUInt32LE(5, elfHeader + 4); // p_flags: read, execute
  file.writeBigUInt64LE(loadedAt, elfHeader + 16);
  file.writeBigUInt64LE(loadedAt, elfHeader + 24);
  file.writeBigUInt64LE(size, elfHeader + 32);
  file.writeBigUInt64LE(size, elfHeader + 40);
  file.writeBigUInt64LE(0x1000n, elfHeader + 48);
  file.set(machine.code, start);
  return file;
}
