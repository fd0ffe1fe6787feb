import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Outcome } from './runtime/controller.ts';

/** What the metrics read at each scrape: plain tallies, so that counting costs an addition. */
export interface Gauged {
  readonly queueDepth: () => number;
  readonly isLeader: () => boolean;
  readonly reconciles: () => Readonly<Record<Outcome, number>>;
  readonly stores: () => readonly { readonly plural: string; readonly size: number; readonly isFollowing: boolean }[];
}

/** The operator's numbers, and the little HTTP server that tells them: /metrics, /healthz (alive), /readyz (stores synced). */
export class Metrics {
  /** What /readyz says. */
  isReady = false;
  readonly #registry = new Registry();
  readonly #requests: Counter<'verb' | 'resource' | 'code'>;
  readonly #server: Server;

  constructor() {
    collectDefaultMetrics({ register: this.#registry, prefix: 'localdns_operator_' });
    this.#requests = new Counter({
      name: 'localdns_operator_api_requests_total',
      help: 'Requests to the API server, by verb, resource, and HTTP status or error code.',
      labelNames: ['verb', 'resource', 'code'],
      registers: [this.#registry],
    });
    this.#server = createServer((request, response) => this.#serve(request.url ?? '', response));
  }

  observe({ queueDepth, isLeader, reconciles, stores }: Gauged): void {
    const registers = [this.#registry];
    new Gauge({
      name: 'localdns_operator_queue_depth',
      help: 'Keys that are ready to be reconciled and wait for a worker.',
      registers,
      collect() {
        this.set(queueDepth());
      },
    });
    new Gauge({
      name: 'localdns_operator_leader',
      help: '1 while this replica holds the Lease and acts, 0 while it stands by.',
      registers,
      collect() {
        this.set(isLeader() ? 1 : 0);
      },
    });
    new Counter({
      name: 'localdns_operator_reconciles_total',
      help: 'Reconciles by outcome: done, requeued, terminal, conflict, transient.',
      labelNames: ['outcome'],
      registers,
      collect() {
        this.reset();
        for (const [outcome, count] of Object.entries(reconciles())) this.inc({ outcome }, count);
      },
    });
    new Gauge({
      name: 'localdns_operator_objects',
      help: 'Objects known, by resource.',
      labelNames: ['resource'],
      registers,
      collect() {
        for (const { plural, size } of stores()) this.set({ resource: plural }, size);
      },
    });
    new Gauge({
      name: 'localdns_operator_following',
      help: '1 where the operator follows the API server for a resource, 0 where it works from its last state.',
      labelNames: ['resource'],
      registers,
      collect() {
        for (const { plural, isFollowing } of stores()) this.set({ resource: plural }, isFollowing ? 1 : 0);
      },
    });
  }

  countRequest(verb: string, resource: string, code: string): void {
    this.#requests.inc({ verb, resource, code });
  }

  /** Resolves with the port. Rejects with Node's error (EADDRINUSE and the like). */
  listen({ host, port }: { readonly host: string; readonly port: number }): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => resolve((this.#server.address() as AddressInfo).port));
    });
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #serve(url: string, response: ServerResponse): void {
    const answer = (status: number, body: string, type = 'text/plain'): void => {
      response.writeHead(status, { 'content-type': type }).end(body);
    };
    switch (url.split('?')[0]) {
      case '/healthz':
        answer(200, 'ok\n');
        break;
      case '/readyz':
        if (this.isReady) answer(200, 'ok\n');
        else answer(503, 'not synced with the API server yet\n');
        break;
      case '/metrics':
        void this.#registry.metrics().then(
          (text) => answer(200, text, this.#registry.contentType),
          (error: unknown) => answer(500, `${error}\n`),
        );
        break;
      default:
        answer(404, 'see /metrics, /healthz, /readyz\n');
    }
  }
}
