/** In a cluster: the node's own LocalDnsNode, followed over the API; the last good one from disk until the API server answers. */
import { dnsPort, formatEndpoint } from '../../api/v1alpha1/address.ts';
import { agentManager, group, nodeKind, version } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode, NodeHealth } from '../../api/v1alpha1/node.ts';
import { type NodeConfig, parseNodeConfig, revisionOf } from '../../api/v1alpha1/node-config.ts';
import { KubeClient } from '../../kube/client.ts';
import { KubeconfigError } from '../../kube/errors.ts';
import { readAccess } from '../../kube/kubeconfig.ts';
import type { KubeObject, Resource } from '../../kube/resource.ts';
import { Store, type Trouble } from '../../kube/store.ts';
import type { Outcome } from '../channel.ts';
import { systemClock } from '../clock.ts';
import type { AgentOptions } from '../options.ts';
import { type Terms, Trial } from '../trial/trial.ts';
import { ClusterDns } from './cluster-dns.ts';
import type { ConfigSink, ConfigSource } from './config-source.ts';
import { type LastGood, LastGoodFile } from './last-good.ts';
import { NodeStatus } from './node-status.ts';

export const localDnsNodes: Resource = {
  group,
  version,
  plural: nodeKind.plural,
  kind: nodeKind.kind,
  namespaced: false,
};

type StoredNode = KubeObject & Pick<LocalDnsNode, 'spec' | 'status'>;

/** What is offered at the moment, and from which object. */
interface Current extends LastGood {
  /** 0: from disk, and the API has not confirmed it. */
  generation: number;
  /** Object and generation: one that was deleted and made again is another, whatever its generation. */
  identity: string;
  terms: Terms | undefined;
}

interface Refusal {
  revision: string;
  generation: number;
  identity: string;
  error: string;
}

/** The spec that takes the node out of service. */
type Withdrawal = Pick<Current, 'generation' | 'identity'>;

/** What there is once there is a way to the API server. */
interface Following {
  client: KubeClient;
  store: Store<StoredNode, StoredNode>;
  status: NodeStatus;
}

const kubeconfigRetryMs = 5_000;

export class NodeSource implements ConfigSource {
  readonly #options: AgentOptions;
  readonly #version: string;
  readonly #sink: ConfigSink;
  readonly #lastGood: LastGoodFile;
  #following: Following | undefined;
  #clusterDns: ClusterDns | undefined;
  #followed = '';
  #endpoints: string[] = [];
  #current: Current | undefined;
  /** What the listeners did last. */
  #outcome: Outcome | undefined;
  /** The newest spec, where it cannot be read: whatever becomes of the one before it, this is what is reported. */
  #refusal: Refusal | undefined;
  #withdrawal: Withdrawal | undefined;
  #written = '';
  /** What keeps each store from following, by its code. */
  readonly #troubles = new Map<string, string>();
  readonly #trial: Trial;
  #stopped = false;

  constructor(options: AgentOptions, version: string, sink: ConfigSink) {
    this.#options = options;
    this.#version = version;
    this.#sink = sink;
    this.#lastGood = new LastGoodFile(options.stateDir);
    this.#trial = new Trial({
      clock: systemClock,
      wallMs: Date.now,
      figures: () => sink.figures(),
      probe: (names) => sink.probe(names),
      onHealth: (health) => this.#tellHealth(health),
    });
  }

  /** Offers the last good configuration at once, and follows the API from then on. */
  async start(): Promise<void> {
    const { lastGood, trouble } = await this.#lastGood.read();
    if (trouble !== undefined) this.#sink.log.warn({ trouble }, 'the last good configuration cannot be used');
    if (lastGood !== undefined) {
      this.#endpoints = lastGood.clusterDns;
      this.#written = JSON.stringify(lastGood);
      this.#sink.log.info({ revision: lastGood.revision }, 'starting from the last good configuration');
      this.#adopt({ ...lastGood, generation: 0, identity: '', terms: undefined });
    }
    this.#connect(lastGood !== undefined);
  }

  /** Without a kubeconfig the agent serves what it has, says so once, and looks again. */
  #connect(serving: boolean, complained = ''): void {
    if (this.#stopped) return;
    try {
      const client = new KubeClient({
        access: () =>
          readAccess({
            ...(this.#options.kubeconfig !== undefined && { path: this.#options.kubeconfig }),
            env: process.env,
          }),
        fieldManager: agentManager,
        userAgent: `localdns-agent/${this.#version}`,
      });
      this.#follow(client, serving);
    } catch (error) {
      if (!(error instanceof KubeconfigError)) throw error;
      if (error.message !== complained)
        this.#sink.log.error({ code: error.code, error: error.message }, 'no kubeconfig; trying again');
      setTimeout(() => this.#connect(serving, error.message), kubeconfigRetryMs);
    }
  }

  #follow(client: KubeClient, serving: boolean): void {
    const { nodeName } = this.#options;
    const store = new Store<StoredNode, StoredNode>({
      client,
      resource: localDnsNodes,
      fieldSelector: `metadata.name=${nodeName}`,
      keep: (object) => object,
      onTrouble: (trouble) => this.#tell('LocalDnsNode', trouble),
    });
    this.#following = { client, store, status: new NodeStatus(client, nodeName, this.#version, this.#sink.log) };
    store.onChange((_name, _old, node) => this.#take(node));
    store.start();
    void store.synced.then(() => {
      if (store.size > 0) return;
      if (serving) this.#take(undefined);
      else this.#sink.log.info({ node: nodeName }, 'no LocalDnsNode yet: this node is not served');
    });
    if (this.#current !== undefined) this.#followEndpoints(this.#current.config);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#trial.stop();
    // What cannot be written any more would be tried again for as long as the process lives.
    this.#following?.status.forget();
    await Promise.all([this.#following?.store.stop(), this.#clusterDns?.stop()]);
    this.#following?.client.close();
  }

  report(outcome: Outcome): void {
    if (this.#stopped) return;
    this.#outcome = outcome;
    if (this.#withdrawal !== undefined) this.#reportWithdrawal(this.#withdrawal, outcome);
    const current = this.#current;
    if (current === undefined) return;
    if (outcome.refused === undefined) this.#putInForce(current);
    if (this.#refusal !== undefined) this.#reportRefusal(this.#refusal);
    else if (current.generation > 0) this.#following?.status.report(current, outcome);
  }

  #putInForce(current: Current): void {
    this.#keep(current);
    const { revision, terms } = current;
    this.#trial.inForce(revision, terms, this.#following?.status.healthOf(revision, terms));
  }

  #tellHealth(health: NodeHealth): void {
    this.#sink.log.info({ ...health }, 'how the node serves with this revision');
    this.#following?.status.measured(health);
  }

  #take(node: StoredNode | undefined): void {
    if (node === undefined) {
      this.#sink.log.info(
        { node: this.#options.nodeName },
        'the LocalDnsNode is gone: this node is not served any more',
      );
      this.#withdrawal = undefined;
      this.#following?.status.forget();
      this.#leave();
      return;
    }
    const { profile, revision, profileRevision, trial } = node.spec;
    const generation = node.metadata.generation ?? 1;
    this.#following?.status.seen(node.status, node.metadata.resourceVersion);
    const identity = `${node.metadata.uid} ${generation}`;
    // Our own status comes back as an event; the same spec again is no news.
    if (this.#current?.identity === identity || this.#withdrawal?.identity === identity) return;
    if (node.spec.withdrawnAt !== undefined) {
      this.#sink.log.info({ node: this.#options.nodeName }, 'this node is not to be served any more');
      this.#withdrawal = { generation, identity };
      this.#leave();
      return;
    }
    const parsed = readSpec(node.spec);
    if ('error' in parsed) {
      this.#refuse({ revision, generation, identity, error: parsed.error });
      return;
    }
    const terms = trial && { ...trial, profileRevision };
    this.#adopt({ profile, revision, config: parsed.config, clusterDns: [], generation, identity, terms });
  }

  #leave(): void {
    this.#current = undefined;
    this.#refusal = undefined;
    this.#trial.stop();
    this.#sink.offer(undefined);
    this.#save(undefined);
  }

  /** Once no query is led here and nobody listens: the operator waits for that, and whoever waits must not be told too early. */
  #reportWithdrawal({ generation }: Withdrawal, { listening, interception }: Outcome): void {
    if (listening.length > 0 || interception?.intercepting) return;
    this.#following?.status.reportWithdrawn(generation, interception);
  }

  /** What this agent cannot read: the configuration before it stays in force, and the listeners as they are. */
  #refuse(refusal: Refusal): void {
    if (refusal.identity === this.#refusal?.identity) return;
    this.#refusal = refusal;
    this.#sink.log.error({ revision: refusal.revision, error: refusal.error }, 'configuration refused');
    this.#reportRefusal(refusal);
  }

  #reportRefusal({ error, ...spec }: Refusal): void {
    this.#following?.status.report(spec, { listening: [], ...this.#outcome, refused: { code: 'CONFIG', error } });
  }

  #adopt(current: Current): void {
    this.#withdrawal = undefined;
    this.#current = current;
    this.#refusal = undefined;
    this.#followEndpoints(current.config);
    this.#offer();
  }

  #offer(): void {
    if (this.#current === undefined) return;
    this.#sink.offer({ config: this.#current.config, clusterDns: this.#clusterDnsServers(this.#current.config) });
  }

  /** Ready endpoints; the Service address where none is known; the addresses given win over both. */
  #clusterDnsServers(config: NodeConfig): readonly string[] {
    if (this.#options.clusterDns !== undefined) return this.#options.clusterDns;
    if (this.#endpoints.length > 0) return this.#endpoints;
    return config.clusterDNS.addresses.map((address) => formatEndpoint({ address, port: dnsPort }));
  }

  #followEndpoints({ clusterDNS: { namespace, service } }: NodeConfig): void {
    const name = `${namespace}/${service}`;
    const client = this.#following?.client;
    if (client === undefined || this.#options.clusterDns !== undefined || service === '' || name === this.#followed)
      return;
    const before = this.#clusterDns;
    void before?.stop();
    if (before !== undefined) this.#endpoints = [];
    this.#followed = name;
    this.#clusterDns = new ClusterDns(
      client,
      { namespace, service },
      (endpoints) => {
        this.#sink.log.info({ endpoints }, 'cluster DNS endpoints');
        this.#endpoints = endpoints;
        this.#offer();
      },
      (trouble) => this.#tell('EndpointSlices of cluster DNS', trouble),
    );
    this.#clusterDns.start();
  }

  #keep({ profile, revision, config }: Current): void {
    this.#save({ profile, revision, config, clusterDns: this.#endpoints });
  }

  #save(lastGood: LastGood | undefined): void {
    const text = lastGood === undefined ? '' : JSON.stringify(lastGood);
    if (text === this.#written) return;
    this.#written = text;
    this.#lastGood.write(lastGood).catch((error: Error) => {
      this.#sink.log.warn({ error: error.message }, 'the last good configuration cannot be kept on disk');
    });
  }

  /** Stores that meet the same trouble at once, because the API server is away, make one line. */
  #tell(what: string, trouble: Trouble | undefined): void {
    if (trouble === undefined) {
      this.#troubles.delete(what);
      if (this.#troubles.size === 0) this.#sink.log.info({ what }, 'following the API server again');
      return;
    }
    const isKnown = [...this.#troubles.values()].includes(trouble.code);
    this.#troubles.set(what, trouble.code);
    if (isKnown) return;
    const { code, message: error } = trouble;
    this.#sink.log.warn({ what, code, error }, 'cannot follow the API server; trying again');
  }
}

/** Strictly, and whole: what somebody changed behind the operator's back is not the revision that it claims to be. */
function readSpec({ revision, config }: StoredNode['spec']): ReturnType<typeof parseNodeConfig> {
  const parsed = parseNodeConfig(config);
  if ('error' in parsed || revisionOf(config) === revision) return parsed;
  return {
    error: `the configuration is not that of revision ${revision}: it was changed by hand, and the operator puts it right`,
  };
}
