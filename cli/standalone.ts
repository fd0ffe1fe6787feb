/** The stand-alone agent's source of configurations: a profile file, rendered here as the operator would, and its edits. */
import { readFile } from 'node:fs/promises';
import type { Outcome } from '../agent/channel.ts';
import type { ConfigSink, ConfigSource } from '../agent/config/config-source.ts';
import { FileFollower } from '../agent/config/file-follower.ts';
import type { AgentOptions } from '../agent/options.ts';
import { formatEndpoint } from '../api/v1alpha1/address.ts';
import type { NodeConfig } from '../api/v1alpha1/node-config.ts';
import type { LocalDnsProfile } from '../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../api/v1alpha1/profile-defaults.ts';
import { formatFieldError, parseProfile } from '../api/v1alpha1/profile-validation.ts';
import { renderNodeConfig } from '../operator/profile/render.ts';
import { parseManifest } from './manifest.ts';
import { type EmbeddedDns, startEmbeddedDns } from './quickstart/server.ts';
import { defaultServices, parseServices, type ServiceList } from './quickstart/services-file.ts';

/** No Service: the servers are given by option. */
const noService = { namespace: '', service: '', addresses: [] };

const loopback = '127.0.0.1';

/** Where a profile that names no listeners is served: ports that need no root, on an address that every machine has. */
const defaultListen = {
  cluster: [{ address: loopback, port: 1053 }],
  node: [{ address: loopback, port: 1054 }],
};

export class ProfileSource implements ConfigSource {
  readonly #options: AgentOptions & { profile: string };
  readonly #sink: ConfigSink;
  readonly #followers: FileFollower[] = [];
  #embedded: EmbeddedDns | undefined;
  #config: NodeConfig | undefined;
  #served = false;

  constructor(options: AgentOptions & { profile: string }, sink: ConfigSink) {
    this.#options = options;
    this.#sink = sink;
  }

  async start(): Promise<void> {
    const { profile, embedded, clusterDns } = this.#options;
    if (embedded !== undefined && !(await this.#startEmbedded(embedded.services))) return;
    if (embedded === undefined && clusterDns === undefined) {
      this.#sink.log.warn('no cluster DNS is known: give --cluster-dns; names of the cluster domain get SERVFAIL');
    }
    await this.#follow(profile, (contents) => this.#takeProfile(contents));
  }

  async stop(): Promise<void> {
    for (const follower of this.#followers) follower.stop();
    await this.#embedded?.close();
  }

  report({ refused, listening }: Outcome): void {
    if (refused !== undefined && !this.#served) this.#sink.fatal([refused.error]);
    if (refused === undefined && !this.#served && listening.length > 0) {
      this.#served = true;
      process.stderr.write(welcome(this.#options, listening, this.#embedded?.endpoint));
    }
  }

  /** A bad file at the start ends the program; a bad edit is refused whole, and the old profile keeps serving. */
  #takeProfile(contents: string | undefined): void {
    const { profile: path } = this.#options;
    const read = readProfile(path, contents);
    if ('errors' in read) {
      if (this.#config === undefined) this.#sink.fatal(read.errors);
      else this.#sink.log.error({ errors: read.errors }, 'the profile is refused; the old one keeps serving');
      return;
    }
    const spec = defaultProfileSpec(read.profile.spec);
    if (spec.mode === 'Disabled') {
      this.#sink.log.info('mode Disabled: nothing is served');
      this.#config ??= renderNodeConfig(spec, noService);
      this.#sink.offer(undefined);
      return;
    }
    this.#config = renderNodeConfig(spec, noService);
    if (this.#embedded !== undefined) this.#sink.log.info({ path }, 'profile read');
    this.#sink.offer({
      config: this.#config,
      ...(read.profile.spec.listeners === undefined && { listen: defaultListen }),
      clusterDns: this.#embedded === undefined ? (this.#options.clusterDns ?? []) : [this.#embedded.endpoint],
    });
  }

  /** False where it cannot start; that has been said then. */
  async #startEmbedded(file: string | undefined): Promise<boolean> {
    const read = file === undefined ? { list: defaultServices() } : await this.#readServices(file);
    if ('errors' in read) {
      this.#sink.fatal(read.errors);
      return false;
    }
    // The embedded server exists for the profile's cluster domain; the file is read again when it is followed.
    const profile = await readFile(this.#options.profile, 'utf8').catch(() => undefined);
    const parsed = readProfile(this.#options.profile, profile);
    const clusterDomain = 'errors' in parsed ? 'cluster.local' : defaultProfileSpec(parsed.profile.spec).clusterDomain;
    this.#embedded = await startEmbeddedDns({ services: read.list, clusterDomain, address: loopback, port: 0 });
    return true;
  }

  /** Follows the file of Services; resolves with its first contents. */
  async #readServices(file: string): Promise<Read<{ list: ServiceList }>> {
    let first: Read<{ list: ServiceList }> | undefined;
    await this.#follow(file, (contents) => {
      const read = readServices(file, contents);
      if (first === undefined) first = read;
      else if ('errors' in read)
        this.#sink.log.error({ errors: read.errors }, 'the Services are refused; the old ones stay');
      else {
        this.#embedded?.replace(read.list);
        this.#sink.log.info({ path: file }, 'Services read');
      }
    });
    return first ?? { errors: [`${file}: not read`] };
  }

  async #follow(path: string, onContents: (contents: string | undefined) => void): Promise<void> {
    const follower = new FileFollower(path, onContents);
    this.#followers.push(follower);
    await follower.start();
  }
}

type Read<T> = T | { errors: string[] };

function readProfile(path: string, contents: string | undefined): Read<{ profile: LocalDnsProfile }> {
  return readDocument(path, contents, (value) => {
    const parsed = parseProfile(value);
    return 'errors' in parsed ? { errors: parsed.errors.map(formatFieldError) } : parsed;
  });
}

function readServices(path: string, contents: string | undefined): Read<{ list: ServiceList }> {
  return readDocument(path, contents, parseServices);
}

/** Every complaint begins with the file's name. */
function readDocument<T extends object>(
  path: string,
  contents: string | undefined,
  parse: (value: unknown) => Read<T>,
): Read<T> {
  const named = (errors: string[]) => ({ errors: errors.map((error) => `${path}: ${error}`) });
  if (contents === undefined) return named(['cannot be read']);
  const manifest = parseManifest(contents);
  if (!('value' in manifest)) return named([Object.values(manifest).join()]);
  const parsed = parse(manifest.value);
  return 'errors' in parsed ? named(parsed.errors) : parsed;
}

/** For the person at the terminal; on stderr, because stdout is for log lines. */
function welcome(options: AgentOptions, listening: Outcome['listening'], embedded: string | undefined): string {
  const lines = listening.map((at) => `  ${at.name.padEnd(8)} ${formatEndpoint(at)} (UDP and TCP)`);
  const cluster = listening.find(({ name }) => name === 'cluster') ?? listening[0];
  const server = cluster === undefined ? '' : formatEndpoint(cluster);
  const serverOption = server === '127.0.0.1:1053' ? '' : ` --server ${server}`;
  return `
LocalDNS serves ${options.profile}:
${lines.join('\n')}
${embedded === undefined ? '' : `  cluster DNS is the embedded one, on ${embedded}\n`}
Try, in another terminal:
  bin/localdns query kubernetes.default.svc.cluster.local${serverOption}
  bin/localdns query kubernetes.default.svc.cluster.local${serverOption}      # again: from the cache
  edit ${options.profile}, and see it change at once

Ctrl-C ends it.

`;
}
