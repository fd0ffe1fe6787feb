/**
 * The records of a cluster's Services, by the Kubernetes DNS-Based Service Discovery specification, version 1.1.0, and the
 * answers to questions about them. Pure: the same list, domain and serial give the same zones.
 */
import { isIPv4 } from 'node:net';
import { canonicalAddress } from '../../api/v1alpha1/address.ts';
import { isWithin } from '../../api/v1alpha1/zone.ts';
import { ancestors, reverseName } from '../domain-name.ts';
import type { Rcode, ResourceRecord } from '../message.ts';
import type { Service, ServiceList } from './services-file.ts';

/** As CoreDNS's kubernetes plugin has it by default. */
const clusterTtlSeconds = 5;
const outsideTtlSeconds = 30;
/** An alias may point to an alias; a loop ends here. */
const maxAliases = 8;

export interface Lookup {
  rcode: Rcode;
  answers: ResourceRecord[];
  authorities: ResourceRecord[];
  additionals: ResourceRecord[];
}

export class Zones {
  /** Empty lists stand for names that exist only because something is below them (RFC 8020 §2). */
  readonly #names = new Map<string, ResourceRecord[]>();
  readonly #authorities = new Map<string, ResourceRecord>();

  /** `serial` says which edition of the list this is (RFC 1035 §3.3.13). `clusterDomain` in lower case. */
  constructor({ services, records }: ServiceList, clusterDomain: string, serial: number) {
    this.#openZone(clusterDomain, clusterTtlSeconds, serial);
    this.#add({ type: 'TXT', name: `dns-version.${clusterDomain}`, ttl: clusterTtlSeconds, data: '1.1.0' });
    for (const service of services) {
      const name = serviceName(service, clusterDomain);
      // Also of a headless Service whose endpoints are all gone: it still exists.
      this.#reach(name);
      // Cluster DNS itself is a Service, in nearly every cluster under this name.
      if (service.namespace === 'kube-system' && service.name === 'kube-dns') {
        this.#add({ type: 'NS', name: clusterDomain, ttl: clusterTtlSeconds, data: name });
      }
      for (const record of serviceRecords(service, clusterDomain)) {
        if (record.type === 'PTR') this.#openZone(reverseZone(record.name), clusterTtlSeconds, serial);
        this.#add(record);
      }
    }
    for (const { name, type, ttlSeconds, values } of records) {
      if (this.#zoneOf(name) === undefined) this.#openZone(parentZone(name), outsideTtlSeconds, serial);
      for (const data of values) this.#add({ type, name, ttl: ttlSeconds, data });
    }
  }

  /** The answer to one question; `name` in lower case. Records come with the names under which they are stored. */
  lookup(name: string, type: string): Lookup {
    const answers: ResourceRecord[] = [];
    let at = name;
    for (let aliases = 0; aliases <= maxAliases; aliases++) {
      const soa = this.#zoneOf(at);
      // An alias may lead out of what is known here: the rest is the asker's business (RFC 1034 §4.3.2).
      if (soa === undefined) return { ...nothing(answers.length === 0 ? 'REFUSED' : 'NOERROR'), answers };
      const here = this.#names.get(at);
      if (here === undefined) return { ...nothing('NXDOMAIN'), answers, authorities: [soa] };
      const found = here.filter((record) => record.type === wanted(type, here));
      if (found.length > 0) {
        answers.push(...found);
        return { ...nothing('NOERROR'), answers, additionals: this.#addressesOf(found) };
      }
      const alias = here.find((record) => record.type === 'CNAME');
      if (alias === undefined) return { ...nothing('NOERROR'), answers, authorities: [soa] };
      answers.push(alias);
      at = String(alias.data);
    }
    return nothing('SERVFAIL');
  }

  #openZone(apex: string, ttl: number, serial: number): void {
    if (this.#authorities.has(apex)) return;
    const timers = { serial, refresh: 7200, retry: 1800, expire: 86_400, minimum: ttl };
    const data = { mname: `ns.dns.${apex}`, rname: `hostmaster.${apex}`, ...timers };
    const soa: ResourceRecord = { type: 'SOA', name: apex, ttl, data };
    this.#authorities.set(apex, soa);
    this.#add(soa);
  }

  #add(record: ResourceRecord): void {
    this.#reach(record.name).push(record);
  }

  /** Makes a name exist, and all between it and the apex of its zone. */
  #reach(name: string): ResourceRecord[] {
    const apex = this.#zoneOf(name)?.name ?? name;
    for (const each of [name, ...ancestors(name)]) {
      if (!isWithin(each, apex)) break;
      if (!this.#names.has(each)) this.#names.set(each, []);
    }
    return this.#names.get(name) ?? [];
  }

  /** The SOA of the zone that holds a name. */
  #zoneOf(name: string): ResourceRecord | undefined {
    for (const apex of [name, ...ancestors(name)]) {
      const soa = this.#authorities.get(apex);
      if (soa !== undefined) return soa;
    }
    return undefined;
  }

  /** Who gets a SRV asks for the addresses next (RFC 2782, "Usage rules"). */
  #addressesOf(records: readonly ResourceRecord[]): ResourceRecord[] {
    const targets = new Set(records.flatMap((record) => (record.type === 'SRV' ? [record.data.target] : [])));
    return [...targets].flatMap((target) =>
      (this.#names.get(target) ?? []).filter(({ type }) => type === 'A' || type === 'AAAA'),
    );
  }
}

function nothing(rcode: Rcode): Lookup {
  return { rcode, answers: [], authorities: [], additionals: [] };
}

/** ANY gets one of the types at the name (RFC 8482 §4.1). */
function wanted(type: string, here: readonly ResourceRecord[]): string {
  return type === 'ANY' ? (here[0]?.type ?? type) : type;
}

function* serviceRecords(service: Service, clusterDomain: string): Generator<ResourceRecord> {
  const { clusterIPs, endpoints, ports } = service;
  const ttl = clusterTtlSeconds;
  const name = serviceName(service, clusterDomain);
  // §2.3.1 and §2.3.3: addresses of the Service, and the way back.
  for (const address of clusterIPs) {
    yield addressRecord(name, address);
    yield { type: 'PTR', name: reverseName(address) ?? '', ttl, data: name };
  }
  // §2.4.1 and §2.4.3: each ready endpoint under the name of the Service, and under its own.
  const hosts = new Set<string>();
  for (const { hostname, address } of endpoints) {
    const host = `${hostname ?? addressLabel(address)}.${name}`;
    hosts.add(host);
    yield addressRecord(name, address);
    yield addressRecord(host, address);
    if (hostname !== undefined) yield { type: 'PTR', name: reverseName(address) ?? '', ttl, data: host };
  }
  // §2.3.2 and §2.4.2: named ports, towards the Service or each endpoint. An equal weight, as CoreDNS gives.
  const targets = hosts.size > 0 ? [...hosts] : [name];
  for (const { name: portName, port, protocol } of ports) {
    if (portName === undefined) continue;
    const weight = Math.max(1, Math.floor(100 / targets.length));
    for (const target of targets) {
      const data = { priority: 0, weight, port, target };
      yield { type: 'SRV', name: `_${portName}._${protocol.toLowerCase()}.${name}`, ttl, data };
    }
  }
}

function serviceName({ namespace, name }: Service, clusterDomain: string): string {
  return `${name}.${namespace}.svc.${clusterDomain}`;
}

/** The name of an endpoint without a hostname, as CoreDNS makes it: a label neither begins nor ends with a hyphen. */
function addressLabel(address: string): string {
  return canonicalAddress(address).replaceAll(/[.:]/g, '-').replace(/^-/, '0-').replace(/-$/, '-0');
}

function addressRecord(name: string, address: string): ResourceRecord {
  return { type: isIPv4(address) ? 'A' : 'AAAA', name, ttl: clusterTtlSeconds, data: address };
}

/** A /16 of IPv4, a /64 of IPv6: wide enough for a cluster's ranges, narrow enough to claim nobody else's addresses. */
function reverseZone(name: string): string {
  return name
    .split('.')
    .slice(name.endsWith('.in-addr.arpa') ? 2 : 16)
    .join('.');
}

/** The zone of a name outside the cluster: its last two labels. */
function parentZone(name: string): string {
  return name.split('.').slice(-2).join('.');
}
