/** Builds a configuration aside, tries it, and swaps it whole; what cannot be built or tried leaves the old one serving. */
import type { Builder } from '../build.ts';
import type { Desired, ListeningAddress } from '../channel.ts';
import type { Clock } from '../clock.ts';
import type { Transport } from '../forward/transport.ts';
import { type ListenerName, Listeners } from '../listen/listeners.ts';
import { identityName } from '../policy/identity.ts';
import { type ListenerPlan, listenerCounts } from '../server/plan.ts';
import { Server, type ServerLog } from '../server/server.ts';
import type { Tallies } from '../tallies.ts';
import { writeUpstreamQuery } from '../wire/answer.ts';
import * as header from '../wire/header.ts';
import { nameFromText } from '../wire/name.ts';
import { classChaos, type PendingQuery } from '../wire/query.ts';

const drainMs = 2_000;
const selfQueryTimeoutMs = 1_000;

export class Swap {
  readonly #builder: Builder;
  readonly #clock: Clock;
  readonly #transport: Transport;
  readonly #tallies: Tallies;
  readonly #log: ServerLog;
  readonly #servers = new Map<ListenerName, Server>();
  readonly #listeners = new Listeners((name, packet, reply) => this.#servers.get(name)?.serve(packet, reply));

  constructor(builder: Builder, clock: Clock, transport: Transport, tallies: Tallies, log: ServerLog) {
    this.#builder = builder;
    this.#clock = clock;
    this.#transport = transport;
    this.#tallies = tallies;
    this.#log = log;
  }

  get listening(): ListeningAddress[] {
    return this.#listeners.addresses;
  }

  /** Resolves once `desired` is in force; rejects with the reason, and then the old configuration serves on. */
  async apply(desired: Desired): Promise<void> {
    const { plans, commit } = this.#builder.build(desired.config, desired.destinations);
    for (const [name, plan] of plans) this.#try(name, plan);
    const closeObsolete = await this.#listeners.open(desired.listen);
    for (const [name, plan] of plans) {
      const serving = this.#servers.get(name);
      if (serving === undefined) this.#servers.set(name, this.#server(name, plan));
      else serving.swap(plan);
    }
    commit();
    // Sockets that are not wanted any more drain meanwhile; a server without sockets is asked nothing.
    void closeObsolete(drainMs);
  }

  /** Takes nothing new, and ends once what is in flight is answered, or after two seconds. */
  async close(): Promise<void> {
    const closeAll = await this.#listeners.open({});
    await closeAll(drainMs);
    this.#servers.clear();
  }

  /** Asks every listener over its sockets, the way that clients take; the sentence says which did not answer. */
  async querySelf(): Promise<string | undefined> {
    const answers = this.#listeners.addresses.flatMap(({ name, address, port }) =>
      [false, true].map(async (overTcp) => {
        try {
          await this.#transport.exchange({ address, port }, overTcp, selfQuery(), selfQueryTimeoutMs);
          return undefined;
        } catch (error) {
          const at = `${address} port ${port} (${overTcp ? 'TCP' : 'UDP'})`;
          return `the ${name} listener on ${at} does not answer its own query: ${(error as Error).message}`;
        }
      }),
    );
    return (await Promise.all(answers)).find((complaint) => complaint !== undefined);
  }

  #server(name: ListenerName, plan: ListenerPlan): Server {
    const counts = this.#tallies.open('listener', { listener: name }, listenerCounts);
    return new Server(plan, this.#clock, counts, this.#log);
  }

  /** Each new plan must answer a query before it may serve; the trial is not counted. */
  #try(name: ListenerName, plan: ListenerPlan): void {
    let answered = false;
    const trial = new Server(plan, this.#clock, new Float64Array(listenerCounts), this.#log);
    trial.serve(selfQuery(), {
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

/** `CH TXT id.server`: answered here, so it says nothing about upstreams and sends them nothing. */
function selfQuery(): Buffer {
  const name = nameFromText(identityName);
  const typeAndClass = Buffer.from([0, 16, 0, classChaos]);
  const query: PendingQuery = {
    id: 0,
    flags: 0,
    question: Buffer.concat([Buffer.from(name, 'latin1'), typeAndClass]),
    name,
    key: '',
    type: 16,
    class: classChaos,
    edns: true,
    udpSize: 512,
    dnssecOk: false,
    asksOrigin: false,
  };
  return writeUpstreamQuery(query);
}
