import { isV6Address } from '../../api/v1alpha1/address.ts';
import { atOneTime } from '../clock.ts';
import { type BatchCalls, intOption, isLibc, type Libc, linux, loadLibc } from '../libc.ts';
import type { Reply } from '../server/server.ts';
import { ClientTexts } from './client-texts.ts';
import { batchSize, Datagrams, type Peer, type PeerShape, type Sender } from './datagrams.ts';
import { drained } from './drain.ts';
import type { ListenAddress, Listener, ServePacket, TellMishap } from './listener.ts';
import { openSocket, steer } from './sockets.ts';

/** What SO_MEMINFO tells: nine numbers, the last of which are datagrams that found the buffer full. */
const memoryInformationOctets = 36;
const dropsAt = 32;

/** In one turn of the loop: others, TCP among them, want theirs too. */
const batchesPerTurn = 4;

/** One for all sockets. */
const datagramsOf = new WeakMap<BatchCalls, Datagrams>();

/** Whether datagrams can be had in batches here. */
export function hasBatches(): boolean {
  const libc = loadLibc();
  return isLibc(libc) && libc.batches !== undefined;
}

/** Opens a UDP socket that takes and sends datagrams in batches; rejects with a {@link ListenError}. */
export async function openBatched(
  at: ListenAddress,
  serve: ServePacket,
  tell: TellMishap = () => {},
  libc = loadLibc(),
): Promise<Listener> {
  if (!isLibc(libc) || libc.batches === undefined) throw new Error('no batches can be had here: ask first');
  const datagrams = datagramsOf.get(libc.batches) ?? new Datagrams(libc.batches);
  datagramsOf.set(libc.batches, datagrams);
  const fd = openSocket(at, 'UDP');
  try {
    return new BatchedListener({ ...libc, batches: libc.batches }, fd, at, { serve, tell }, datagrams);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

class BatchedReply implements Reply {
  readonly overTcp = false;
  readonly #listener: BatchedListener;
  /** The place of the query, as long as its batch is served; then its peer. */
  #to: number | Peer;
  isOpen = true;

  constructor(listener: BatchedListener, place: number) {
    this.#listener = listener;
    this.#to = place;
  }

  get client(): string {
    return this.#listener.client(this.#to);
  }

  get memory(): Int32Array {
    return this.#listener.memory;
  }

  drop(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#listener.ended();
  }

  send(message: Buffer, length: number): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#listener.send(this.#to, message, length);
  }

  /** The answer comes later. */
  keep(peer: Peer): void {
    this.#to = peer;
  }
}

const shapes = {
  4: { one: { name: 16, control: 0 }, any: { name: 16, control: 32 } },
  6: { one: { name: 28, control: 0 }, any: { name: 28, control: 40 } },
} as const satisfies Record<number, Record<string, PeerShape>>;

class BatchedListener implements Listener, Sender {
  readonly port: number;
  readonly steer: Listener['steer'];
  readonly fd: number;
  readonly shape: PeerShape;
  readonly #libc: Libc;
  readonly #serve: ServePacket;
  readonly #tell: TellMishap;
  readonly #datagrams: Datagrams;
  readonly #clients = new ClientTexts();
  readonly #watch: { stop: () => void };
  #received = 0;
  #open = 0;
  #overrun = 0;
  #turn: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(
    libc: Libc & { batches: BatchCalls },
    fd: number,
    { address, transparent }: ListenAddress,
    { serve, tell }: { serve: ServePacket; tell: TellMishap },
    datagrams: Datagrams,
  ) {
    this.#libc = libc;
    this.fd = fd;
    this.#serve = serve;
    this.#tell = tell;
    this.#datagrams = datagrams;
    const isV6 = isV6Address(address);
    const isAny = /^[0:.]+$/.test(address);
    this.shape = shapes[isV6 ? 6 : 4][isAny ? 'any' : 'one'];
    if (isAny && isV6) libc.setsockopt(fd, linux.levelIpv6, linux.ipv6ReceivePacketInformation, intOption(1));
    else if (isAny) libc.setsockopt(fd, linux.levelIp, linux.ipPacketInformation, intOption(1));
    this.port = libc.getsockname(fd).readUInt16BE(2);
    this.steer = transparent ? (index) => steer(fd, index) : undefined;
    const read = () => this.#read();
    this.#watch = libc.batches.onReadable(fd, () => atOneTime(read));
  }

  readonly tellOverrun = (): void => {
    const information = this.#libc.getsockopt(
      this.fd,
      linux.levelSocket,
      linux.memoryInformation,
      memoryInformationOctets,
    );
    const overrun = information.readUInt32LE(dropsAt);
    // It counts up to 32 bits, and begins anew.
    if (overrun !== this.#overrun) this.#tell('overrun', (overrun - this.#overrun) >>> 0);
    this.#overrun = overrun;
  };

  unsent(): void {
    this.#tell('unsent');
  }

  /** Called by the loop itself: what throws here would surface anywhere. */
  #read(): void {
    const datagrams = this.#datagrams;
    let isOver = true;
    for (let batch = 0; batch < batchesPerTurn; batch += 1) {
      const count = datagrams.receive(this.fd, this.shape);
      this.#received += count;
      for (let place = 0; place < count; place += 1) {
        if (datagrams.port(place) === 0) {
          this.#tell('forged');
          continue;
        }
        this.#open += 1;
        const reply = new BatchedReply(this, place);
        if (this.#serve(datagrams.packet(place), reply) !== true) isOver = false;
        if (reply.isOpen) reply.keep(datagrams.peer(place, this.shape));
      }
      datagrams.flush();
      if (count < batchSize) break;
    }
    // A turn more of the loop costs what some answers cost.
    if (!isOver) this.#afterThis();
  }

  /** Promises that were begun outside of Node's callbacks go on after one of those. */
  #afterThis(): void {
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      this.#datagrams.flush();
    });
  }

  get memory(): Int32Array {
    return this.#datagrams.memory;
  }

  client(peer: number | Peer): string {
    const words = typeof peer === 'number' ? this.#datagrams.peer(peer, this.shape) : peer;
    return this.shape.name === 16 ? this.#clients.ofIpv4(words[1] as number) : this.#clients.ofIpv6(words, 2);
  }

  ended(): void {
    this.#open -= 1;
  }

  send(to: number | Peer, message: Buffer, length: number): void {
    this.#open -= 1;
    if (this.#closed) {
      this.unsent();
      return;
    }
    this.#datagrams.send(this, to, message, length);
    // Those of a batch go when it has been served; those that come later, once a turn.
    if (typeof to !== 'number') this.#afterThis();
  }

  async close(graceMs: number): Promise<void> {
    await drained(
      graceMs,
      () => this.#received,
      () => this.#open,
    );
    this.#datagrams.flush();
    this.tellOverrun();
    this.#closed = true;
    this.#watch.stop();
    this.#libc.close(this.fd);
  }
}
