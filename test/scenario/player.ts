/** Plays one scenario step by step, and fails on whatever its script does not say. */
import { deepEqual, equal, fail, ok } from 'node:assert/strict';
import type { ListenerName } from '../../agent/listen/listeners.ts';
import { type NodeConfig, parseNodeConfig } from '../../api/v1alpha1/node-config.ts';
import { FakeClock } from '../fake/clock.ts';
import { buildQuery, type Flag, type Message, origins, readMessage } from '../fake/message.ts';
import { sampleBlock } from '../fake/node-config.ts';
import type { UpstreamQuery } from '../fake/upstream.ts';
import type { Place, Script, Step, StepKind } from './script.ts';
import { Exceptions, openStage, type Stage } from './stage.ts';

type Of<Kind extends StepKind['kind']> = Extract<StepKind, { kind: Kind }>;

interface Client {
  id: number;
  /** As it was spelled. */
  name: string;
  type: string;
  plain: boolean;
  answers: Message[];
  read: number;
}

/** What one server received and the script has told of. */
interface Claims {
  taken: Set<UpstreamQuery>;
  /** Not yet answered. */
  open: UpstreamQuery[];
}

export async function play(script: Script, place: Place): Promise<void> {
  const player = new Player(script, place);
  try {
    for (const step of script.steps) {
      try {
        await player.play(step);
      } catch (error) {
        throw new Error(`line ${step.line}: ${step.text}\n${(error as Error).message}`, { cause: error });
      }
    }
    await player.checkNothingElse('at the end');
  } finally {
    await player.end();
  }
}

class Player {
  readonly #clock = new FakeClock();
  readonly #exceptions = new Exceptions();
  readonly #stage: Stage;
  readonly #chances: number[];
  readonly #destinations = new Map<string, string[]>();
  /** What the configuration has beside server blocks and servers. */
  readonly #also = new Map<string, unknown>();
  /** Server blocks by listener and zone. */
  readonly #zones = new Map<string, Map<string, Record<string, string | number>>>();
  readonly #clients = new Map<string, Client>();
  readonly #claimed = new Map<string, Claims>();
  #inForce = false;

  constructor(script: Script, place: Place) {
    this.#chances = [...script.chances];
    this.#stage = openStage(place, this.#clock, () => this.#throwDice(), this.#exceptions);
  }

  #throwDice(): number {
    const chance = this.#chances.shift();
    if (chance === undefined) fail('the agent throws dice that the script does not foresee');
    return chance;
  }

  async play(step: Step): Promise<void> {
    const preparing = ['servers', 'zone', 'noZone', 'also', 'closed'].includes(step.kind);
    if (!this.#inForce && !preparing) {
      this.#inForce = true;
      await this.#apply();
    }
    switch (step.kind) {
      case 'servers':
        this.#destinations.set(step.destination, step.servers);
        return;
      case 'zone':
        this.#zone(step);
        return;
      case 'noZone':
        ok(this.#zones.get(step.listener)?.delete(step.zone), 'there is no such zone');
        return;
      case 'also':
        this.#also.set(step.field, step.value);
        return;
      case 'swap':
      case 'restart':
        await this.checkNothingElse(`before the ${step.kind}`);
        return this.#apply(step.kind === 'restart');
      case 'ask':
        for (const [index, client] of step.clients.entries()) this.#ask(client, index, step);
        return this.#stage.settle();
      case 'get':
        for (const client of step.clients) await this.#get(client, step);
        return;
      case 'waiting':
        await this.#stage.settle();
        for (const client of step.clients) equal(this.#client(client).answers.length, 0, 'it has been answered');
        return;
      case 'asked':
        return this.#asked(step);
      case 'answer':
        return this.#answer(step);
      case 'silent':
        this.#nextClaimed(step.server);
        return;
      case 'breakOff':
        this.#nextClaimed(step.server).fail();
        return this.#stage.settle();
      case 'closed':
        return this.#stage.close(step.server, step.transports);
      case 'open':
        return this.#stage.open(step.server);
      case 'wait':
        await this.checkNothingElse('before time passes');
        await this.#clock.advance(step.ms);
        return this.#stage.settle();
    }
  }

  async checkNothingElse(when: string): Promise<void> {
    await this.#stage.settle();
    this.#checkNoException();
    for (const server of this.#servers()) {
      const taken = this.#claims(server).taken;
      const unclaimed = this.#stage.received(server).filter((query) => !taken.has(query));
      deepEqual(unclaimed.map(describe), [], `${when}: server ${server} was asked what the script does not say`);
    }
    for (const [name, { answers, read }] of this.#clients) {
      equal(answers.length, read, `${when}: client ${name} got an answer that the script does not say`);
    }
  }

  async end(): Promise<void> {
    await this.#stage.end();
  }

  #servers(): string[] {
    return [...new Set([...[...this.#destinations.values()].flat(), ...this.#claimed.keys()])];
  }

  #zone({ listener, zone, fields }: Of<'zone'>): void {
    const zones = this.#zones.get(listener) ?? new Map<string, Record<string, string | number>>();
    this.#zones.set(listener, zones);
    zones.set(zone, fields);
  }

  async #apply(inNewProcess = false): Promise<void> {
    const builtIn = ['ClusterCoreDNS', 'VnetDNS'];
    const endpoints = new Map<string, string[]>();
    for (const [destination, servers] of this.#destinations) {
      const known: string[] = [];
      for (const server of servers) known.push(await this.#stage.endpointOf(server));
      endpoints.set(destination, known);
    }
    const config = {
      formatVersion: 1,
      clusterDomain: 'cluster.local',
      clusterDNS: { namespace: '', service: '', addresses: [] },
      listeners: [...this.#zones].map(([name, zones]) => ({
        name,
        addresses: ['127.0.0.1'],
        intercept: false,
        tracked: false,
        serverBlocks: [...zones].map(([zone, fields]) => sampleBlock({ zone, ...fields })),
      })),
      upstreams: [...endpoints]
        .filter(([name]) => !builtIn.includes(name))
        .map(([name, servers]) => ({ name, servers })),
    };
    const also = [...this.#also].filter(([, value]) => value !== null);
    const parsed = parseNodeConfig({ ...config, ...Object.fromEntries(also) });
    if ('error' in parsed) fail(parsed.error);
    if (inNewProcess) this.#stage.restart();
    await this.#stage.apply(parsed.config as NodeConfig, {
      clusterDns: endpoints.get('ClusterCoreDNS') ?? [],
      nodeDns: endpoints.get('VnetDNS') ?? [],
    });
  }

  /** Of several, each asks in a spelling and under an id of its own. */
  #ask(client: string, index: number, { name, type, words }: Of<'ask'>): void {
    ok(!this.#clients.has(client), `client ${client} has asked already`);
    const spelled = index === 0 ? name : respell(name, index);
    const id = (words.numbers.get('id') ?? 1 + this.#clients.size * 7) & 0xffff;
    const plain = words.has.has('plain');
    const asked: Client = { id, name: spelled, type, plain, answers: [], read: 0 };
    this.#clients.set(client, asked);
    const flags: Flag[] = ['RD', ...(['CD', 'AD'] as const).filter((flag) => words.has.has(flag))];
    const edns = plain ? (false as const) : { asksOrigin: true, dnssecOk: words.has.has('DO') };
    const listener: ListenerName = words.has.has('node') ? 'node' : 'cluster';
    const from = `127.0.0.${words.numbers.get('pod') ?? 1}`;
    this.#stage.ask(
      listener,
      words.has.has('tcp'),
      from,
      buildQuery({ name: spelled, type, id, flags, edns }),
      (message) => asked.answers.push(readMessage(message)),
    );
  }

  async #get(name: string, { rcode, words, records }: Of<'get'>): Promise<void> {
    const client = this.#client(name);
    await this.#until(() => client.answers.length > client.read, `client ${name} has no answer`);
    const message = client.answers[client.read] as Message;
    client.read += 1;
    const from = origins.find((origin) => words.has.has(origin));
    ok(client.plain || from !== undefined, `say where the answer came from; it was ${message.origin}`);
    deepEqual(seenOf(message), {
      id: client.id,
      question: `${client.name} ${client.type}`,
      rcode,
      ...records,
      extendedError: words.numbers.get('EDE'),
      origin: from,
      flags: ['AA', 'TC', 'RD', 'RA', 'AD', 'CD'].filter(
        (flag) => flag === 'RD' || flag === 'RA' || words.has.has(flag),
      ),
    });
  }

  async #asked({ server, name, type, words }: Of<'asked'>): Promise<void> {
    const { taken, open } = this.#claims(server);
    const overTcp = words.has.has('tcp');
    ok(overTcp || words.has.has('udp'), 'say over which transport: udp or tcp');
    const find = () =>
      this.#stage
        .received(server)
        .find(
          (query) =>
            !taken.has(query) &&
            query.overTcp === overTcp &&
            query.question.name === name &&
            query.question.type === type,
        );
    await this.#until(() => find() !== undefined, `server ${server} was not asked`);
    const query = find() as UpstreamQuery;
    taken.add(query);
    open.push(query);
    equal(query.question.edns === undefined, words.has.has('plain'), 'plain');
    equal(query.question.edns?.dnssecOk ?? false, words.has.has('DO'), 'DO');
    equal(query.question.flags.includes('CD'), words.has.has('CD'), 'CD');
    ok(query.question.flags.includes('RD'), 'RD');
  }

  async #answer({ server, rcode, words, records }: Of<'answer'>): Promise<void> {
    const flags = (['TC', 'AA', 'AD'] as const).filter((flag) => words.has.has(flag));
    this.#nextClaimed(server).answer({ rcode, flags, ...records });
    await this.#stage.settle();
  }

  #nextClaimed(server: string): UpstreamQuery {
    const query = this.#claims(server).open.shift();
    if (query === undefined) fail(`no query to server ${server} is open: say first what it is asked`);
    return query;
  }

  #claims(server: string): Claims {
    const known: Claims = this.#claimed.get(server) ?? { open: [], taken: new Set() };
    this.#claimed.set(server, known);
    return known;
  }

  #client(name: string): Client {
    return this.#clients.get(name) ?? fail(`client ${name} has not asked`);
  }

  async #until(isTrue: () => boolean, otherwise: string): Promise<void> {
    const deadline = performance.now() + this.#stage.patienceMs;
    do {
      await this.#stage.settle();
      if (isTrue()) return;
    } while (performance.now() < deadline);
    this.#checkNoException();
    fail(otherwise);
  }

  /** Whatever else is wrong, a bug in the agent is the news. */
  #checkNoException(): void {
    for (const error of this.#exceptions.seen) fail(`the agent threw ${error}`);
  }
}

function seenOf(message: Message): unknown {
  return {
    id: message.id,
    question: `${message.name} ${message.type}`,
    rcode: message.rcode,
    answers: message.answers,
    authorities: message.authorities,
    additionals: message.additionals,
    extendedError: message.extendedError?.code,
    origin: message.origin,
    flags: message.flags,
  };
}

/** `Www.eXample`: a spelling for each number. */
function respell(name: string, number: number): string {
  return [...name].map((letter, at) => (((number >> (at % 8)) & 1) === 1 ? letter.toUpperCase() : letter)).join('');
}

function describe({ question, overTcp }: UpstreamQuery): string {
  return `${question.name} ${question.type} ${overTcp ? 'tcp' : 'udp'}`;
}
