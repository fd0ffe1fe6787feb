import type { ExchangeError } from './exchange-error.ts';
import type { Asker } from './transport.ts';

/** One query over TCP. It may be out on more than one connection: the first answer is the answer. */
export class TcpQuery {
  readonly message: Buffer;
  /** Connections that were lost under it. */
  losses = 0;
  /** It was sent again because a slow one was before it. */
  wasMoved = false;
  /** The connection that it was sent over last. */
  latest: object | undefined;
  /** Connections that may still bring the answer. */
  outOn = 0;
  hasEnded = false;
  readonly askedAtMs: number;
  readonly #timeoutMs: number;
  readonly #asker: Asker;

  constructor(message: Buffer, asker: Asker, askedAtMs: number, timeoutMs: number) {
    this.message = message;
    this.askedAtMs = askedAtMs;
    this.#timeoutMs = timeoutMs;
    this.#asker = asker;
  }

  get client(): string {
    return this.#asker.client;
  }

  get expiresAtMs(): number {
    return this.askedAtMs + this.#timeoutMs;
  }

  mayRepeat(): boolean {
    return this.#asker.mayRepeat();
  }

  mismatched(): void {
    this.#asker.mismatched();
  }

  answer(reply: Buffer): void {
    this.hasEnded = true;
    this.#asker.answered(reply);
  }

  fail(code: ExchangeError['code'], reason: string): void {
    this.hasEnded = true;
    this.#asker.failed(code, reason);
  }

  expire(): void {
    this.fail('TIMEOUT', `no reply over TCP within ${Math.round(this.#timeoutMs)} ms`);
  }
}
