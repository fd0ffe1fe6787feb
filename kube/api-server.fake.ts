import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isDeepStrictEqual } from 'node:util';

/** An object as the fake stores it: plain JSON. */
export interface Stored {
  apiVersion?: string;
  kind?: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    generation?: number;
    creationTimestamp?: string;
    labels?: Record<string, string>;
    ownerReferences?: { uid: string }[];
    deletionTimestamp?: string;
    finalizers?: string[];
  };
  spec?: unknown;
  status?: unknown;
}

export interface Seen {
  readonly verb: 'get' | 'list' | 'watch' | 'apply' | 'patch' | 'create' | 'delete';
  readonly plural: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown> | undefined;
}

/** Looks at each request first; returns true where it has answered itself (or will never). */
export type Script = (seen: Seen, response: ServerResponse) => boolean;

/** What the operator reads and writes, as plurals. */
export const operatorKinds = [
  ...['localdnsprofiles', 'localdnsnodes', 'nodes', 'services', 'events', 'controllerrevisions'],
];

/**
 * An API server for tests, in memory over real HTTP: lists in pages, watches with history, server-side apply as far as our
 * own objects need it. What it cannot do is refused loudly. `script` plays the failures.
 */
export class FakeApiServer {
  readonly seen: Seen[] = [];
  script: Script = () => false;
  readonly #server: Server;
  readonly #objects = new Map<string, Map<string, Stored>>();
  readonly #history: { version: number; plural: string; type: string; object: Stored }[] = [];
  readonly #watches = new Set<{ plural: string; response: ServerResponse }>();
  /** Fields of specs that merge patches wrote, by the uid of the object. */
  readonly #patched = new Map<string | undefined, readonly string[]>();
  /** Labels that server-side apply wrote, by object and manager: what is no longer named is removed. */
  readonly #ownedLabels = new Map<string, string[]>();
  #version = 100;
  #oldest = 0;

  /** `plurals` are the kinds it knows; any other is a 404, as without its CRD. */
  constructor(plurals: readonly string[]) {
    for (const plural of plurals) this.#objects.set(plural, new Map());
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  async start(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  know(plural: string): void {
    this.#objects.set(plural, new Map());
  }

  get(plural: string, key: string): Stored | undefined {
    return this.#objects.get(plural)?.get(key);
  }

  all(plural: string): Stored[] {
    return [...(this.#objects.get(plural)?.values() ?? [])];
  }

  requests(verb: Seen['verb'], plural: string): Seen[] {
    return this.seen.filter((seen) => seen.verb === verb && seen.plural === plural);
  }

  get watchCount(): number {
    return this.#watches.size;
  }

  /** Writes as any other client would. */
  put(plural: string, object: Stored): Stored {
    const key = keyOf(object);
    const old = this.get(plural, key);
    const changedSpec = !isDeepStrictEqual(old?.spec, object.spec);
    const stored: Stored = structuredClone(object);
    stored.metadata.uid ??= old?.metadata.uid ?? `uid-${key}-${this.#version}`;
    stored.metadata.creationTimestamp ??= old?.metadata.creationTimestamp ?? '2026-01-01T00:00:00Z';
    stored.metadata.generation = (old?.metadata.generation ?? 0) + (changedSpec ? 1 : 0);
    if (old !== undefined) stored.metadata.resourceVersion = old.metadata.resourceVersion ?? '';
    if (isDeepStrictEqual(old, stored)) return stored;
    if (stored.metadata.deletionTimestamp !== undefined && !stored.metadata.finalizers?.length) {
      this.#objects.get(plural)?.delete(key);
      this.#record(plural, 'DELETED', stored);
      return stored;
    }
    this.#record(plural, old === undefined ? 'ADDED' : 'MODIFIED', stored);
    this.#objects.get(plural)?.set(key, stored);
    return stored;
  }

  /** With finalizers it is marked, and goes with the last of them. */
  remove(plural: string, key: string): void {
    const old = this.get(plural, key);
    if (old === undefined) return;
    if (old.metadata.finalizers?.length) {
      const deletionTimestamp = new Date().toISOString().replace(/\.\d+/, '');
      this.put(plural, { ...old, metadata: { ...old.metadata, deletionTimestamp } });
      return;
    }
    this.#objects.get(plural)?.delete(key);
    this.#record(plural, 'DELETED', structuredClone(old));
  }

  /** Vanishes as in a compaction: without an event, and older versions are gone. */
  forget(plural: string, key: string): void {
    this.#objects.get(plural)?.delete(key);
    this.compact();
  }

  compact(): void {
    this.#oldest = ++this.#version;
  }

  bookmark(): void {
    const version = `${++this.#version}`;
    for (const { response } of this.#watches) {
      send(response, { type: 'BOOKMARK', object: { metadata: { resourceVersion: version } } });
    }
  }

  /** Ends every watch: in order, or by resetting its connection. */
  endWatches(how: 'end' | 'reset'): void {
    for (const { response } of this.#watches) {
      if (how === 'end') response.end();
      else response.socket?.resetAndDestroy();
    }
  }

  #record(plural: string, type: string, object: Stored): void {
    object.metadata.resourceVersion = `${++this.#version}`;
    this.#history.push({ version: this.#version, plural, type, object });
    for (const watch of this.#watches) if (watch.plural === plural) send(watch.response, { type, object });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    const path =
      /^\/(?:api|apis\/[^/]+)\/v\d\w*(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/(status|scale))?$/.exec(
        url.pathname,
      );
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body = text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>);
    const plural = path?.[2] ?? '';
    const seen: Seen = {
      verb: verbOf(request, url, path?.[3]),
      plural,
      name: path?.[3],
      subresource: path?.[4],
      query: url.searchParams,
      headers: request.headers,
      body,
    };
    this.seen.push(seen);
    if (this.script(seen, response)) return;
    const objects = this.#objects.get(plural);
    if (objects === undefined) {
      fail(response, 404, 'NotFound', 'the server could not find the requested resource', {});
      return;
    }
    const key = path?.[1] === undefined ? (seen.name ?? '') : `${path[1]}/${seen.name ?? ''}`;
    this.#answer(seen, key, [...objects.values()], response);
  }

  #answer(seen: Seen, key: string, objects: Stored[], response: ServerResponse): void {
    const old = this.get(seen.plural, key);
    switch (seen.verb) {
      case 'list':
        this.#list(seen, objects, response);
        break;
      case 'watch':
        this.#watch(seen, response);
        break;
      case 'create':
        this.#create(seen, seen.body as unknown as Stored, response);
        break;
      case 'apply':
        this.#apply(seen, key, old, response);
        break;
      case 'get':
      case 'patch':
      case 'delete':
        if (old === undefined) fail(response, 404, 'NotFound', `"${key}" not found`, { name: seen.name });
        else if (seen.verb === 'delete') this.#delete(seen, key, old, response);
        else if (seen.verb === 'get') reply(response, 200, old);
        else this.#patch(seen, old, response);
    }
  }

  #create(seen: Seen, object: Stored, response: ServerResponse): void {
    if (this.get(seen.plural, keyOf(object)) !== undefined) {
      fail(response, 409, 'AlreadyExists', 'already exists', { name: object.metadata.name });
    } else reply(response, 201, this.put(seen.plural, object));
  }

  #patch(seen: Seen, old: Stored, response: ServerResponse): void {
    const { resourceVersion } = (seen.body?.metadata ?? {}) as { resourceVersion?: string };
    if (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion) {
      fail(response, 409, 'Conflict', 'the object has been modified', { name: seen.name });
    } else {
      const fields = Object.keys(seen.body?.spec ?? {});
      this.#patched.set(old.metadata.uid, [...(this.#patched.get(old.metadata.uid) ?? []), ...fields]);
      reply(response, 200, this.put(seen.plural, mergePatch(structuredClone(old), seen.body) as Stored));
    }
  }

  /** What an update wrote stays where an apply does not name it: to the API server these are two owners, under whatever manager. */
  #patchedOf(old: Stored | undefined): object {
    const fields = this.#patched.get(old?.metadata.uid) ?? [];
    return Object.fromEntries(Object.entries(old?.spec ?? {}).filter(([field]) => fields.includes(field)));
  }

  #list(seen: Seen, now: Stored[], response: ServerResponse): void {
    const asOf =
      seen.query.get('resourceVersionMatch') === 'Exact' ? Number(seen.query.get('resourceVersion')) : undefined;
    if (asOf !== undefined && asOf < this.#oldest) {
      fail(response, 410, 'Expired', 'the resource version is too old', {});
      return;
    }
    const objects = asOf === undefined ? now : this.#objectsAsOf(asOf, seen.plural);
    const isAlone = seen.headers.accept?.startsWith('application/json;as=PartialObjectMetadataList;') ?? false;
    const matching = objects
      .filter((object) => matches(object, seen.query))
      .map((object) => {
        return isAlone ? { metadata: object.metadata } : object;
      });
    const from = Number(seen.query.get('continue') ?? 0);
    const to = from + Number(seen.query.get('limit') ?? matching.length);
    const more = to < matching.length ? { continue: `${to}` } : {};
    reply(response, 200, {
      metadata: { resourceVersion: `${this.#version}`, ...more },
      items: matching.slice(from, to),
    });
  }

  #objectsAsOf(asOf: number, wanted: string): Stored[] {
    const objects = new Map<string, Stored>();
    for (const { version, plural, type, object } of this.#history) {
      if (plural !== wanted || version > asOf) continue;
      if (type === 'DELETED') objects.delete(keyOf(object));
      else objects.set(keyOf(object), object);
    }
    return [...objects.values()];
  }

  #watch(seen: Seen, response: ServerResponse): void {
    const from = Number(seen.query.get('resourceVersion'));
    if (from < this.#oldest) {
      fail(response, 410, 'Expired', 'too old resource version', {});
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const { version, plural, type, object } of this.#history) {
      if (plural === seen.plural && version > from) send(response, { type, object });
    }
    const watch = { plural: seen.plural, response };
    this.#watches.add(watch);
    response.once('close', () => this.#watches.delete(watch));
  }

  #apply(seen: Seen, key: string, old: Stored | undefined, response: ServerResponse): void {
    if (seen.headers['content-type'] !== 'application/apply-patch+yaml' || !seen.query.has('fieldManager')) {
      fail(response, 415, 'UnsupportedMediaType', 'not a server-side apply', {});
      return;
    }
    const sent = structuredClone(seen.body) as unknown as Stored;
    if (sent.metadata.uid !== undefined && sent.metadata.uid !== old?.metadata.uid) {
      fail(response, 409, 'Conflict', 'uid mismatch', { name: seen.name });
      return;
    }
    const { resourceVersion } = sent.metadata;
    if (resourceVersion !== undefined && resourceVersion !== old?.metadata.resourceVersion) {
      fail(response, 409, 'Conflict', 'the object has been modified', { name: seen.name });
      return;
    }
    const next = structuredClone(old ?? sent);
    if (seen.subresource === 'status') {
      if (old === undefined) {
        fail(response, 404, 'NotFound', 'not found', { name: seen.name });
        return;
      }
      next.status = sent.status;
    } else {
      if (sent.spec !== undefined) next.spec = { ...this.#patchedOf(old), ...sent.spec };
      if (sent.metadata.ownerReferences !== undefined) next.metadata.ownerReferences = sent.metadata.ownerReferences;
      this.#applyLabels(`${seen.plural}/${key}/${seen.query.get('fieldManager')}`, next, sent.metadata.labels ?? {});
    }
    reply(response, old === undefined ? 201 : 200, this.put(seen.plural, next));
  }

  #applyLabels(owner: string, next: Stored, labels: Record<string, string>): void {
    const kept = { ...next.metadata.labels };
    for (const label of this.#ownedLabels.get(owner) ?? []) delete kept[label];
    this.#ownedLabels.set(owner, Object.keys(labels));
    next.metadata.labels = { ...kept, ...labels };
  }

  #delete(seen: Seen, key: string, old: Stored, response: ServerResponse): void {
    const { uid } = (seen.body?.preconditions ?? {}) as { uid?: string };
    if (uid !== undefined && uid !== old.metadata.uid) {
      fail(response, 409, 'Conflict', 'uid mismatch', { name: seen.name });
      return;
    }
    this.remove(seen.plural, key);
    reply(response, 200, { kind: 'Status', status: 'Success' });
  }
}

export function fail(
  response: ServerResponse,
  code: number,
  reason: string,
  message: string,
  details: object,
  headers: Record<string, string> = {},
): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify({ kind: 'Status', code, reason, message, details }));
}

export function reply(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function send(response: ServerResponse, event: object): void {
  response.write(`${JSON.stringify(event)}\n`);
}

function verbOf(request: IncomingMessage, url: URL, name: string | undefined): Seen['verb'] {
  if (request.method === 'POST') return 'create';
  if (request.method === 'DELETE') return 'delete';
  if (request.method === 'PATCH') return request.headers['content-type']?.includes('apply') ? 'apply' : 'patch';
  if (url.searchParams.get('watch') === 'true') return 'watch';
  return name === undefined ? 'list' : 'get';
}

function keyOf({ metadata }: Stored): string {
  return metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
}

/** `key=value` and `key`, which is all that we ask for; of fields the name. */
function matches(object: Stored, query: URLSearchParams): boolean {
  for (const term of query.get('fieldSelector')?.split(',') ?? []) {
    const [, name] = term.split('metadata.name=');
    if (name !== undefined && object.metadata.name !== name) return false;
  }
  const selector = query.get('labelSelector');
  if (selector === null) return true;
  const [label = '', value] = selector.split('=');
  const given = object.metadata.labels?.[label];
  return value === undefined ? given !== undefined : given === value;
}

function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const merged: Record<string, unknown> = { ...(target as Record<string, unknown> | undefined) };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
}
