/**
 * Lines about queries on their way from the thread that serves to the one that writes them: records in a ring of shared memory, with one
 * writer and one reader. A line costs the writer a copy of its name. Where the reader does not keep up (somebody floods, or whoever takes the
 * process's output has stopped), the ring is full, and lines are dropped: answers come first.
 */
import type { Clock } from './clock.ts';
import type { QueryLine } from './server/server-log.ts';
import { type Origin, origin } from './wire/edns.ts';
import { nameToText } from './wire/name.ts';

/** As it is written. */
export interface QueryRecord {
  readonly client: string;
  readonly transport: 'tcp' | 'udp';
  readonly name: string;
  readonly type: number;
  readonly rcode: number;
  readonly origin: keyof typeof origin;
  /** To the microsecond. */
  readonly durationMs: number;
}

/** Some thousands of lines. A power of two: places are counted on, beyond the end of it. */
const usualOctets = 512 * 1024;
/** In words of 32 bits before the records: how far was written and read, and whether the reader waits to be woken. */
const word = { written: 0, read: 1, waits: 2 } as const;
const stateOctets = 16;
/** Length, microseconds, time; type, rcode, origin, transport, and the lengths of client and name. */
const at = {
  length: 0,
  micros: 4,
  time: 8,
  type: 16,
  rcode: 18,
  origin: 19,
  overTcp: 20,
  client: 21,
  name: 22,
} as const;
const fixedOctets = 24;
const alignment = 8;

/** What is written of a flood has a bound, and so has what that takes of a processor: 10,000 lines a second. */
const linesAtATime = 1_000;
const pauseMs = 100;

const originNames = Object.fromEntries(Object.entries(origin).map(([name, value]) => [value, name])) as Record<
  Origin,
  keyof typeof origin
>;

export function queryLogMemory(octets = usualOctets): SharedArrayBuffer {
  return new SharedArrayBuffer(stateOctets + octets);
}

class Ring {
  readonly state: Int32Array;
  readonly octets: Buffer;

  constructor(memory: SharedArrayBuffer) {
    this.state = new Int32Array(memory, 0, stateOctets / 4);
    this.octets = Buffer.from(memory, stateOctets);
  }

  placeOf(position: number): number {
    return position & (this.octets.length - 1);
  }

  /** Positions are counted in 32 bits, and begin anew. */
  get used(): number {
    return (Atomics.load(this.state, word.written) - Atomics.load(this.state, word.read)) >>> 0;
  }
}

export class QueryLogWriter {
  readonly #ring: Ring;
  readonly #wake: () => void;

  /** @param wake the reader waits, and there is something again */
  constructor(memory: SharedArrayBuffer, wake: () => void) {
    this.#ring = new Ring(memory);
    this.#wake = wake;
  }

  /** False where there is no room: the line is lost. */
  write({ client, overTcp, name, type, rcode, origin, durationMs }: QueryLine, wallMs: number): boolean {
    const { state, octets } = this.#ring;
    const exact = fixedOctets + client.length + name.length;
    const length = exact + (-exact & (alignment - 1));
    const written = Atomics.load(state, word.written);
    const place = this.#ring.placeOf(written);
    const rest = octets.length - place;
    const skipped = length > rest ? rest : 0;
    if (this.#ring.used + skipped + length > octets.length) return false;
    // No record goes over the end: 0 sends the reader to the beginning.
    if (skipped > 0) octets.writeUInt32LE(0, place);
    const from = skipped > 0 ? 0 : place;
    octets.writeUInt32LE(length, from + at.length);
    octets.writeUInt32LE(Math.min(Math.round(durationMs * 1000), 0xffffffff), from + at.micros);
    octets.writeDoubleLE(wallMs, from + at.time);
    octets.writeUInt16LE(type, from + at.type);
    octets[from + at.rcode] = rcode;
    octets[from + at.origin] = origin;
    octets[from + at.overTcp] = overTcp ? 1 : 0;
    octets[from + at.client] = client.length;
    octets[from + at.name] = name.length;
    octets.write(client, from + fixedOctets, 'latin1');
    octets.write(name, from + fixedOctets + client.length, 'latin1');
    Atomics.store(state, word.written, (written + skipped + length) | 0);
    if (Atomics.exchange(state, word.waits, 0) === 1) this.#wake();
    return true;
  }
}

export class QueryLogReader {
  readonly #ring: Ring;

  constructor(memory: SharedArrayBuffer) {
    this.#ring = new Ring(memory);
  }

  /** Tells of at most so many; returns whether there are more. Where there are none, the writer wakes whoever reads when there are. */
  take(most: number, tell: (line: QueryRecord, wallMs: number) => void): boolean {
    const { state } = this.#ring;
    for (let told = 0; told < most && this.#ring.used > 0; ) told += this.#takeOne(tell);
    if (this.#ring.used > 0) return true;
    Atomics.store(state, word.waits, 1);
    // What came between the two looks has woken nobody.
    return this.#ring.used > 0 && Atomics.exchange(state, word.waits, 0) === 1;
  }

  #takeOne(tell: (line: QueryRecord, wallMs: number) => void): number {
    const { state, octets } = this.#ring;
    const read = Atomics.load(state, word.read);
    const from = this.#ring.placeOf(read);
    const length = octets.readUInt32LE(from + at.length);
    if (length > 0) tell(this.#record(from), octets.readDoubleLE(from + at.time));
    Atomics.store(state, word.read, (read + (length > 0 ? length : octets.length - from)) | 0);
    return length > 0 ? 1 : 0;
  }

  #record(from: number): QueryRecord {
    const { octets } = this.#ring;
    const client = from + fixedOctets;
    const name = client + (octets[from + at.client] as number);
    return {
      client: octets.toString('latin1', client, name),
      transport: octets[from + at.overTcp] === 1 ? 'tcp' : 'udp',
      name: nameToText(octets.toString('latin1', name, name + (octets[from + at.name] as number))),
      type: octets.readUInt16LE(from + at.type),
      rcode: octets[from + at.rcode] as number,
      origin: originNames[octets[from + at.origin] as Origin],
      durationMs: octets.readUInt32LE(from + at.micros) / 1000,
    };
  }
}

/** Has lines written some at a time; those that are left at the end, at once. */
export class QueryLogPump {
  readonly #reader: QueryLogReader;
  readonly #clock: Clock;
  readonly #write: (line: QueryRecord, wallMs: number) => void;
  readonly #flush: () => void;
  #isDue = false;

  constructor(
    memory: SharedArrayBuffer,
    clock: Clock,
    { write, flush }: { write: (line: QueryRecord, wallMs: number) => void; flush: () => void },
  ) {
    this.#reader = new QueryLogReader(memory);
    this.#clock = clock;
    this.#write = write;
    this.#flush = flush;
  }

  /** There may be lines. */
  wake(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#clock.after(pauseMs, () => {
      this.#isDue = false;
      if (this.#reader.take(linesAtATime, this.#write)) this.wake();
      this.#flush();
    });
  }

  end(): void {
    this.#reader.take(Number.POSITIVE_INFINITY, this.#write);
    this.#flush();
  }
}
