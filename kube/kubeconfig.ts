import { existsSync, readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { delimiter, dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { KubeconfigError } from './errors.ts';

/** Where an API server is and who we are to it, as one kubeconfig context says; files are read, paths absolute. */
export interface Access {
  /** `https://host:port` with an optional path, without a trailing slash. */
  readonly server: string;
  /** The files or the place this came from, for messages. */
  readonly origin: string;
  readonly tls: TlsMaterial;
  readonly bearerToken?: string;
  readonly basic?: { readonly username: string; readonly password: string };
  /** Headers by which somebody acts as somebody else. */
  readonly impersonation?: Headers;
  /** The user's `exec` entry: a credential plugin to run. */
  readonly exec?: { readonly userName: string; readonly entry: object };
  /** The context needs what only the whole client library does (OIDC and cloud auth providers, proxies). */
  readonly library?: { readonly yaml: string; readonly folder: string; readonly proxied: boolean };
}

export type Headers = Readonly<Record<string, string | string[]>>;

export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

export interface KubeconfigSource {
  /** `--kubeconfig FILE`; beats everything else. */
  readonly path?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where a pod finds its ServiceAccount; another place in tests. */
  readonly serviceAccountFolder?: string;
}

const SERVICE_ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Reads the first of: `path`, $KUBECONFIG (a list of files, merged as kubectl does: the first to name a thing wins), the
 * pod's ServiceAccount, ~/.kube/config. Reads every file it names again on each call, so that calling it again is how
 * rotated tokens and certificates are picked up.
 *
 * Throws KubeconfigError with one line that says what to do.
 */
export function readAccess(source: KubeconfigSource): Access {
  if (source.path !== undefined) return accessFromFiles([source.path]);
  const listed = (source.env.KUBECONFIG ?? '').split(delimiter).filter((file) => file !== '');
  if (listed.length > 0) return accessFromFiles(listed);

  const folder = source.serviceAccountFolder ?? SERVICE_ACCOUNT_FOLDER;
  const host = source.env.KUBERNETES_SERVICE_HOST;
  if (host !== undefined && existsSync(join(folder, 'token'))) {
    return accessInCluster(host, source.env.KUBERNETES_SERVICE_PORT ?? '443', folder);
  }
  const home = source.env.HOME === undefined ? undefined : join(source.env.HOME, '.kube', 'config');
  if (home !== undefined && existsSync(home)) return accessFromFiles([home]);
  throw new KubeconfigError(
    'no kubeconfig: pass --kubeconfig FILE, set KUBECONFIG, or run in a pod with a ServiceAccount',
  );
}

function accessInCluster(host: string, port: string, folder: string): Access {
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    origin: `ServiceAccount in ${folder}`,
    tls: { ca: readText(join(folder, 'ca.crt'), 'certificate authority') },
    bearerToken: readText(join(folder, 'token'), 'ServiceAccount token').trim(),
  };
}

/** Kubeconfig entries as they stand in the file: only what is read is named. */
interface RawKubeconfig {
  readonly 'current-context'?: string;
  readonly clusters?: readonly RawEntry[];
  readonly contexts?: readonly RawEntry[];
  readonly users?: readonly RawEntry[];
}
interface RawEntry {
  readonly name: string;
  readonly cluster?: Record<string, unknown>;
  readonly context?: Record<string, unknown>;
  readonly user?: Record<string, unknown>;
}

function accessFromFiles(files: readonly string[]): Access {
  // kubectl skips files of the list that do not exist, and fails when none does; a single missing file must be named.
  const present = files.filter((file) => existsSync(file));
  if (present.length === 0) {
    throw new KubeconfigError(`kubeconfig ${files.join(delimiter)} does not exist: check --kubeconfig or KUBECONFIG`);
  }
  const parsed = present.map((file) => ({ file: resolve(file), text: readText(file, 'kubeconfig') }));
  const configs = parsed.map(({ file, text }) => ({ folder: dirname(file), raw: parseKubeconfig(file, text) }));
  const origin = present.join(delimiter);

  const currentContext = configs
    .map(({ raw }) => raw['current-context'])
    .find((name) => name !== undefined && name !== '');
  if (currentContext === undefined)
    throw new KubeconfigError(`kubeconfig ${origin} has no current-context: kubectl config use-context NAME`);
  const find = (
    list: 'clusters' | 'contexts' | 'users',
    name: unknown,
  ): { entry: RawEntry; folder: string } | undefined => {
    for (const { folder, raw } of configs) {
      const entry = raw[list]?.find((candidate) => candidate.name === name);
      if (entry !== undefined) return { entry, folder };
    }
    return undefined;
  };
  const context = find('contexts', currentContext)?.entry.context;
  if (context === undefined) throw new KubeconfigError(`kubeconfig ${origin} has no context ${currentContext}`);
  const cluster = find('clusters', context.cluster);
  const server = text(cluster?.entry.cluster?.server);
  if (cluster === undefined || server === undefined) {
    throw new KubeconfigError(`kubeconfig ${origin} has no cluster ${String(context.cluster)} with a server`);
  }
  const user = find('users', context.user);
  return {
    ...accessOf(cluster, user),
    server: server.replace(/\/+$/, ''),
    origin,
    ...libraryNeed(cluster.entry, user?.entry, parsed),
  };
}

/** The parts of a kubeconfig that need the whole library. Merged files cannot be handed to it, so the first one stands. */
function libraryNeed(
  cluster: RawEntry,
  user: RawEntry | undefined,
  parsed: readonly { file: string; text: string }[],
): Pick<Access, 'library'> {
  const proxied = text(cluster.cluster?.['proxy-url']) !== undefined;
  if (!proxied && user?.user?.['auth-provider'] === undefined) return {};
  const first = parsed[0];
  return first === undefined ? {} : { library: { yaml: first.text, folder: dirname(first.file), proxied } };
}

function accessOf(
  cluster: { entry: RawEntry; folder: string },
  user: { entry: RawEntry; folder: string } | undefined,
): Omit<Access, 'server' | 'origin'> {
  const c = cluster.entry.cluster ?? {};
  const u = user?.entry.user ?? {};
  const folder = user?.folder ?? cluster.folder;
  const servername = text(c['tls-server-name']);
  const ca = material(c, 'certificate-authority', cluster.folder);
  const cert = material(u, 'client-certificate', folder);
  const key = material(u, 'client-key', folder);
  const tokenFile = text(u.tokenFile);
  // The API convention: a token file, where given, takes precedence over the token beside it.
  const token = tokenFile === undefined ? text(u.token) : readText(resolve(folder, tokenFile), 'token file').trim();
  const username = text(u.username);
  const impersonation = impersonationOf(u);
  return {
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(servername === undefined ? {} : { servername }),
      ...(c['insecure-skip-tls-verify'] === true ? { rejectUnauthorized: false } : {}),
    },
    ...(token === undefined ? {} : { bearerToken: token }),
    ...(username === undefined ? {} : { basic: { username, password: text(u.password) ?? '' } }),
    ...(impersonation === undefined ? {} : { impersonation }),
    ...(u.exec instanceof Object ? { exec: { userName: user?.entry.name ?? '', entry: u.exec } } : {}),
  };
}

/** As kubectl sends it (Kubernetes documentation, "User impersonation"). What goes with a user means nothing without one, and kubectl refuses it. */
function impersonationOf(user: Record<string, unknown>): Headers | undefined {
  const as = text(user.as);
  const [groups, extra] = [texts(user['as-groups']), Object.entries(user['as-user-extra'] ?? {})];
  const uid = text(user['as-uid']);
  if (as === undefined) {
    if (groups.length === 0 && uid === undefined && extra.length === 0) return undefined;
    throw new KubeconfigError('as-groups, as-uid and as-user-extra of a kubeconfig need a user: add `as`');
  }
  const keys = extra.map(([key, values]): [string, string[]] => {
    return [`impersonate-extra-${encodeURIComponent(key.toLowerCase())}`, texts(values)];
  });
  return {
    'impersonate-user': as,
    ...(uid !== undefined && { 'impersonate-uid': uid }),
    ...(groups.length > 0 && { 'impersonate-group': groups }),
    ...Object.fromEntries(keys),
  };
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.flatMap((one) => text(one) ?? []) : [];
}

/** `<name>-data` (base64) wins over the file called `<name>`, as in kubectl. */
function material(entry: Record<string, unknown>, name: string, folder: string): string | undefined {
  const data = text(entry[`${name}-data`]);
  if (data !== undefined) return Buffer.from(data, 'base64').toString();
  const file = text(entry[name]);
  return file === undefined ? undefined : readText(resolve(folder, file), name.replaceAll('-', ' '));
}

function parseKubeconfig(file: string, content: string): RawKubeconfig {
  let raw: unknown;
  try {
    raw = parse(content);
  } catch (error) {
    throw new KubeconfigError(`kubeconfig ${file} is not YAML: ${String(error).split('\n')[0]}`);
  }
  if (typeof raw !== 'object' || raw === null) throw new KubeconfigError(`kubeconfig ${file} is empty`);
  return raw;
}

function readText(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new KubeconfigError(
      `cannot read the ${what} ${file}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`,
    );
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
