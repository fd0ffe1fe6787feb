/** The stand-alone agent's source of configurations: a profile file, rendered here as the operator would, and its edits. */
import type { Outcome } from '../agent/channel.ts';
import type { ConfigSink, ConfigSource } from '../agent/config/config-source.ts';
import { FileFollower } from '../agent/config/file-follower.ts';
import type { ListenAddresses, ListenerName, ListeningAddress } from '../agent/listen/listeners.ts';
import { reaches } from '../agent/listen/reaches.ts';
import type { AgentOptions } from '../agent/options.ts';
import { formatEndpoint, parseEndpoint } from '../api/v1alpha1/address.ts';
import type { LocalDnsProfile } from '../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../api/v1alpha1/profile-defaults.ts';
import { type ServiceTarget, settleParts } from '../api/v1alpha1/profile-parts.ts';
import { formatFieldError } from '../api/v1alpha1/profile-validation.ts';
import { renderNodeConfig } from '../operator/profile/render.ts';
import { parseDocument } from './manifest.ts';
import { parseProfileText } from './profile-file.ts';
import { type EmbeddedDns, startEmbeddedDns } from './quickstart/server.ts';
import { defaultServices, parseServices, type ServiceList } from './quickstart/services-file.ts';

/** No Service: the servers are given by option. */
const noService = { namespace: '', service: '', addresses: [] };

/** A Service is followed through the API server. */
const needsCluster: ServiceTarget = {
  kind: 'unusable',
  reason: 'a stand-alone agent knows no Services: name addresses in place of the serviceRef',
};

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
  #services: ServiceList = defaultServices();
  #embedded: { clusterDomain: string; dns: EmbeddedDns } | undefined;
  /** A profile has been accepted: from now on a bad one is refused, and ends nothing. */
  #accepted = false;
  #clusterDomain = '';
  #served = false;
  /** With the ports that the system gave. */
  #listening: readonly ListeningAddress[] = [];
  /** Edits are taken one after the other. */
  #taking: Promise<void> = Promise.resolve();

  constructor(options: AgentOptions & { profile: string }, sink: ConfigSink) {
    this.#options = options;
    this.#sink = sink;
  }

  async start(): Promise<void> {
    const { profile, embedded, clusterDns } = this.#options;
    if (embedded?.services !== undefined) await this.#followServices(embedded.services);
    if (embedded === undefined && clusterDns === undefined) {
      this.#sink.log.warn('no cluster DNS is known: give --cluster-dns; names of the cluster domain get SERVFAIL');
    }
    await this.#follow(profile, (contents) => {
      this.#taking = this.#taking.then(() => this.#takeProfile(contents));
    });
  }

  async stop(): Promise<void> {
    for (const follower of this.#followers) follower.stop();
    await this.#embedded?.dns.close();
  }

  report({ refused, listening }: Outcome): void {
    this.#listening = listening;
    if (this.#served) return;
    if (refused !== undefined) this.#sink.fatal([refused.error]);
    if (refused === undefined && listening.length > 0) {
      this.#served = true;
      const facts = { clusterDomain: this.#clusterDomain, embedded: this.#embedded?.dns.endpoint };
      process.stderr.write(welcome(this.#options, listening, facts));
    }
  }

  /** A bad file at the start ends the program; a bad edit is refused whole, and the old profile keeps serving. */
  async #takeProfile(contents: string | undefined): Promise<void> {
    const { profile: path } = this.#options;
    const read = contents === undefined ? unreadable(path) : parseProfileText(path, contents);
    if ('errors' in read) {
      this.#refuse(read.errors);
      return;
    }
    const settled = settleParts(read.profile.spec, () => needsCluster);
    if (settled.kind !== 'settled') {
      this.#refuse(
        settled.kind === 'refused' ? settled.errors.map((error) => `${path}: ${formatFieldError(error)}`) : [],
      );
      return;
    }
    const loops = this.#loops(read.profile.spec);
    if (loops.length > 0) {
      this.#refuse(loops);
      return;
    }
    this.#accepted = true;
    const leftOut = settled.leftOut.map(formatFieldError);
    if (leftOut.length > 0) this.#sink.log.warn({ leftOut }, 'parts of the profile are left out; the rest is served');
    const spec = defaultProfileSpec(settled.spec);
    this.#clusterDomain = spec.clusterDomain;
    this.#sink.log.info({ path, mode: spec.mode }, 'profile read');
    if (spec.mode === 'Disabled') {
      this.#sink.offer(undefined);
      return;
    }
    const config = renderNodeConfig(spec, noService);
    const listen = this.#listenFor(read.profile.spec);
    this.#sink.offer({
      config: { ...config, listeners: config.listeners.filter(({ name }) => listen === undefined || name in listen) },
      ...(listen !== undefined && { listen }),
      clusterDns: await this.#clusterDns(spec.clusterDomain),
    });
  }

  /** A listener that nobody names is not opened: neither the profile, nor an option, nor, where both are silent, we. */
  #listenFor({ listeners }: LocalDnsProfile['spec']): ListenAddresses | undefined {
    const { listen } = this.#options;
    if (listeners !== undefined) return undefined;
    return Object.keys(listen).length > 0 ? listen : defaultListen;
  }

  /** Servers that are the agent itself: what is asked of them would come back until its time is over. */
  #loops(spec: LocalDnsProfile['spec']): string[] {
    const { upstreams = [] } = spec;
    const { profile, clusterDns = [] } = this.#options;
    const listen = this.#listenFor(spec) ?? this.#options.listen;
    const own = (['cluster', 'node'] as const).flatMap((name) =>
      // Addresses of the profile are refused by its own rules, whatever the port.
      (listen[name] ?? []).map((at) => ({
        ...at,
        name,
        port: at.port || this.#portOf(name, at.address),
      })),
    );
    const errors = (where: string, server: string) => {
      const endpoint = parseEndpoint(server);
      const listener = endpoint && own.find((at) => reaches(endpoint, at));
      if (listener === undefined) return [];
      return `${where} the ${listener.name} listener of this agent is at ${formatEndpoint(listener)}, which is a loop: name the real resolver`;
    };
    return [
      ...upstreams.flatMap(({ servers = [] }, at) =>
        servers.flatMap((server, of) => errors(`${profile}: spec.upstreams[${at}].servers[${of}]:`, server)),
      ),
      ...clusterDns.flatMap((server) => errors(`--cluster-dns ${server}:`, server)),
    ];
  }

  /** Of a listener whose port was left to the system; 0 while it has none. */
  #portOf(listener: ListenerName, address: string): number {
    return this.#listening.find((at) => at.name === listener && at.address === address)?.port ?? 0;
  }

  #refuse(errors: string[]): void {
    if (!this.#accepted) this.#sink.fatal(errors);
    else this.#sink.log.error({ errors }, 'the profile is refused; the old one keeps serving');
  }

  /** The servers given, or the embedded one, which is started anew for another cluster domain. */
  async #clusterDns(clusterDomain: string): Promise<readonly string[]> {
    if (this.#options.embedded === undefined) return this.#options.clusterDns ?? [];
    if (this.#embedded?.clusterDomain !== clusterDomain) {
      await this.#embedded?.dns.close();
      const dns = await startEmbeddedDns({ services: this.#services, clusterDomain, address: loopback, port: 0 });
      this.#embedded = { clusterDomain, dns };
    }
    return [this.#embedded.dns.endpoint];
  }

  async #followServices(path: string): Promise<void> {
    let first = true;
    await this.#follow(path, (contents) => {
      const read = contents === undefined ? unreadable(path) : parseDocument(path, contents, parseServices);
      if ('list' in read) {
        this.#services = read.list;
        this.#embedded?.dns.replace(read.list);
        this.#sink.log.info({ path }, 'Services read');
      } else if (first) this.#sink.fatal(read.errors);
      else this.#sink.log.error({ errors: read.errors }, 'the Services are refused; the old ones stay');
      first = false;
    });
  }

  async #follow(path: string, onContents: (contents: string | undefined) => void): Promise<void> {
    const follower = new FileFollower(path, onContents);
    this.#followers.push(follower);
    await follower.start();
  }
}

function unreadable(path: string): { errors: string[] } {
  return { errors: [`${path}: cannot be read`] };
}

/** For the person at the terminal; on stderr, because stdout is for log lines. */
function welcome(
  { profile }: AgentOptions,
  listening: Outcome['listening'],
  { clusterDomain, embedded }: { clusterDomain: string; embedded: string | undefined },
): string {
  const lines = listening.map((at) => `  ${at.name.padEnd(8)} ${formatEndpoint(at)} (UDP and TCP)`);
  if (embedded !== undefined) lines.push(`  cluster DNS is the embedded one, on ${embedded}`);
  const cluster = listening.find(({ name }) => name === 'cluster') ?? listening[0];
  const server = cluster === undefined ? '' : formatEndpoint(cluster);
  const at = server === '127.0.0.1:1053' ? '' : ` --server ${server}`;
  return `
LocalDNS serves ${profile}:
${lines.join('\n')}

Try, in another terminal:
  bin/localdns query kubernetes.default.svc.${clusterDomain}${at}
  bin/localdns query kubernetes.default.svc.${clusterDomain}${at} --tcp      # again: from the cache
  bin/localdns validate -f ${profile}      # edit it: a good edit is served at once, a bad one is refused

Ctrl-C ends it.

`;
}
