import type { Timer } from '../clock.ts';
import type { ExchangeError } from './exchange-error.ts';
import type { Asker } from './transport.ts';

/** One query over TCP. It may be out on more than one connection: the first answer is the answer. */
export class TcpQuery {
  readonly message: Buffer;
  /** Its connection was lost; a query survives that once. */
  wasLost = false;
  /** It was sent again because a slow one was before it. */
  wasMoved = false;
  /** The connection that it was sent over last. */
  latest: object | undefined;
  /** Connections that may still bring the answer. */
  outOn = 0;
  hasEnded = false;
  /** Set by whoever gave it its time. */
  timer: Timer | undefined;
  readonly #asker: Asker;

  constructor(message: Buffer, asker: Asker) {
    this.message = message;
    this.#asker = asker;
  }

  get client(): string {
    return this.#asker.client;
  }

  mayRepeat(): boolean {
    return this.#asker.mayRepeat();
  }

  mismatched(): void {
    this.#asker.mismatched();
  }

  answer(reply: Buffer): void {
    this.#end();
    this.#asker.answered(reply);
  }

  fail(code: ExchangeError['code'], reason: string): void {
    this.#end();
    this.#asker.failed(code, reason);
  }

  #end(): void {
    this.hasEnded = true;
    this.timer?.cancel();
  }
}
