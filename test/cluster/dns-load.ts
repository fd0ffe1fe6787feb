import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, type Socket as TcpSocket } from 'node:net';
import { encode, type RecordType, streamEncode } from 'dns-packet';
import { onMessages, query, read } from './dns-client.ts';

export interface LoadOptions {
  server: string;
  port?: number;
  /** Asked in turn. A `*` stands for a number that is new in each query: such a name is in no cache. */
  names: readonly string[];
  type?: RecordType;
  transport?: 'udp' | 'tcp';
  perSecond: number;
  /** The load ends by itself after this; a test that forgets it must not load the machine for ever. */
  maxSeconds?: number;
  /** A query that is not answered within this is lost. */
  timeoutMs?: number;
  /** Answers that take longer than this are listed one by one. */
  slowMs?: number;
}

/** One answer as a client tells it from another: what it asked, how it ended, what data came. */
export interface Seen {
  answer: string;
  count: number;
  /** By the wall clock, so that a test in another process can compare them with its own deeds. */
  firstAtMs: number;
  lastAtMs: number;
}

/** An answer that took long, by the wall clock of its query. */
export interface SlowAnswer {
  sentAtMs: number;
  ms: number;
}

/** A TCP connection that ended without us. */
export interface CutConnection {
  atMs: number;
  /** `end`, or the code of the error: ECONNRESET, ECONNREFUSED, … */
  how: string;
  /** Queries that had been sent into it and were not answered: they are lost, and their client knows it at once. */
  unanswered: number;
}

export interface LoadResult {
  sent: number;
  answered: number;
  lost: number;
  /** When lost queries had been sent, by the wall clock. */
  lostAtMs: number[];
  worstMs: number;
  /** The slowest first, at most {@link slowest} of them. */
  slow: SlowAnswer[];
  cuts: CutConnection[];
  seen: Seen[];
}

const slowest = 200;

const sockets = 4;
const tickMs = 5;

/**
 * An open loop: the next query is sent when its time has come, whether or not the last one was answered, so that a
 * server which stops for a while cannot slow down those who measure it.
 */
export class DnsLoad {
  readonly #options: LoadOptions;
  readonly #lines: Line[];
  readonly #pending = new Map<number, { sentAt: number; sentAtMs: number; name: string }>();
  readonly #seen = new Map<string, Seen>();
  readonly #lostAtMs: number[] = [];
  readonly #slow: SlowAnswer[] = [];
  readonly #cuts: CutConnection[] = [];
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout;
  /** Tells this load's new names from those of any other. */
  readonly #mark = Math.random().toString(36).slice(2, 8);
  #sent = 0;
  #answered = 0;
  #worstMs = 0;
  #sending = true;

  constructor(options: LoadOptions) {
    this.#options = options;
    const receive = (message: Buffer) => this.#receive(message);
    const cut = (how: string, ids: Iterable<number>) => this.#cut(how, ids);
    this.#lines =
      options.transport === 'tcp'
        ? [tcpLine(options, receive, cut)]
        : Array.from({ length: sockets }, () => udpLine(options, receive));
    this.#timer = setInterval(() => this.#tick(), tickMs);
  }

  /** Sends no more, waits for what is under way, and gives the account. */
  async stop(): Promise<LoadResult> {
    this.#sending = false;
    const deadline = performance.now() + this.#timeoutMs;
    while (this.#pending.size > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, tickMs));
    }
    clearInterval(this.#timer);
    this.#giveUp(Number.POSITIVE_INFINITY);
    for (const line of this.#lines) line.close();
    return {
      sent: this.#sent,
      answered: this.#answered,
      lost: this.#lostAtMs.length,
      lostAtMs: this.#lostAtMs,
      worstMs: Math.round(this.#worstMs * 10) / 10,
      slow: this.#slow.toSorted((a, b) => b.ms - a.ms).slice(0, slowest),
      cuts: this.#cuts,
      seen: [...this.#seen.values()],
    };
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? 2_000;
  }

  #tick(): void {
    const now = performance.now();
    const elapsed = Math.min((now - this.#startedAt) / 1000, this.#options.maxSeconds ?? 120);
    const due = Math.floor(elapsed * this.#options.perSecond);
    while (this.#sending && this.#sent < due) this.#send();
    this.#giveUp(now - this.#timeoutMs);
  }

  #send(): void {
    const { names, type = 'A' } = this.#options;
    const number = this.#sent++;
    const id = number & 0xffff;
    const name = names[number % names.length] ?? '.';
    // Ids come round again after 65,536 queries: more than a bounded load has under way.
    this.#pending.set(id, { sentAt: performance.now(), sentAtMs: Date.now(), name });
    this.#lines[number % this.#lines.length]?.send(query(id, name.replace('*', `q${this.#mark}-${number}`), type));
  }

  #receive(message: Buffer): void {
    const id = message.readUInt16BE(0);
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    this.#answered++;
    const { rcode, answers, ms } = read(message, pending.sentAt);
    this.#worstMs = Math.max(this.#worstMs, ms);
    if (ms > (this.#options.slowMs ?? Number.POSITIVE_INFINITY)) this.#slow.push({ sentAtMs: pending.sentAtMs, ms });
    const data = answers.map((record) => record.data).sort();
    const answer = `${pending.name} ${[rcode, ...data].join(' ')}`;
    const now = Date.now();
    const seen = this.#seen.get(answer) ?? { answer, count: 0, firstAtMs: now, lastAtMs: now };
    seen.count++;
    seen.lastAtMs = now;
    this.#seen.set(answer, seen);
  }

  #cut(how: string, ids: Iterable<number>): void {
    let unanswered = 0;
    for (const id of ids) {
      const pending = this.#pending.get(id);
      if (pending === undefined) continue;
      this.#pending.delete(id);
      this.#lostAtMs.push(pending.sentAtMs);
      unanswered++;
    }
    this.#cuts.push({ atMs: Date.now(), how, unanswered });
  }

  #giveUp(sentBefore: number): void {
    for (const [id, { sentAt, sentAtMs }] of this.#pending) {
      // In the order of sending, so the first young one ends the search.
      if (sentAt >= sentBefore) break;
      this.#pending.delete(id);
      this.#lostAtMs.push(sentAtMs);
    }
  }
}

type Query = ReturnType<typeof query>;

/** A way to the server: what is sent into it may be lost, and never throws. */
interface Line {
  send(query: Query): void;
  close(): void;
}

function udpLine({ server, port = 53 }: LoadOptions, receive: (message: Buffer) => void): Line {
  const socket: UdpSocket = createSocket(server.includes(':') ? 'udp6' : 'udp4');
  // Port unreachable, while nobody listens: the query is lost, and counted as such when its time is over.
  socket.on('error', () => undefined);
  socket.on('message', receive);
  return { send: (asked) => socket.send(encode(asked), port, server, () => undefined), close: () => socket.close() };
}

/** One connection at a time: when it ends, the next query opens another. */
function tcpLine(
  { server, port = 53 }: LoadOptions,
  receive: (message: Buffer) => void,
  cut: (how: string, ids: Iterable<number>) => void,
): Line {
  let current: { socket: TcpSocket; unanswered: Set<number> } | undefined;
  let closing = false;
  const dial = () => {
    const socket = connect(port, server).setNoDelay(true);
    const dialled = { socket, unanswered: new Set<number>() };
    let how = 'end';
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      how = code ?? 'error';
    });
    // Nothing more can come: what is asked from here on goes into another connection.
    socket.once('end', () => socket.destroy());
    socket.once('close', () => {
      if (current === dialled) current = undefined;
      if (!closing) cut(how, dialled.unanswered);
    });
    onMessages(socket, (message) => {
      dialled.unanswered.delete(message.readUInt16BE(0));
      receive(message);
    });
    return dialled;
  };
  return {
    send(asked) {
      current ??= dial();
      current.unanswered.add(asked.id);
      current.socket.write(streamEncode(asked));
    },
    close() {
      closing = true;
      current?.socket.destroy();
    },
  };
}
