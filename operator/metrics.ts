import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type RolloutPhase, rolloutPhases } from '../api/v1alpha1/rollout-settings.ts';
import type { MetricsAddress } from './options.ts';
import type { Duty } from './profile/duty.ts';
import type { Outcome } from './runtime/controller.ts';

/** What the metrics read at each scrape: plain tallies, so that counting costs an addition. */
export interface Gauged {
  readonly queueDepth: () => number;
  readonly queueRetries: () => number;
  readonly isLeader: () => boolean;
  readonly reconciles: () => Readonly<Record<Outcome, number>>;
  readonly profiles: () => readonly {
    readonly name: string;
    /** By state. */
    readonly nodes: Readonly<Record<string, number>>;
    readonly phase: RolloutPhase | undefined;
  }[];
  readonly stores: () => readonly { readonly plural: string; readonly size: number; readonly isFollowing: boolean }[];
}

/** A plan of thousands of nodes takes a second; one write takes milliseconds, unless the API server is slow. */
const secondsBuckets = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60];

/** The operator's numbers, and the little HTTP server that tells them: /metrics, /healthz (alive), /readyz (stores synced). */
export class Metrics {
  /** What /readyz says. */
  isReady = false;
  readonly #registry = new Registry();
  readonly #requests: Counter<'verb' | 'resource' | 'code'>;
  readonly #waits: Histogram;
  readonly #durations: Histogram<'duty'>;
  readonly #planning: Counter;
  readonly #server: Server;

  constructor() {
    collectDefaultMetrics({ register: this.#registry, prefix: 'localdns_operator_' });
    this.#requests = new Counter({
      name: 'localdns_operator_api_requests_total',
      help: 'Requests to the API server, by verb, resource, and HTTP status or error code.',
      labelNames: ['verb', 'resource', 'code'],
      registers: [this.#registry],
    });
    this.#waits = new Histogram({
      name: 'localdns_operator_queue_wait_seconds',
      help: 'How long keys were ready before a worker took them.',
      buckets: secondsBuckets,
      registers: [this.#registry],
    });
    this.#durations = new Histogram({
      name: 'localdns_operator_reconcile_seconds',
      help: 'How long reconciles took, by duty: plan, patterns, node, profile.',
      labelNames: ['duty'],
      buckets: secondsBuckets,
      registers: [this.#registry],
    });
    this.#planning = new Counter({
      name: 'localdns_operator_planning_cpu_seconds_total',
      help: 'Processor time spent on deciding what nodes shall have and on how profiles fare; requests to the API server left out.',
      registers: [this.#registry],
    });
    this.#server = createServer((request, response) => this.#serve(request.url ?? '', response));
  }

  observe({ queueDepth, queueRetries, isLeader, reconciles, profiles, stores }: Gauged): void {
    const registers = [this.#registry];
    new Gauge({
      name: 'localdns_operator_queue_depth',
      help: 'Keys that are ready to be reconciled and wait for a worker.',
      registers,
      collect() {
        this.set(queueDepth());
      },
    });
    new Counter({
      name: 'localdns_operator_queue_retries_total',
      help: 'Keys that were added again because they failed.',
      registers,
      collect() {
        this.reset();
        this.inc(queueRetries());
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
      name: 'localdns_operator_profile_nodes',
      help: 'Nodes of each profile, by state: selected, updated, ready, failed.',
      labelNames: ['profile', 'state'],
      registers,
      collect() {
        this.reset();
        for (const { name, nodes } of profiles())
          for (const [state, count] of Object.entries(nodes)) this.set({ profile: name, state }, count);
      },
    });
    new Gauge({
      name: 'localdns_operator_rollout_phase',
      help: 'The phase of the rollout of each profile: 1 for the one that it is in, 0 for the others.',
      labelNames: ['profile', 'phase'],
      registers,
      collect() {
        this.reset();
        for (const { name, phase } of profiles()) {
          if (phase === undefined) continue;
          for (const one of rolloutPhases) this.set({ profile: name, phase: one }, one === phase ? 1 : 0);
        }
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

  countWait(waitedMs: number): void {
    this.#waits.observe(waitedMs / 1000);
  }

  countThought(cpuSeconds: number): void {
    this.#planning.inc(cpuSeconds);
  }

  /** Measures a reconcile, however it ends. */
  async timed<T>(duty: Duty, reconcile: () => Promise<T>): Promise<T> {
    const end = this.#durations.startTimer({ duty });
    try {
      return await reconcile();
    } finally {
      end();
    }
  }

  /**
   * Resolves with the port. Rejects with Node's error (EADDRINUSE and the like). Without a host Node takes `::` for both families, whatever
   * net.ipv6.bindv6only says, and 0.0.0.0 where the kernel has no IPv6.
   */
  listen({ host, port }: MetricsAddress): Promise<number> {
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
