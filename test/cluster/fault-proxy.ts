/**
 * A way to the API server that is as bad as it is told to be: one HTTP server in plain text on loopback, which passes on what it is given
 * and now and then does not. Told and asked over the paths below /proxy/.
 *
 *   node fault-proxy.ts PORT APISERVER-URL CA-FILE
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Agent, request as send } from 'node:https';
import { Random } from '../fuzz/random.ts';

const faults = ['lost', 'answerLost', 'tooMany', 'internal', 'gone', 'late', 'halfOpen', 'stale'] as const;
type Fault = (typeof faults)[number];

export interface ProxyOrders {
  /** One request in so many meets a fault; 0: none. */
  oneIn?: number;
  seed?: number;
  /** At the n-th write from now on everything is cut, before it is passed on or after; 0: never. */
  cutAtWrite?: number;
  cutAfter?: boolean;
  /** Watches of this kind (its plural) are open and tell nothing from now on, those that come later too: as where the path died silently. It is reset by the next order. */
  silent?: string;
  /** Lists and watches of this kind are answered 500. */
  refused?: string;
}

interface Watch {
  readonly resource: string;
  readonly answer: IncomingMessage;
  isSilent: boolean;
}

export interface ProxyTally {
  requests: number;
  /** By `verb resource`; the Lease left out. */
  byKind: Record<string, number>;
  faults: Record<string, number>;
  writes: number;
  /** The kinds that are watched now by a stream that tells what it should, a name for each stream, in order. */
  watched: readonly string[];
  isCut: boolean;
}

/** A stream that is silent for so long is reset: nobody on the way remembers it any longer. */
const halfOpenMs = 1_500;
const lateMs = 700;

const [port = '', server = '', ca = ''] = process.argv.slice(2);
const upstream = new Agent({ keepAlive: true, ca: readFileSync(ca) });
/** Answers to lists, as they were some time ago. */
const stale = new Map<string, string>();
const open = new Set<ServerResponse>();
const watches = new Map<ServerResponse, Watch>();
let orders: Required<ProxyOrders>;
let random: Random;
let tally: Omit<ProxyTally, 'watched'>;
obey({});

createServer((request, response) => {
  if (request.url?.startsWith('/proxy/')) serveOrders(request, response);
  else void pass(request, response);
}).listen(Number(port), '127.0.0.1', () => console.log('listening'));

function obey(given: ProxyOrders): void {
  orders = { oneIn: 0, seed: 1, cutAtWrite: 0, cutAfter: false, silent: '', refused: '', ...given };
  random = new Random(orders.seed);
  tally = { requests: 0, byKind: {}, faults: {}, writes: 0, isCut: false };
  for (const [response, watch] of watches) {
    if (watch.resource === orders.refused || watch.isSilent) reset(response);
    else if (watch.resource === orders.silent) silence(response, watch);
  }
}

function silence(response: ServerResponse, watch: Watch): void {
  watch.isSilent = true;
  watch.answer.unpipe(response);
  watch.answer.resume();
}

function serveOrders(request: IncomingMessage, response: ServerResponse): void {
  void textOf(request).then((text) => {
    if (request.method === 'POST') obey(JSON.parse(text) as ProxyOrders);
    const watched = [...watches.values()].filter(({ isSilent }) => !isSilent).map(({ resource }) => resource);
    const answer: ProxyTally = { ...tally, watched: watched.sort() };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
}

async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await textOf(request).catch(() => undefined);
  if (body === undefined || tally.isCut) return reset(response);
  open.add(response);
  response.once('close', () => open.delete(response));
  const kind = kindOf(request);
  const isLease = kind.endsWith(' leases');
  tally.requests += 1;
  if (!isLease) tally.byKind[kind] = (tally.byKind[kind] ?? 0) + 1;
  const isWrite = request.method !== 'GET' && !isLease;
  if (isWrite) tally.writes += 1;
  if (['list', 'watch'].some((verb) => kind === `${verb} ${orders.refused}`)) {
    return refuse(response, 500, 'InternalError');
  }
  const isCut = isWrite && tally.writes === orders.cutAtWrite;
  if (isCut && !orders.cutAfter) return cut();
  const fault = isCut || orders.oneIn === 0 || !random.once(orders.oneIn) ? undefined : faultFor(kind);
  if (fault !== undefined) tally.faults[`${fault} ${kind}`] = (tally.faults[`${fault} ${kind}`] ?? 0) + 1;
  switch (fault) {
    case 'lost':
      return reset(response);
    case 'tooMany':
      return refuse(response, 429, 'TooManyRequests', { 'retry-after': '1' });
    case 'internal':
      return refuse(response, 500, 'InternalError');
    case 'gone':
      if (random.once(2)) return refuse(response, 410, 'Expired');
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify({ type: 'ERROR', object: statusOf(410, 'Expired') })}\n`);
      return;
    case 'stale': {
      const known = stale.get(wantedBy(request));
      if (known === undefined) break;
      response.writeHead(200, { 'content-type': 'application/json' }).end(known);
      return;
    }
    case 'late':
      await new Promise((resolve) => setTimeout(resolve, random.below(lateMs)));
      // Nobody waits for it any more, and nobody would be told that its watch has ended.
      if (response.destroyed) return;
      break;
    default:
      break;
  }
  forward(request, body, response, fault, isCut);
}

/** Which list it is, and in which form: whole, or of metadata alone. */
function wantedBy({ url = '/', headers }: IncomingMessage): string {
  return `${headers.accept} ${url}`;
}

function forward(
  request: IncomingMessage,
  body: string,
  response: ServerResponse,
  fault: Fault | undefined,
  isCut: boolean,
): void {
  const { url = '/', method, headers } = request;
  const { host, connection, ...passed } = headers;
  const asked = send(new URL(url, server), { method, headers: passed, agent: upstream });
  response.once('close', () => asked.destroy());
  asked.once('error', () => reset(response));
  asked.once('response', (answer) => {
    if (isCut) {
      answer.resume();
      answer.once('end', cut);
      return;
    }
    if (fault === 'answerLost') {
      answer.resume();
      answer.once('end', () => reset(response));
      return;
    }
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    response.flushHeaders();
    const isList = method === 'GET' && !url.includes('watch=true');
    if (fault === 'halfOpen') {
      answer.resume();
      setTimeout(() => reset(response), halfOpenMs);
    } else if (isList) {
      void textOf(answer).then((text) => {
        // Every third one is kept, so that there is something old to answer with.
        const wanted = wantedBy(request);
        if (answer.statusCode === 200 && (!stale.has(wanted) || random.once(3))) stale.set(wanted, text);
        response.end(text);
      });
    } else {
      const resource = kindOf({ url, method }).replace('watch ', '');
      const watch = { resource, answer, isSilent: false };
      watches.set(response, watch);
      response.once('close', () => watches.delete(response));
      if (resource === orders.silent) silence(response, watch);
      else answer.pipe(response);
    }
  });
  asked.end(body);
}

/** From now on nobody gets through: as if whoever asks had died at this very moment. */
function cut(): void {
  tally.isCut = true;
  for (const response of open) reset(response);
}

function reset(response: ServerResponse): void {
  response.socket?.resetAndDestroy();
}

function faultFor(kind: string): Fault | undefined {
  const fault = random.pick(faults);
  if (fault === 'gone') return kind.startsWith('watch ') ? fault : 'internal';
  if (fault === 'stale') return kind.startsWith('list ') ? fault : 'lost';
  return fault;
}

function kindOf({ method = '', url = '' }: Pick<IncomingMessage, 'method' | 'url'>): string {
  const { pathname, searchParams } = new URL(url, server);
  const parts = pathname.split('/').slice(pathname.startsWith('/api/') ? 3 : 4);
  const [resource = '', name] = parts[0] === 'namespaces' && parts.length > 2 ? parts.slice(2) : parts;
  if (method !== 'GET') return `${method.toLowerCase()} ${resource}`;
  if (searchParams.get('watch') === 'true') return `watch ${resource}`;
  return `${name === undefined ? 'list' : 'get'} ${resource}`;
}

function refuse(response: ServerResponse, code: number, reason: string, headers: Record<string, string> = {}): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(statusOf(code, reason)));
}

function statusOf(code: number, reason: string): object {
  // With a name, as refusals of one object have: without, a 404 would mean that the kind is missing.
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message: 'as the test wants it' };
}

async function textOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
