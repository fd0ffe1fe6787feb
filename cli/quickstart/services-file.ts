/**
 * What the embedded cluster DNS answers from: a list of Services as the Kubernetes API knows them, cut down to what DNS
 * needs, and records of names outside the cluster.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { dnsLabelPattern, domainNamePattern, z } from '../../api/v1alpha1/schema.ts';

const label = z
  .string()
  .regex(new RegExp(dnsLabelPattern), 'must be lower-case letters, digits and hyphens, at most 63');
const ipAddress = z.string().refine((text) => isIP(text) !== 0, 'must be an IP address');

const port = z.strictObject({
  /** Only a named port has SRV records. */
  name: label.max(15).optional(),
  port: z.int().min(1).max(65_535),
  protocol: z.enum(['TCP', 'UDP', 'SCTP']).default('TCP'),
});

const service = z
  .strictObject({
    namespace: label,
    name: label,
    clusterIP: ipAddress.optional(),
    /** Both families of a dual-stack Service. */
    clusterIPs: z.array(ipAddress).min(1).max(2).optional(),
    /** The ready endpoints of a headless Service. */
    endpoints: z.array(z.strictObject({ hostname: label.optional(), address: ipAddress })).optional(),
    ports: z.array(port).default([]),
  })
  .refine(
    ({ clusterIP, clusterIPs, endpoints }) =>
      [clusterIP, clusterIPs, endpoints].filter((given) => given !== undefined).length === 1,
    'give one of clusterIP, clusterIPs, and endpoints, which makes it headless',
  );

const valueRules = {
  A: { fits: isIPv4, message: 'must be an IPv4 address' },
  AAAA: { fits: isIPv6, message: 'must be an IPv6 address' },
  CNAME: {
    fits: (text: string) => new RegExp(domainNamePattern).test(text),
    message: 'must be a lower-case domain name without a trailing dot',
  },
  TXT: { fits: (text: string) => Buffer.byteLength(text) <= 255, message: 'must be at most 255 octets' },
};

const recordSet = z
  .strictObject({
    name: z
      .string()
      .max(253)
      .regex(new RegExp(domainNamePattern), 'must be a lower-case domain name without a trailing dot'),
    type: z.enum(['A', 'AAAA', 'CNAME', 'TXT']),
    ttlSeconds: z.int().min(0).max(2_147_483_647).default(30),
    values: z.array(z.string()).min(1),
  })
  .superRefine(({ type, values }, context) => {
    for (const [at, value] of values.entries()) {
      if (!valueRules[type].fits(value)) {
        context.addIssue({ code: 'custom', path: ['values', at], message: valueRules[type].message });
      }
    }
    if (type === 'CNAME' && values.length > 1) {
      context.addIssue({ code: 'custom', path: ['values'], message: 'a name can be an alias of one name only' });
    }
  });

const servicesFile = z
  .strictObject({ services: z.array(service).default([]), records: z.array(recordSet).default([]) })
  .superRefine(({ services, records }, context) => {
    for (const [at, { name, type }] of records.entries()) {
      const other = records.findIndex((record) => record.name === name);
      if (other < at && (type === 'CNAME' || records[other]?.type === 'CNAME')) {
        const message = `an alias must be alone at its name (RFC 1034 §3.6.2), and records[${other}] is there`;
        context.addIssue({ code: 'custom', path: ['records', at], message });
      }
    }
    for (const [at, { namespace, name }] of services.entries()) {
      const other = services.findIndex((service) => service.namespace === namespace && service.name === name);
      if (other < at) {
        const message = `${namespace}/${name} stands in services[${other}] already`;
        context.addIssue({ code: 'custom', path: ['services', at], message });
      }
    }
  });

export type ServicePort = z.output<typeof port>;
export type RecordSet = z.output<typeof recordSet>;

/** Headless where it has endpoints in place of cluster IPs. */
export interface Service {
  namespace: string;
  name: string;
  clusterIPs: string[];
  endpoints: { hostname?: string | undefined; address: string }[];
  ports: ServicePort[];
}

export interface ServiceList {
  services: Service[];
  records: RecordSet[];
}

/** The list from the contents of a file, or every error, each in one line with its path: `services[0].clusterIP: …`. */
export function parseServices(contents: unknown): { list: ServiceList } | { errors: string[] } {
  const parsed = servicesFile.safeParse(contents ?? {});
  if (!parsed.success) return { errors: parsed.error.issues.map(formatIssue) };
  const services = parsed.data.services.map(({ namespace, name, clusterIP, clusterIPs, endpoints, ports }) => ({
    namespace,
    name,
    clusterIPs: clusterIPs ?? (clusterIP === undefined ? [] : [clusterIP]),
    endpoints: endpoints ?? [],
    ports,
  }));
  return { list: { services, records: parsed.data.records } };
}

function formatIssue({ path, message }: { path: PropertyKey[]; message: string }): string {
  const field = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return field === '' ? message : `${field.replace(/^\./, '')}: ${message}`;
}

/** What every cluster has, and one Service to play with: served where no file is given. */
export function defaultServices(): ServiceList {
  const tcp = (name: string, port: number): ServicePort => ({ name, port, protocol: 'TCP' });
  return {
    services: [
      {
        namespace: 'default',
        name: 'kubernetes',
        clusterIPs: ['10.96.0.1'],
        endpoints: [],
        ports: [tcp('https', 443)],
      },
      {
        namespace: 'kube-system',
        name: 'kube-dns',
        clusterIPs: ['10.96.0.10'],
        endpoints: [],
        ports: [{ name: 'dns', port: 53, protocol: 'UDP' }, tcp('dns-tcp', 53)],
      },
      { namespace: 'demo', name: 'web', clusterIPs: ['10.96.12.34'], endpoints: [], ports: [tcp('http', 80)] },
    ],
    records: [],
  };
}
