import type { Timer } from '../clock.ts';
import * as header from '../wire/header.ts';
import { ExchangeError } from './exchange-error.ts';
import { questionEnd } from './udp-exchange.ts';

/** Asked before a query is sent a second time; false: not now. */
export type MayRepeat = () => boolean;

/** One query over TCP. It may be out on more than one connection: the first answer is the answer. */
export class TcpQuery {
  readonly message: Buffer;
  readonly question: Buffer;
  /** On whose behalf; empty for our own. */
  readonly client: string;
  /** Its connection was lost; a query survives that once. */
  wasLost = false;
  /** It was sent again because a slow one was before it. */
  wasMoved = false;
  /** The connection that it was sent over last. */
  latest: object | undefined;
  /** Connections that may still bring the answer. */
  outOn = 0;
  /** Set by whoever gave it its time. */
  timer: Timer | undefined;
  readonly #mayRepeat: MayRepeat | undefined;
  readonly #resolve: (reply: Buffer) => void;
  readonly #reject: (error: ExchangeError) => void;
  #ended = false;

  constructor(
    message: Buffer,
    resolve: (reply: Buffer) => void,
    reject: (error: ExchangeError) => void,
    client: string,
    mayRepeat?: MayRepeat,
  ) {
    this.message = message;
    this.question = message.subarray(header.headerLength, questionEnd(message));
    this.client = client;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#mayRepeat = mayRepeat;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  mayRepeat(): boolean {
    return this.#mayRepeat === undefined || this.#mayRepeat();
  }

  answer(reply: Buffer): void {
    this.#end();
    this.#resolve(reply);
  }

  fail(code: ExchangeError['code'], reason: string): void {
    this.#end();
    this.#reject(new ExchangeError(code, reason));
  }

  #end(): void {
    this.#ended = true;
    this.timer?.cancel();
  }
}
