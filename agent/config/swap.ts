/** Builds a configuration aside, tries it, and swaps it whole; what cannot be built or tried leaves the old one serving. */
import type { Builder } from '../build.ts';
import type { Desired } from '../channel.ts';
import type { Clock } from '../clock.ts';
import { exchange, type Transport } from '../forward/transport.ts';
import { type ListenerName, Listeners, type ListeningAddress } from '../listen/listeners.ts';
import type { Answerer } from '../listen/steering.ts';
import { heartbeat, identityQuery } from '../self-query.ts';
import { bump, ListenerCount, type ListenerPlan, listenerCounts } from '../server/plan.ts';
import { Server } from '../server/server.ts';
import type { ServerLog } from '../server/server-log.ts';
import type { Tallies } from '../tallies.ts';
import * as header from '../wire/header.ts';

const drainMs = 2_000;
const selfQueryTimeoutMs = 1_000;
/** Longer than any query is waited for: there is an answer by then, or none will come. */
const podTimeoutMs = 2_500;
/** Whoever answers is on this node: an older agent beside us, or ourselves. */
const steerTimeoutMs = 250;

/** How the agent reaches its transparent addresses, and knows its own answers from those of another agent there. */
export interface SelfProof {
  startKey: Uint8Array;
  /** Leads to the agent whatever the rules say of other packets; asks from new ports each time. */
  openTransport: () => Transport;
}

export class Swap {
  readonly #builder: Builder;
  readonly #clock: Clock;
  readonly #transport: Transport;
  readonly #tallies: Tallies;
  readonly #log: ServerLog;
  readonly #proof: SelfProof | undefined;
  readonly #servers = new Map<ListenerName, Server>();
  readonly #listeners = new Listeners(
    (name, packet, reply) => this.#servers.get(name)?.serve(packet, reply),
    (name, what, times) => bump(this.#counts(name), ListenerCount[what], times),
  );

  constructor(
    builder: Builder,
    clock: Clock,
    transport: Transport,
    tallies: Tallies,
    log: ServerLog,
    proof?: SelfProof,
  ) {
    this.#builder = builder;
    this.#clock = clock;
    this.#transport = transport;
    this.#tallies = tallies;
    this.#log = log;
    this.#proof = proof;
  }

  get listening(): ListeningAddress[] {
    return this.#listeners.addresses;
  }

  tellOverruns(): void {
    this.#listeners.tellOverruns();
  }

  /**
   * Resolves once `desired` is in force; rejects with the reason, and then the old configuration serves on.
   * @param warmUp runs before sockets open: whoever is asked first shall have its cache; never rejects
   */
  async apply(desired: Desired, warmUp?: () => Promise<void>): Promise<void> {
    const { plans, commit } = this.#builder.build(desired.config, desired.destinations);
    for (const [name, plan] of plans) this.#try(name, plan);
    await warmUp?.();
    // A socket beside those of an older agent may be sent queries from its first moment on: there must be somebody to serve them.
    const added = [...plans].filter(([name]) => !this.#servers.has(name));
    for (const [name, plan] of added) this.#servers.set(name, this.#server(name, plan));
    const closeObsolete = await this.#listeners.open(desired.listen).catch((error: unknown) => {
      for (const [name] of added) this.#servers.delete(name);
      throw error;
    });
    for (const [name, plan] of plans) this.#servers.get(name)?.swap(plan);
    commit();
    // Sockets that are not wanted any more drain meanwhile; a server without sockets is asked nothing.
    void closeObsolete(drainMs);
  }

  /** Takes nothing new, and ends once what is in flight is answered, or after two seconds. */
  async close(): Promise<void> {
    await this.#listeners.steerAway((at, overTcp) => this.#whoAnswers(at, overTcp));
    const closeAll = await this.#listeners.open({});
    await closeAll(drainMs);
    this.#servers.clear();
  }

  /**
   * Leads what comes to transparent addresses here, where that is still to be done, then asks every listener over its sockets,
   * the way that clients take; the sentence says which did not answer.
   */
  async querySelf(): Promise<string | undefined> {
    const misled = await this.steer(false);
    const answers = this.#listeners.addresses.flatMap((at) =>
      // Being led there is proven by answers.
      at.transparent ? [] : [false, true].map((overTcp) => this.#querySelf(at, overTcp)),
    );
    return misled ?? (await Promise.all(answers)).find((complaint) => complaint !== undefined);
  }

  /** Asks the listener of pods, the way that they take; rejects where no answer comes. */
  async askAsPod(query: Buffer): Promise<Buffer> {
    const { addresses } = this.#listeners;
    const at = addresses.find(({ name }) => name === 'cluster') ?? addresses[0];
    if (at === undefined) throw new Error('this node is not served');
    if (at.transparent !== true || this.#proof === undefined) return this.#askAt(this.#transport, at, query);
    const transport = this.#proof.openTransport();
    return this.#askAt(transport, at, query).finally(() => transport.close());
  }

  async #askAt(transport: Transport, { address, port }: ListeningAddress, query: Buffer): Promise<Buffer> {
    const reply = await exchange(transport, { address, port }, false, query, podTimeoutMs);
    if ((header.flags(reply) & header.flag.truncated) === 0) return reply;
    return exchange(transport, { address, port }, true, query, podTimeoutMs);
  }

  /** @param again also where that has been done: sockets of other agents on the address have come or gone */
  steer(again: boolean): Promise<string | undefined> {
    return this.#listeners.steer((at, overTcp) => this.#whoAnswers(at, overTcp), again);
  }

  async #querySelf({ name, address, port }: ListeningAddress, overTcp: boolean): Promise<string | undefined> {
    try {
      await exchange(this.#transport, { address, port }, overTcp, identityQuery(), selfQueryTimeoutMs);
      return undefined;
    } catch (error) {
      const at = `${address} port ${port} (${overTcp ? 'TCP' : 'UDP'})`;
      return `the ${name} listener on ${at} does not answer its own query: ${(error as Error).message}`;
    }
  }

  async #whoAnswers({ address, port }: ListeningAddress, overTcp: boolean): Promise<Answerer> {
    if (this.#proof === undefined) return 'nobody';
    const { startKey, openTransport } = this.#proof;
    const { query, isAnsweredBy } = heartbeat(startKey);
    const transport = openTransport();
    try {
      return isAnsweredBy(await exchange(transport, { address, port }, overTcp, query, steerTimeoutMs))
        ? 'self'
        : 'other';
    } catch {
      return 'nobody';
    } finally {
      transport.close();
    }
  }

  #server(name: ListenerName, plan: ListenerPlan): Server {
    return new Server(plan, this.#clock, this.#counts(name), this.#log);
  }

  #counts(name: ListenerName): Float64Array {
    return this.#tallies.open('listener', { listener: name }, listenerCounts);
  }

  /** Each new plan must answer a query before it may serve; the trial is not counted. */
  #try(name: ListenerName, plan: ListenerPlan): void {
    let answered = false;
    const trial = new Server(plan, this.#clock, new Float64Array(listenerCounts), this.#log);
    trial.serve(identityQuery(), {
      overTcp: true,
      client: 'self',
      send: (message) => {
        answered = header.responseCode(message) === header.rcode.noError;
      },
      drop: () => {},
    });
    if (!answered) throw new Error(`the ${name} listener's configuration does not answer its self-test`);
  }
}
