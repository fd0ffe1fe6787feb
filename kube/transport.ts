import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Connection, Route } from './connection.ts';
import { BadResponseError, FencedError, KubeError, TimeoutError, UnreachableError } from './errors.ts';

/** One HTTP request, before anything is known about its answer. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  /** What form the answer shall have; JSON of the whole object where it is not given. */
  readonly accept?: string;
  /** Until the answer's head is here. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Whether this process may still write, as of now. */
export type MayWrite = () => boolean;

/** HTTP over the shared connection: sends, repeats where repeating is safe, and names what went wrong in one line. */
export class Transport {
  readonly #connection: Connection;
  readonly #userAgent: string;
  readonly #mayWrite: MayWrite;

  constructor(connection: Connection, userAgent: string, mayWrite: MayWrite) {
    this.#connection = connection;
    this.#userAgent = userAgent;
    this.#mayWrite = mayWrite;
  }

  /**
   * Sends, and resolves with the answer as soon as its head has arrived, whatever its status.
   *
   * A request on a reused connection that the server has just closed is sent once more; so is one that got 401, with
   * credentials read anew. Creating (POST) is not repeated after a reset: it may have happened.
   *
   * Rejects with UnreachableError, TimeoutError, FencedError or KubeconfigError.
   */
  async send(call: Call): Promise<IncomingMessage> {
    const first = await this.#attempt(call);
    if (first.statusCode !== 401) return first;
    first.resume();
    this.#connection.distrust();
    return this.#attempt(call);
  }

  async #attempt(call: Call): Promise<IncomingMessage> {
    const route = await this.#connection.current();
    const sent = await this.#exchange(route, call);
    if (!(sent instanceof StaleSocket)) return sent;
    const again = await this.#exchange(route, call);
    if (again instanceof StaleSocket) throw this.#unreachable(again.cause);
    return again;
  }

  #exchange(route: Route, call: Call): Promise<IncomingMessage | StaleSocket> {
    return new Promise((resolve, reject) => {
      const request = this.#open(route, call);
      const giveUp = (): void => {
        request.destroy(
          new TimeoutError(`no answer from the API server at ${this.#connection.server} within ${call.timeoutMs} ms`),
        );
      };
      const timer = setTimeout(giveUp, call.timeoutMs);
      request.once('response', (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      request.once('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        if (error instanceof KubeError) return reject(error);
        const stale = request.reusedSocket && call.method !== 'POST' && !call.signal?.aborted;
        if (stale && (error.code === 'ECONNRESET' || error.code === 'EPIPE')) return resolve(new StaleSocket(error));
        reject(this.#unreachable(error));
      });
      if (call.method === 'GET') request.end();
      else whenConnected(request, () => this.#write(request, call));
    });
  }

  /** Asked at the last moment, in the same turn in which the bytes go out: making a connection may take its time. */
  #write(request: ClientRequest, { body }: Call): void {
    if (this.#mayWrite()) request.end(body);
    else request.destroy(new FencedError('not written: this process may not write any more'));
  }

  #open(route: Route, call: Call): ClientRequest {
    const headers: Record<string, string | number | string[]> = {
      accept: call.accept ?? 'application/json',
      'user-agent': this.#userAgent,
      ...route.headers,
    };
    if (call.body !== undefined) {
      headers['content-type'] = call.contentType ?? 'application/json';
      headers['content-length'] = Buffer.byteLength(call.body);
    }
    const url = new URL(route.server.pathname.replace(/\/$/, '') + call.path, route.server);
    const send = url.protocol === 'http:' ? requestHttp : requestHttps;
    return send(url, {
      method: call.method,
      agent: route.agent,
      headers,
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
  }

  #unreachable(error: unknown): UnreachableError {
    const { code, message } = error as NodeJS.ErrnoException;
    const detail = code === undefined || message.includes(code) ? message : `${code}: ${message}`;
    return new UnreachableError(
      `cannot reach the API server at ${this.#connection.server}: ${detail.split('\n')[0]}; check the address, its certificate authority and the network`,
      { cause: error },
    );
  }
}

/** Calls `run` as soon as what is written would go out at once: after the handshakes of a new connection. */
function whenConnected(request: ClientRequest, run: () => void): void {
  request.once('socket', (socket: Socket & Partial<Pick<TLSSocket, 'encrypted'>> & { secureConnecting?: boolean }) => {
    if (!socket.connecting && socket.secureConnecting !== true) run();
    else socket.once(socket.encrypted === true ? 'secureConnect' : 'connect', run);
  });
}

/** The kept connection was already closed by the server when we used it: nothing was processed. */
class StaleSocket {
  readonly cause: unknown;
  constructor(cause: unknown) {
    this.cause = cause;
  }
}

/** Reads a body to its end as text; rejects with TimeoutError after `timeoutMs`, with UnreachableError when it breaks off. */
export function readBody(answer: IncomingMessage, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const timer = setTimeout(
      () => answer.destroy(new TimeoutError(`the API server's answer stopped for ${timeoutMs} ms`)),
      timeoutMs,
    );
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(
        error instanceof KubeError
          ? error
          : new UnreachableError(`the API server's answer broke off: ${error.message}`),
      );
    };
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    answer.once('error', fail);
    answer.once('close', () => fail(new Error('connection closed')));
    answer.once('end', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks).toString());
    });
  });
}

/** Parses a body as a JSON object; throws BadResponseError with its beginning, as a proxy's error page would need. */
export function parseBody(body: string, what: string): object {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch {
    // Said below, with the text itself.
  }
  throw new BadResponseError(
    `${what}: the answer is not JSON of the Kubernetes API: ${JSON.stringify(body.slice(0, 120))}`,
  );
}
