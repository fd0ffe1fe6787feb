/** What redirects cost each query that they do not touch, and each new name that is made against them: in this process, without sockets. */
import type { Reply } from '../agent/server/server.ts';
import type { NodeConfig } from '../api/v1alpha1/node-config.ts';
import { patternSet } from '../api/v1alpha1/pattern.ts';
import { FakeAgent } from '../test/fake/agent.ts';
import { a, query, questionName, reply } from '../test/fake/octets.ts';

const rounds = 9;
const queries = 200_000;
const names = 200;

export interface PolicyReading {
  policies: string;
  microsPerQuery: number;
}

const target = { addresses: ['192.0.2.80'] };
const none = { exact: [], suffixes: [], patterns: [] };

function redirectsTo(match: object): Partial<NodeConfig> {
  const redirect = { name: 'bench', match: { ...none, ...match }, except: none, ...target };
  return { redirects: [{ ...redirect, ttlSeconds: 30, otherTypes: 'NoData' }] } as unknown as Partial<NodeConfig>;
}

const suffixes = Array.from({ length: 1_000 }, (_, at) => `suffix-${at}.redirected.example`);
const patterns = Array.from({ length: 200 }, (_, at) => `.*(service|lambda)-${at}\\..*\\.clouds\\.example`);

const cases: Readonly<Record<string, Partial<NodeConfig>>> = {
  none: {},
  '1,000 suffixes': redirectsTo({ suffixes }),
  '200 patterns': redirectsTo({ patterns }),
  '1,000 suffixes and 200 patterns': redirectsTo({ suffixes, patterns }),
};

/** 253 characters, each of which brings other patterns into play, and below the domain that all of them end in. */
const againstPatterns = Array.from({ length: names }, (_, of) => {
  const labels = Array.from({ length: 22 }, (_, at) => `lambda-${(of * 37 + at * 53) % 200}`);
  return `${labels.join('.').slice(0, 238)}.clouds.example`;
});
/** Nearly all states that a profile may have, and nothing in common that names end in. */
const worstPatterns = Array.from(
  { length: 200 },
  (_, at) => `.*[a-m${at % 10}].{6}[xyz${String.fromCharCode(97 + (at % 23))}]`,
);
const letters = Array.from({ length: names }, (_, of) =>
  Array.from({ length: 253 }, (_, at) => String.fromCharCode(97 + ((of * 7_919 + at * at * 31 + at) % 26))).join(''),
);

const newNames: Readonly<Record<string, readonly [patterns: readonly string[], names: readonly string[]]>> = {
  '200 patterns, a new name made against them': [patterns, againstPatterns],
  'the 200 worst patterns, a new name of 253 letters': [worstPatterns, letters],
};

export async function policyCost(say: (line: string) => void): Promise<PolicyReading[]> {
  const packets = Array.from({ length: names }, (_, at) => query(`api-${at}.shop.svc.cluster.local`));
  const agents = await Promise.all(Object.values(cases).map((local) => filledAgent(local, packets)));
  const readings: PolicyReading[] = [];
  // The first round only lets the compiler see the code.
  for (let round = 0; round <= rounds; round += 1) {
    for (const [at, policies] of Object.keys(cases).entries()) {
      const microsPerQuery = microsOf(agents[at] as FakeAgent, packets);
      if (round > 0) readings.push({ policies, microsPerQuery });
      if (round === rounds) say(`${policies}: ${microsPerQuery.toFixed(2)} µs`);
    }
    for (const [policies, [texts, against]] of Object.entries(newNames)) {
      const microsPerQuery = microsPerName(texts, against);
      if (round > 0) readings.push({ policies, microsPerQuery });
      if (round === rounds) say(`${policies}: ${microsPerQuery.toFixed(2)} µs`);
    }
  }
  return readings;
}

async function filledAgent(local: Partial<NodeConfig>, packets: readonly Buffer[]): Promise<FakeAgent> {
  const agent = new FakeAgent({ local });
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 3600, '192.0.2.7')] });
  for (const packet of packets) await agent.octets(packet);
  return agent;
}

function microsOf(agent: FakeAgent, packets: readonly Buffer[]): number {
  let answered = 0;
  const client: Reply = {
    overTcp: false,
    client: '198.51.100.7',
    send: () => {
      answered += 1;
    },
    drop: () => {},
  } as Reply;
  const startedAtMs = performance.now();
  for (let number = 0; number < queries; number += 1) agent.server.serve(packets[number % names] as Buffer, client);
  const elapsedMs = performance.now() - startedAtMs;
  if (answered !== queries) throw new Error(`${queries - answered} queries have no answer`);
  return (elapsedMs * 1000) / queries;
}

function microsPerName(texts: readonly string[], against: readonly string[]): number {
  const matching = patternSet(texts);
  const startedAtMs = performance.now();
  for (const name of against) matching(name);
  return ((performance.now() - startedAtMs) * 1000) / against.length;
}
