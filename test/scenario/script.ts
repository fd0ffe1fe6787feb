/**
 * The language of scenarios: what a client, its agent and the upstream servers do, line by line. A line is a sentence; lines
 * that are indented below it are records. `#` begins a comment.
 *
 *     over memory sockets                      where it is played; memory alone where it is absent
 *     chance 0.1 0.9                           what the agent's dice show, one after the other
 *
 *     servers ClusterCoreDNS a b               what a destination means; another name than the built-in two is an upstream; servers
 *                                              are named first in the order in which the node prefers them
 *     zone cluster . forwardDestination=ClusterCoreDNS maxConcurrent=2
 *     no zone cluster corp.example
 *     also hosts [{ … }]                       what else the configuration has, in JSON; null takes it away
 *     swap                                     the configuration as it stands now comes into force; the first step does so by itself
 *     restart                                  the same in a new process, which restores the snapshot of the old one's cache (memory alone)
 *
 *     client q1 asks www.example A             more words: node, tcp, plain (no EDNS), DO, CD, AD, id N, pod N (whose); q1..q9 for nine of them
 *     client q1 gets NOERROR forwarded         more words: cache, stale, local, TC, AD, EDE N; below it the records, all of them
 *       www.example 300 A 192.0.2.1
 *       authority: example 300 SOA …
 *     client q1 waits                          has no answer
 *
 *     server a is asked www.example A udp      more words: plain, DO, CD; claims one query that the server received
 *     server a answers NOERROR TC              the oldest query that was claimed; more words: AA, AD; below it the records
 *     server a stays silent                    the oldest query that was claimed will have no answer
 *     server a breaks off                      connection lost, or the port found closed
 *     server a is closed                       refuses whatever comes; "is closed for tcp"; "is open" ends it
 *
 *     wait 10s                                 or ms; time passes in no other way
 *
 * Before time passes, before a swap and at the end, every query that a server received has been claimed and every answer that a
 * client received has been read: what the script does not say must not happen.
 */
export interface Script {
  places: Place[];
  chances: number[];
  steps: Step[];
}

export type Place = 'memory' | 'sockets';

export type Step = { line: number; text: string } & StepKind;

export type StepKind =
  | { kind: 'servers'; destination: string; servers: string[] }
  | { kind: 'zone'; listener: string; zone: string; fields: Record<string, string | number> }
  | { kind: 'noZone'; listener: string; zone: string }
  | { kind: 'also'; field: string; value: unknown }
  | { kind: 'swap' }
  | { kind: 'restart' }
  | { kind: 'ask'; clients: string[]; name: string; type: string; words: Words }
  | { kind: 'get'; clients: string[]; rcode: string; words: Words; records: Records }
  | { kind: 'waiting'; clients: string[] }
  | { kind: 'asked'; server: string; name: string; type: string; words: Words }
  | { kind: 'answer'; server: string; rcode: string; words: Words; records: Records }
  | { kind: 'silent'; server: string }
  | { kind: 'breakOff'; server: string }
  | { kind: 'closed'; server: string; transports: { udp: boolean; tcp: boolean } }
  | { kind: 'open'; server: string }
  | { kind: 'wait'; ms: number };

export interface Words {
  has: ReadonlySet<string>;
  /** `EDE 3`, `id 7`, `pod 2`. */
  numbers: ReadonlyMap<string, number>;
}

export interface Records {
  answers: string[];
  authorities: string[];
  additionals: string[];
}

const flagWords = ['node', 'tcp', 'udp', 'plain', 'DO', 'CD', 'AD', 'AA', 'TC', 'forwarded', 'cache', 'stale', 'local'];
const numberWords = ['EDE', 'id', 'pod'];

export function parseScript(text: string): Script {
  const script: Script = { places: ['memory'], chances: [], steps: [] };
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replace(/(^|\s)#.*$/, '').trimEnd();
    if (line.trim() === '') continue;
    try {
      if (/^\s/.test(line)) addRecord(script.steps.at(-1), line.trim());
      else parseLine(script, line, index + 1);
    } catch (error) {
      throw new Error(`line ${index + 1}: ${(error as Error).message}: ${line.trim()}`);
    }
  }
  return script;
}

function addRecord(step: Step | undefined, text: string): void {
  if (step === undefined || !('records' in step)) throw new Error('a record belongs below "gets" or "answers"');
  const [, section, record = ''] = /^(?:(authority|additional): )?(.*)$/.exec(text) ?? [];
  const normal = record.replace(/\s+/g, ' ');
  if (section === 'authority') step.records.authorities.push(normal);
  else if (section === 'additional') step.records.additionals.push(normal);
  else step.records.answers.push(normal);
}

function parseLine(script: Script, text: string, line: number): void {
  const words = text.split(/\s+/);
  if (words[0] === 'over') script.places = words.slice(1) as Place[];
  else if (words[0] === 'chance') script.chances = words.slice(1).map(Number);
  else script.steps.push({ line, text, ...parseStep(words) });
}

function parseStep(words: string[]): StepKind {
  const [subject = '', who = '', ...rest] = words;
  switch (subject) {
    case 'servers':
      return { kind: 'servers', destination: who, servers: rest };
    case 'zone':
      return { kind: 'zone', listener: who, zone: rest[0] ?? '', fields: fieldsOf(rest.slice(1)) };
    case 'no':
      return { kind: 'noZone', listener: rest[0] ?? '', zone: rest[1] ?? '' };
    case 'also':
      return { kind: 'also', field: who, value: JSON.parse(rest.join(' ')) };
    case 'swap':
    case 'restart':
      return { kind: subject };
    case 'wait':
      return { kind: 'wait', ms: durationMs(who) };
    case 'client':
      return clientStep(clientsOf(who), rest);
    case 'server':
      return serverStep(who, rest);
    default:
      throw new Error('not a sentence of scenarios');
  }
}

function clientStep(clients: string[], [verb, ...rest]: string[]): StepKind {
  const [first = '', second = ''] = rest;
  switch (verb) {
    case 'asks':
      return { kind: 'ask', clients, name: first, type: second, words: wordsOf(rest.slice(2)) };
    case 'gets':
      return { kind: 'get', clients, rcode: first, words: wordsOf(rest.slice(1)), records: noRecords() };
    case 'waits':
      return { kind: 'waiting', clients };
    default:
      throw new Error('a client asks, gets or waits');
  }
}

function serverStep(server: string, words: string[]): StepKind {
  const what = words.join(' ');
  const [, , name = '', type = ''] = words;
  if (what.startsWith('is asked ')) return { kind: 'asked', server, name, type, words: wordsOf(words.slice(4)) };
  if (what.startsWith('answers '))
    return { kind: 'answer', server, rcode: words[1] ?? '', words: wordsOf(words.slice(2)), records: noRecords() };
  switch (what) {
    case 'stays silent':
      return { kind: 'silent', server };
    case 'breaks off':
      return { kind: 'breakOff', server };
    case 'is closed':
      return { kind: 'closed', server, transports: { udp: true, tcp: true } };
    case 'is closed for tcp':
      return { kind: 'closed', server, transports: { udp: false, tcp: true } };
    case 'is open':
      return { kind: 'open', server };
    default:
      throw new Error('a server is asked, answers, stays silent, breaks off, is closed or is open');
  }
}

function noRecords(): Records {
  return { answers: [], authorities: [], additionals: [] };
}

/** `q1` or `q1..q9`. */
function clientsOf(text: string): string[] {
  const range = /^([a-z]+)(\d+)\.\.\1(\d+)$/.exec(text);
  if (range === null) return [text];
  const [, stem, from, to] = range;
  return Array.from({ length: Number(to) - Number(from) + 1 }, (_, index) => `${stem}${Number(from) + index}`);
}

function wordsOf(words: string[]): Words {
  const has = new Set<string>();
  const numbers = new Map<string, number>();
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (flagWords.includes(word)) has.add(word);
    else if (numberWords.includes(word) && /^\d+$/.test(words[at + 1] ?? '')) {
      numbers.set(word, Number(words[at + 1]));
      at += 1;
    } else throw new Error(`"${word}" means nothing here`);
  }
  return { has, numbers };
}

function fieldsOf(words: string[]): Record<string, string | number> {
  return Object.fromEntries(
    words.map((word) => {
      const [name = '', value = ''] = word.split('=');
      return [name, /^\d+$/.test(value) ? Number(value) : value];
    }),
  );
}

function durationMs(text: string): number {
  const [, amount, unit] = /^(\d+)(ms|s)$/.exec(text) ?? [];
  if (amount === undefined) throw new Error('a duration is 250ms or 10s');
  return Number(amount) * (unit === 's' ? 1000 : 1);
}
