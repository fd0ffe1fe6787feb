import { createHash } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, type RequestOptions } from 'node:https';
import type { ExecAuth } from '@kubernetes/client-node/dist/exec_auth.js';
import type { Clock } from './clock.ts';
import { KubeconfigError } from './errors.ts';
import type { Access, Headers, TlsMaterial } from './kubeconfig.ts';

/** What one request needs to reach the API server as us. */
export interface Route {
  readonly server: URL;
  readonly headers: Headers;
  readonly agent: HttpAgent;
}

/** How often files are looked at again: a rotated token stays valid for far longer than this beside its successor. */
const REFRESH_MS = 30_000;

/**
 * Holds the one keep-alive agent that all requests share (a new TCP and TLS connection would cost 3–4 ms each, and is what
 * the client library does), and replaces it when the certificates change. Tokens are read again as they rotate.
 *
 * The door to @kubernetes/client-node, opened only for what needs it: credential plugins, OIDC and cloud auth providers,
 * proxies. Importing the whole library costs 80 MB and half a second, in every agent on every node; certificates, tokens
 * and the ServiceAccount of a pod need none of it.
 */
export class Connection {
  readonly #read: () => Access;
  readonly #clock: Clock;
  #route: Route | undefined;
  #tlsPrint = '';
  #freshUntilMs = Number.NEGATIVE_INFINITY;
  #pending: Promise<Route> | undefined;
  #exec: ExecAuth | undefined;

  /** `read` gives the access as the files say now; it is called at once, so that a missing kubeconfig is known at start. */
  constructor(read: () => Access, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
    this.server = read().server;
  }

  /** The API server's address, for messages. */
  readonly server: string;

  /** The route to use now. Rejects with KubeconfigError only while there was never a good one. */
  current(): Promise<Route> {
    if (this.#route !== undefined && this.#clock.nowMs() < this.#freshUntilMs) return Promise.resolve(this.#route);
    this.#pending ??= this.#refresh().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  /** The server did not accept the credentials: look at their source again before the next request. */
  distrust(): void {
    this.#freshUntilMs = Number.NEGATIVE_INFINITY;
    this.#exec = undefined;
  }

  close(): void {
    this.#route?.agent.destroy();
  }

  async #refresh(): Promise<Route> {
    try {
      const access = this.#read();
      const route = await this.#routeFor(access);
      this.#route = route;
      // A plugin's credentials carry their own expiry, which the plugin cache checks on every call.
      this.#freshUntilMs = access.exec === undefined ? this.#clock.nowMs() + REFRESH_MS : Number.NEGATIVE_INFINITY;
      return route;
    } catch (error) {
      // A file in the middle of being replaced must not break a connection that works.
      if (this.#route !== undefined) return this.#route;
      throw error;
    }
  }

  async #routeFor(access: Access): Promise<Route> {
    const granted = await this.#granted(access);
    const headers: Record<string, string | string[]> = { ...access.impersonation };
    if (access.basic !== undefined) {
      const { username, password } = access.basic;
      headers.authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    }
    if (access.bearerToken !== undefined) headers.authorization = `Bearer ${access.bearerToken}`;
    Object.assign(headers, granted.headers);
    const server = new URL(access.server);
    return { server, headers, agent: granted.agent ?? this.#agentFor(server, { ...access.tls, ...granted.tls }) };
  }

  /** What a credential plugin or the library's auth providers grant on top of the file. */
  async #granted(access: Access): Promise<{ headers?: Record<string, string>; tls?: TlsMaterial; agent?: HttpAgent }> {
    const options: RequestOptions = { headers: {} };
    if (access.exec !== undefined) {
      const { ExecAuth } = await import('@kubernetes/client-node/dist/exec_auth.js');
      this.#exec ??= new ExecAuth();
      try {
        await this.#exec.applyAuthentication(
          { name: access.exec.userName, exec: withDefaults(access.exec.entry) },
          options,
        );
      } catch (error) {
        throw new KubeconfigError(
          `the credential plugin of ${access.origin} failed (${String(error).trim().split('\n')[0]}): run its command by hand, as the user and with the environment of this process`,
        );
      }
      return { headers: headersOf(options), tls: tlsOf(options) };
    }
    if (access.library === undefined) return {};
    const { KubeConfig } = await import('@kubernetes/client-node');
    const config = new KubeConfig();
    config.loadFromString(access.library.yaml);
    config.makePathsAbsolute(access.library.folder);
    await config.applyToHTTPSOptions(options);
    const proxyAgent = access.library.proxied ? { agent: options.agent as HttpAgent } : {};
    return { headers: headersOf(options), ...proxyAgent };
  }

  #agentFor(server: URL, tls: TlsMaterial): HttpAgent {
    const print = createHash('sha256')
      .update(JSON.stringify([server.protocol, tls]))
      .digest('hex');
    const old = this.#route?.agent;
    if (old !== undefined && print === this.#tlsPrint) return old;
    this.#tlsPrint = print;
    // Watches on the old agent run to their end; with no room for free sockets it keeps none afterwards.
    if (old !== undefined) {
      old.maxFreeSockets = 0;
      for (const sockets of Object.values(old.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
    }
    // keepAliveMsecs: probes that find a dead peer, and hold a path through load balancers that forget idle flows.
    const common = { keepAlive: true, keepAliveMsecs: 30_000, maxFreeSockets: 16, scheduling: 'lifo' } as const;
    return server.protocol === 'http:' ? new HttpAgent(common) : new HttpsAgent({ ...common, ...tls });
  }
}

/** The library spreads `args` and `env` into spawn() without looking. */
function withDefaults(entry: object): object {
  const { args, env, ...rest } = entry as { args?: unknown; env?: unknown };
  return { ...rest, args: args ?? [], ...(Array.isArray(env) ? { env } : {}) };
}

function headersOf(options: RequestOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = String(value);
  return headers;
}

function tlsOf(options: RequestOptions): TlsMaterial {
  return {
    ...(options.cert === undefined ? {} : { cert: String(options.cert) }),
    ...(options.key === undefined ? {} : { key: String(options.key) }),
  };
}
