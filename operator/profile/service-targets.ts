import { serviceNameLabel } from '../../api/v1alpha1/labels.ts';
import type { ServiceRef } from '../../api/v1alpha1/local-answers.ts';
import { kubeAddress } from '../../api/v1alpha1/network.ts';
import type { ServiceTarget } from '../../api/v1alpha1/profile-parts.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../kube/clock.ts';
import { type EndpointPort, type EndpointSlice, keptOfSlice, readyAddresses } from '../../kube/endpoint-slice.ts';
import { ENDPOINT_SLICES, type KubeObject, keyOf, SERVICES } from '../../kube/resource.ts';
import { Store, type StoreTiming, type Trouble } from '../../kube/store.ts';
import type { ServiceName } from './cluster-dns.ts';

export interface ServiceTargetsOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly clock: Clock;
  readonly timing: Partial<StoreTiming>;
  /** A store by its name is in trouble, or rid of it. */
  readonly onTrouble: (store: string, trouble: Trouble | undefined) => void;
  /** What a Service means may have changed. */
  readonly onChange: () => void;
}

/** core/v1 Service, as far as it is read here. */
interface Service extends KubeObject {
  readonly spec?: { readonly type?: string; readonly clusterIP?: string; readonly clusterIPs?: readonly string[] };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly Ingress[] } };
}

/** A way in from outside: some load balancers have addresses, others are known by name alone. */
interface Ingress {
  readonly ip?: string;
  readonly hostname?: string;
}

interface Kept {
  readonly type: string;
  readonly clusterIPs: readonly string[];
  readonly ingress: readonly Ingress[];
}

/** RFC 1035 §4.2.2: of IPv6 addresses, at 28 octets each, a message holds 2,300. */
const maxAddresses = 2_000;

const headless = 'None';
const unknown: ServiceTarget = { kind: 'unknown' };

/**
 * The Services that redirects lead to, each followed by itself from the moment it is asked about: a cluster has thousands, and
 * profiles name a few.
 */
export class ServiceTargets {
  readonly #options: ServiceTargetsOptions;
  readonly #followed = new Map<string, FollowedService>();
  readonly #asked = new Set<string>();

  constructor(options: ServiceTargetsOptions) {
    this.#options = options;
  }

  get({ namespace, name, addressesFrom }: ServiceRef): ServiceTarget {
    const target = this.#follow({ namespace, name }).target(addressesFrom);
    if (target.kind !== 'addresses' || target.addresses.length <= maxAddresses) return target;
    return unusable(`Service ${namespace}/${name} has more than ${maxAddresses} addresses, which no answer holds`);
  }

  /** Where the ready ones are that a Service leads to, whatever addresses it has of its own. */
  endpoints(service: ServiceName): ServiceTarget {
    return this.#follow(service).target('Endpoints');
  }

  /** The ports of these, as far as they are known. */
  endpointPorts(service: ServiceName): readonly EndpointPort[] {
    return this.#follow(service).ports();
  }

  #follow({ namespace, name }: ServiceName): FollowedService {
    const key = `${namespace}/${name}`;
    this.#asked.add(key);
    let service = this.#followed.get(key);
    if (service === undefined) {
      service = new FollowedService({ namespace, name }, this.#options);
      this.#followed.set(key, service);
    }
    return service;
  }

  /** Follows no longer what nobody has asked about since the last time. */
  forgetUnasked(): void {
    for (const [key, service] of this.#followed) {
      if (this.#asked.has(key)) continue;
      this.#followed.delete(key);
      service.leave();
    }
    this.#asked.clear();
  }

  /** Whatever is known of them may be old: each is unknown until it is read anew, by whoever asks about it next. */
  forget(): void {
    this.#asked.clear();
    this.forgetUnasked();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#followed.values()].map((service) => service.stop()));
  }
}

class FollowedService {
  readonly #ref: ServiceRef;
  readonly #service: Store<Service, Kept>;
  /** Of one without an address of its own. */
  #slices: Store<EndpointSlice, EndpointSlice> | undefined;
  readonly #makeSlices: () => Store<EndpointSlice, EndpointSlice>;
  readonly #synced = new WeakSet<object>();
  readonly #onChange: () => void;
  readonly #onTrouble: ServiceTargetsOptions['onTrouble'];

  constructor(ref: ServiceRef, { client, clock, timing, onTrouble, onChange }: ServiceTargetsOptions) {
    const { namespace, name } = ref;
    this.#ref = ref;
    this.#onChange = onChange;
    this.#onTrouble = onTrouble;
    const common = (kind: string) => ({
      ...{ client, clock, timing, namespace },
      onTrouble: (trouble: Trouble | undefined) => {
        onTrouble(`${kind} of ${namespace}/${name}`, trouble);
        onChange();
      },
    });
    this.#service = new Store({
      ...common('services'),
      resource: SERVICES,
      fieldSelector: `metadata.name=${name}`,
      keep: ({ spec, status }: Service): Kept => ({
        type: spec?.type ?? 'ClusterIP',
        clusterIPs: spec?.clusterIPs ?? (spec?.clusterIP === undefined ? [] : [spec.clusterIP]),
        ingress: (status?.loadBalancer?.ingress ?? []).map(({ ip = '', hostname = '' }) => ({ ip, hostname })),
      }),
    });
    this.#makeSlices = () =>
      new Store({
        ...common('endpointslices'),
        resource: ENDPOINT_SLICES,
        labelSelector: `${serviceNameLabel}=${name}`,
        keep: keptOfSlice,
      });
    this.#start(this.#service);
  }

  target(from: ServiceRef['addressesFrom'] | 'Endpoints' = 'ClusterIP'): ServiceTarget {
    const { namespace, name } = this.#ref;
    const title = `Service ${namespace}/${name}`;
    if (!this.#synced.has(this.#service)) return this.#refusal(this.#service) ?? unknown;
    const service = this.#service.get(keyOf(this.#ref));
    if (service === undefined) return unusable(`${title} does not exist`);
    if (from === 'Endpoints') return this.#ready();
    if (from === 'LoadBalancer') return ofLoadBalancer(title, service);
    if (service.type === 'ExternalName') return unusable(`${title} is of type ExternalName, which has no address`);
    const addresses = service.clusterIPs.filter((address) => address !== '' && address !== headless);
    return addresses.length > 0 ? readable(title, addresses) : this.#ready();
  }

  ports(): readonly EndpointPort[] {
    return [...(this.#slices?.list() ?? [])].flatMap(({ ports = [] }) => ports);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#service.stop(), this.#slices?.stop()]);
  }

  /** Nobody asks about it any more: whatever was wrong is nobody's concern. */
  leave(): void {
    void this.stop();
    const { namespace, name } = this.#ref;
    for (const store of [this.#service, this.#slices]) {
      if (store?.trouble !== undefined) this.#onTrouble(`${store.plural} of ${namespace}/${name}`, undefined);
    }
  }

  #ready(): ServiceTarget {
    if (this.#slices === undefined) {
      this.#slices = this.#makeSlices();
      this.#start(this.#slices);
    }
    if (!this.#synced.has(this.#slices)) return this.#refusal(this.#slices) ?? unknown;
    return found([...this.#slices.list()].flatMap(readyAddresses));
  }

  /** An API server that is away comes back; a right that is missing has to be given by somebody who is told. */
  #refusal({ trouble }: { readonly trouble: Trouble | undefined }): ServiceTarget | undefined {
    if (trouble?.code !== 'KUBE_API_403') return undefined;
    return unusable(`Service ${this.#ref.namespace}/${this.#ref.name} cannot be read: ${trouble.message}`);
  }

  #start<T extends KubeObject, K>(store: Store<T, K>): void {
    store.onChange(this.#onChange);
    void store.synced.then(() => {
      this.#synced.add(store);
      this.#onChange();
    });
    store.start();
  }
}

function ofLoadBalancer(title: string, { type, ingress }: Kept): ServiceTarget {
  if (type !== 'LoadBalancer') return unusable(`${title} is of type ${type}, which has no load balancer`);
  const addresses = ingress.flatMap(({ ip }) => ip || []);
  if (addresses.length > 0) return readable(`the load balancer of ${title}`, addresses);
  const [name] = ingress.flatMap(({ hostname }) => hostname || []);
  // To follow the name would make the operator a resolver, whose answers every node gets and which differ by who asks.
  if (name !== undefined) return unusable(`the load balancer of ${title} has a name (${name}) and no address`);
  return unusable(`the load balancer of ${title} has no address yet`);
}

/** One that no agent could read either is left out. */
function readable(title: string, given: readonly string[]): ServiceTarget {
  const addresses = given.flatMap((address) => kubeAddress(address) ?? []);
  return addresses.length > 0 ? found(addresses) : unusable(`${title} has no address that can be read: ${given[0]}`);
}

/** Sorted, so that equal sets render equally. */
function found(addresses: readonly string[]): ServiceTarget {
  return { kind: 'addresses', addresses: [...new Set(addresses)].sort() };
}

function unusable(reason: string): ServiceTarget {
  return { kind: 'unusable', reason };
}
