/**
 * Names that a pod's search path makes and that cluster DNS cannot have: with `ndots:5` a pod asks for
 * `api.example.com.NS.svc.cluster.local` and the like before it asks for the name that it means. What can exist below the
 * cluster domain is settled by the Kubernetes DNS specification (version 1.1.0, §2): below `svc` there are namespaces,
 * `service.ns`, `endpoint.service.ns` and `_port._proto.service.ns`; below `pod` namespaces and `address.ns`; beside these
 * `dns-version`, and `ns.dns`, by which CoreDNS names itself. CoreDNS takes underscores or leaves them, and up to two labels in front
 * of a pod's address: what it has is not ruled out either.
 */
import { labelsOf } from '../wire/name.ts';

/** How many labels there can be in front of each label that can stand right below the cluster domain. */
const depth: Readonly<Record<string, number>> = { svc: 3, pod: 4, 'dns-version': 0, dns: 1 };

/** Those that a port of a Service can have. */
const isProtocol = /^_?(tcp|udp|sctp)$/;

/**
 * The part of the name that rules it out: all names that end in it and have as many labels are ruled out with it. Undefined for a
 * name that can exist, or that is not below the domain. Both names in canonical wire form.
 */
export function ruledOutBy(name: string, domain: string): string | undefined {
  if (name.length <= domain.length || !name.endsWith(domain)) return undefined;
  const labels = labelsOf(name.slice(0, name.length - domain.length));
  if (labels === undefined) return undefined; // ends in the same octets, and not at the border of a label
  const top = labels.at(-1) as string;
  const inFront = labels.length - 1;
  const possible = depth[top];
  if (possible === undefined) return suffix(labels, 1, domain);
  if (inFront <= possible) return undefined;
  if (top === 'svc' && inFront === 4 && isProtocol.test(labels[1] as string)) return undefined;
  return suffix(labels, top === 'svc' || top === 'pod' ? 2 : 1, domain);
}

function suffix(labels: readonly string[], count: number, domain: string): string {
  const last = labels.slice(-count).map((label) => String.fromCharCode(label.length) + label);
  return last.join('') + domain;
}
