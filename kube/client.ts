import type { IncomingMessage } from 'node:http';
import { type Clock, systemClock } from './clock.ts';
import { Connection } from './connection.ts';
import { ApiError, apiErrorOf, KubeError, type Status } from './errors.ts';
import type { Access } from './kubeconfig.ts';
import { Pace } from './pace.ts';
import { apiVersionOf, type KubeObject, pathOf, type Resource } from './resource.ts';
import { type Call, type MayWrite, parseBody, readBody, Transport } from './transport.ts';
import { readWatch, type WatchEvent } from './watch-stream.ts';

export interface KubeClientOptions {
  /** Where the API server is and who we are, as it stands now: called again as credentials rotate (see readAccess). */
  readonly access: () => Access;
  /** Who owns the fields that apply() writes. */
  readonly fieldManager: string;
  readonly userAgent: string;
  readonly clock?: Clock;
  /** For every request but list and watch. */
  readonly timeoutMs?: number;
  /** Asked before each request that is not a GET goes out: where it says no, the request is not sent and fails. */
  readonly mayWrite?: MayWrite;
  /** At most so many requests a second that are not a GET; as many as there are where it is not given. */
  readonly writesPerSecond?: number | undefined;
  /** Called once per request: a verb of the Kubernetes API, the plural, and the status or error code. */
  readonly onRequest?: (verb: string, plural: string, code: string) => void;
}

/** Which objects a list or watch is about. */
export interface Scope {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ListQuery extends Scope {
  /** At most so many objects a page; the answer's `continue` asks for the next. */
  readonly limit?: number;
  readonly continue?: string | undefined;
  /** Names, versions and the like, which are the smallest part of whole objects. */
  readonly metadataAlone?: boolean;
  /** As they were in this version of the list, which it has told a moment ago; as they are now where it is not given. */
  readonly asOf?: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface WatchQuery extends Scope {
  readonly resourceVersion: string;
  /** How long the server shall keep it open. */
  readonly timeoutSeconds: number;
  /** Until the server has accepted it. */
  readonly openMs: number;
  readonly idleMs: number;
  /** Beyond timeoutSeconds, before we end it ourselves. */
  readonly graceMs: number;
  readonly signal?: AbortSignal;
  /** The server has accepted the watch. */
  readonly onOpen?: () => void;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  /** Undefined on the last page. */
  readonly continue: string | undefined;
}

interface Where {
  readonly namespace?: string | undefined;
  readonly subresource?: 'status' | 'scale';
}

const DEFAULT_TIMEOUT_MS = 15_000;
/** The answer to it is JSON in any case: a server that knows no such form gives the whole object. */
const METADATA_ALONE = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';
const LIST_OF_METADATA = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

/**
 * The Kubernetes API in the verbs that we use. Every method rejects with a KubeError (see errors.ts for the codes) and
 * with nothing else; none waits for ever.
 */
export class KubeClient {
  readonly #connection: Connection;
  readonly #transport: Transport;
  readonly #pace: Pace;
  readonly #fieldManager: string;
  readonly #timeoutMs: number;
  readonly #onRequest: (verb: string, plural: string, code: string) => void;

  /** Throws what `access` throws: KubeconfigError when there is no usable kubeconfig. */
  constructor(options: KubeClientOptions) {
    const { clock = systemClock, writesPerSecond = Number.POSITIVE_INFINITY } = options;
    this.#connection = new Connection(options.access, clock);
    this.#pace = new Pace(writesPerSecond, clock);
    this.#transport = new Transport(this.#connection, options.userAgent, options.mayWrite ?? (() => true));
    this.#fieldManager = options.fieldManager;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#onRequest = options.onRequest ?? (() => {});
  }

  /** The API server's address, for messages. */
  get server(): string {
    return this.#connection.server;
  }

  /** No write is begun any more, those that wait for their turn included; what is under way comes to its end. */
  endWrites(): void {
    this.#pace.close();
  }

  /** Drops the kept connections; requests in flight break off. */
  close(): void {
    this.endWrites();
    this.#connection.close();
  }

  /** One object, or undefined where there is none of that name. */
  async get<T extends KubeObject>(resource: Resource, name: string, where: Where = {}): Promise<T | undefined> {
    try {
      return await this.#object<T>(
        'get',
        resource,
        { method: 'GET', path: pathOf(resource, where.namespace, name) },
        name,
      );
    } catch (error) {
      if (error instanceof ApiError && error.isNotFound && error.code === 'KUBE_API_404') return undefined;
      throw error;
    }
  }

  /** One page. The items of a list come without kind and apiVersion. */
  async list<T extends KubeObject>(resource: Resource, query: ListQuery): Promise<Page<T>> {
    const { namespace, timeoutMs, signal, limit, metadataAlone, asOf, ...rest } = query;
    const exact = asOf === undefined ? {} : { resourceVersion: asOf, resourceVersionMatch: 'Exact' };
    const path = withQuery(pathOf(resource, namespace), { ...rest, ...exact, limit: limit?.toString() });
    const form = metadataAlone ? { accept: LIST_OF_METADATA } : {};
    const answer = await this.#send('list', resource, { method: 'GET', path, timeoutMs, signal, ...form });
    const what = `list ${resource.plural}`;
    const page = parseBody(await readBody(answer, timeoutMs), what) as {
      items?: readonly T[];
      metadata?: { resourceVersion?: string; continue?: string };
    };
    const next = page.metadata?.continue;
    return {
      items: page.items ?? [],
      resourceVersion: page.metadata?.resourceVersion ?? '',
      continue: next === '' ? undefined : next,
    };
  }

  /** Hands over events until the server ends the watch (resolves) or it fails (rejects). Bookmarks are asked for. */
  async watch(resource: Resource, query: WatchQuery, onEvent: (event: WatchEvent) => void): Promise<void> {
    const { namespace, timeoutSeconds, openMs, idleMs, graceMs, signal, onOpen, ...rest } = query;
    const path = withQuery(pathOf(resource, namespace), {
      ...rest,
      watch: 'true',
      allowWatchBookmarks: 'true',
      timeoutSeconds: timeoutSeconds.toString(),
    });
    const answer = await this.#send('watch', resource, { method: 'GET', path, timeoutMs: openMs, signal });
    onOpen?.();
    await readWatch(answer, { idleMs, totalMs: timeoutSeconds * 1000 + graceMs }, (event) => {
      if (event.type === 'ERROR')
        throw apiErrorOf({ what: `watch ${resource.plural}`, resource }, 500, event.object as Status);
      onEvent(event);
    });
  }

  /**
   * Server-side apply: the fields of `object` become ours with exactly these values, and fields that we owned and no longer
   * name are removed. Forced, as the API conventions ask of controllers. An object that is absent is created, unless
   * `metadata.uid` is given: then the answer is a conflict. Whoever wants to know what became of the object watches it: the answer is its
   * metadata alone, where a whole Node would be 10 KB and more.
   */
  apply(resource: Resource, object: KubeObject, where: Where = {}): Promise<KubeObject> {
    const { name, namespace } = object.metadata;
    return this.#object<KubeObject>(
      'apply',
      resource,
      {
        method: 'PATCH',
        accept: METADATA_ALONE,
        path: this.#writePath(pathOf(resource, namespace, name, where.subresource), { force: 'true' }),
        contentType: 'application/apply-patch+yaml',
        body: JSON.stringify({ ...object, apiVersion: apiVersionOf(resource), kind: resource.kind }),
      },
      name,
    );
  }

  /** JSON merge patch (RFC 7396): null removes a field, whoever owns it. */
  mergePatch<T extends KubeObject>(resource: Resource, name: string, patch: object, where: Where = {}): Promise<T> {
    return this.#object<T>(
      'patch',
      resource,
      {
        method: 'PATCH',
        path: this.#writePath(pathOf(resource, where.namespace, name, where.subresource)),
        contentType: 'application/merge-patch+json',
        body: JSON.stringify(patch),
      },
      name,
    );
  }

  create<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    return this.#object<T>(
      'create',
      resource,
      {
        method: 'POST',
        path: this.#writePath(pathOf(resource, object.metadata.namespace)),
        body: JSON.stringify({ ...object, apiVersion: apiVersionOf(resource), kind: resource.kind }),
      },
      object.metadata.name,
    );
  }

  /** Deletes exactly the object that was seen: another one of the same name is a conflict. Absent already is no error. */
  async delete(resource: Resource, name: string, seen: { uid?: string | undefined }, where: Where = {}): Promise<void> {
    const body = {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      ...(seen.uid === undefined ? {} : { preconditions: { uid: seen.uid } }),
    };
    try {
      await this.#object(
        'delete',
        resource,
        {
          method: 'DELETE',
          path: withQuery(pathOf(resource, where.namespace, name), this.#deadline()),
          body: JSON.stringify(body),
        },
        name,
      );
    } catch (error) {
      if (!(error instanceof ApiError && error.isNotFound)) throw error;
    }
  }

  #writePath(path: string, query: Readonly<Record<string, string>> = {}): string {
    return withQuery(path, { fieldManager: this.#fieldManager, ...query, ...this.#deadline() });
  }

  /** The server gives up when we do: a write whose second half comes late is not carried out behind our back. */
  #deadline(): Readonly<Record<string, string>> {
    return { timeout: `${this.#timeoutMs}ms` };
  }

  async #object<T>(verb: string, resource: Resource, call: Omit<Call, 'timeoutMs'>, name: string): Promise<T> {
    const answer = await this.#send(verb, resource, { ...call, timeoutMs: this.#timeoutMs }, name);
    return parseBody(await readBody(answer, this.#timeoutMs), `${verb} ${resource.plural} ${name}`) as T;
  }

  /** Sends and turns every status ≥ 300 into an ApiError; counts the request either way. */
  async #send(verb: string, resource: Resource, call: Call, name = ''): Promise<IncomingMessage> {
    const what = `${verb} ${resource.plural}${name === '' ? '' : ` ${name}`}`;
    try {
      if (call.method !== 'GET') await this.#pace.turn();
      const answer = await this.#transport.send(call);
      const httpStatus = answer.statusCode ?? 0;
      if (httpStatus >= 300 || httpStatus < 200) {
        const body = statusOf(await readBody(answer, this.#timeoutMs));
        throw apiErrorOf({ what, resource }, httpStatus, body, answer.headers['retry-after']);
      }
      this.#onRequest(verb, resource.plural, httpStatus.toString());
      return answer;
    } catch (error) {
      this.#onRequest(verb, resource.plural, error instanceof ApiError ? error.status.toString() : codeOf(error));
      throw error;
    }
  }
}

function codeOf(error: unknown): string {
  return error instanceof KubeError ? error.code : 'INTERNAL';
}

/** The Status of a refusal; proxies and "404 page not found" answer in plain text, which becomes the message. */
function statusOf(body: string): Status {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch {
    // Not the API's own answer.
  }
  return { message: body.slice(0, 200) };
}

function withQuery(path: string, query: Readonly<Record<string, string | undefined>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, value);
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}
