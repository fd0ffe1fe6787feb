/**
 * Runs inside a test's network namespace, for a test that cannot be there itself: Node has no setns(2). It is asked
 * over the IPC channel that its parent opened, and ends when that closes.
 */
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type Answer, ask, type Question } from './dns-client.ts';
import { DnsLoad, type LoadOptions, type LoadResult } from './dns-load.ts';
import type { Credential } from './pki.ts';

export interface PageRequest {
  url: string;
  /** File of the certificate authority that an https server must be signed by. */
  ca?: string;
  /** Files of a client's certificate and key. */
  identity?: Credential;
  timeoutMs?: number;
  /** GET, where nothing else is said. */
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

export interface Page {
  status: number;
  body: string;
}

/** What can be asked for, and what is answered. */
export interface Duties {
  ask: (question: Question) => Promise<Answer>;
  page: (request: PageRequest) => Promise<Page>;
  startLoad: (options: LoadOptions) => Promise<number>;
  stopLoad: (load: number) => Promise<LoadResult>;
}

const loads: DnsLoad[] = [];

const duties: Duties = {
  ask,
  page,
  startLoad: async (options) => loads.push(new DnsLoad(options)) - 1,
  stopLoad: async (number) => {
    const load = loads[number];
    if (load === undefined) throw new Error(`there is no load ${number}`);
    return load.stop();
  },
};

function page({
  url,
  ca,
  identity,
  timeoutMs = 3_000,
  method = 'GET',
  headers = {},
  body: sent,
}: PageRequest): Promise<Page> {
  return new Promise((resolve, reject) => {
    const common = { agent: false, timeout: timeoutMs, method, headers };
    const options = {
      ...common,
      ...(ca !== undefined && { ca: readFileSync(ca) }),
      ...(identity !== undefined && { cert: readFileSync(identity.certificate), key: readFileSync(identity.key) }),
    };
    const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.once('timeout', () => request.destroy(new Error(`${url} gave no answer within ${timeoutMs} ms`)));
    request.once('error', reject);
    request.end(sent);
  });
}

interface Errand {
  number: number;
  duty: keyof Duties;
  argument: never;
}

if (process.send !== undefined) {
  process.on('message', async ({ number, duty, argument }: Errand) => {
    try {
      const result = await duties[duty](argument);
      process.send?.({ number, result });
    } catch (error) {
      process.send?.({ number, error: error instanceof Error ? error.message : String(error) });
    }
  });
  process.once('disconnect', () => process.exit());
}
