/** The load of a lab: every pod asks over both transports at every kind of address, and one account is given of all. */
import type { CutConnection, SlowAnswer } from '../cluster/dns-load.ts';
import type { Namespace, RunningLoad } from '../cluster/namespace.ts';

export interface TrafficOptions {
  /** Where clients are. */
  from: readonly Namespace[];
  servers: readonly string[];
  transports?: readonly ('udp' | 'tcp')[];
  /** Of each client; spread over its servers and transports. */
  perSecond?: number;
  names?: readonly string[];
  /** The load ends by itself after this. */
  maxSeconds?: number;
}

/** One way on which queries went: a client, a transport, a server. */
export interface Way {
  client: string;
  transport: 'udp' | 'tcp';
  server: string;
}

export interface Account {
  sent: number;
  /** The same by client. */
  sentBy: Map<string, number>;
  answered: number;
  /** TCP connections that are open at any moment: one that ends is followed by another. */
  connections: number;
  lost: (Way & { sentAtMs: number })[];
  worstMs: number;
  slow: (Way & SlowAnswer)[];
  cuts: (Way & CutConnection)[];
  /** How often each answer came: what was asked, the response code, the data. */
  answers: Map<string, number>;
}

const clientPerSecond = 320;
/** The bound of most goals; what is slower is listed one by one. */
export const slowMs = 50;

/** Names that caches soon have, of which one in eight is new. */
export const mixedNames = [
  'kubernetes.default.svc.cluster.local',
  'www.cached.example',
  'kube-dns.kube-system.svc.cluster.local',
  'mail.cached.example',
  'kubernetes.default.svc.cluster.local',
  'www.cached.example',
  'db.cached.example',
  '*.cold.example',
];
export const cachedNames = mixedNames.filter((name) => !name.includes('*'));

export class Traffic {
  readonly #loads: { way: Way; load: RunningLoad }[];

  private constructor(loads: { way: Way; load: RunningLoad }[]) {
    this.#loads = loads;
  }

  static async start(options: TrafficOptions): Promise<Traffic> {
    const { from, servers, transports = ['udp', 'tcp'], perSecond = clientPerSecond, names = mixedNames } = options;
    const bound = options.maxSeconds === undefined ? {} : { maxSeconds: options.maxSeconds };
    const ways = from.flatMap((namespace) =>
      servers.flatMap((server) => transports.map((transport) => ({ namespace, server, transport }))),
    );
    const each = perSecond / (servers.length * transports.length);
    const loads = ways.map(async ({ namespace, server, transport }) => ({
      way: { client: namespace.name, transport, server },
      load: await namespace.startLoad({ server, transport, names, perSecond: each, slowMs, ...bound }),
    }));
    return new Traffic(await Promise.all(loads));
  }

  /** Sends no more, waits for what is under way, at most as long as a client does. */
  async stop(): Promise<Account> {
    const account: Account = {
      ...{ sent: 0, sentBy: new Map(), answered: 0, connections: 0, worstMs: 0 },
      ...{ lost: [], slow: [], cuts: [], answers: new Map() },
    };
    const results = await Promise.all(this.#loads.map(async ({ way, load }) => ({ way, result: await load.stop() })));
    for (const { way, result } of results) {
      account.sent += result.sent;
      account.sentBy.set(way.client, (account.sentBy.get(way.client) ?? 0) + result.sent);
      account.answered += result.answered;
      if (way.transport === 'tcp') account.connections++;
      account.worstMs = Math.max(account.worstMs, result.worstMs);
      account.lost.push(...result.lostAtMs.map((sentAtMs) => ({ ...way, sentAtMs })));
      account.slow.push(...result.slow.map((slow) => ({ ...way, ...slow })));
      account.cuts.push(...result.cuts.map((cut) => ({ ...way, ...cut })));
      for (const { answer, count } of result.seen)
        account.answers.set(answer, (account.answers.get(answer) ?? 0) + count);
    }
    account.lost.sort((a, b) => a.sentAtMs - b.sentAtMs);
    account.slow.sort((a, b) => a.sentAtMs - b.sentAtMs);
    account.cuts.sort((a, b) => a.atMs - b.atMs);
    return account;
  }
}
