/** Group, version, labels and field managers: their only home. */

export const group = 'localdns.dev';
export const version = 'v1alpha1';
export const apiVersion = `${group}/${version}`;

export const profileKind = { kind: 'LocalDnsProfile', plural: 'localdnsprofiles', shortName: 'ldp' } as const;
export const nodeKind = { kind: 'LocalDnsNode', plural: 'localdnsnodes', shortName: 'ldn' } as const;

/** On a Node: the name of the profile that serves it, or `none`. Set by people and by node pools; wins over selectors. */
export const profileLabel = `${group}/profile`;
/** The value of {@link profileLabel} that opts a node out; no profile may bear this name. */
export const optOut = 'none';

/** On a ControllerRevision, beside {@link profileLabel}: whose it is, by uid. */
export const profileUidLabel = `${group}/profile-uid`;

/** On a Node: set by the operator on each node it serves; the agent's DaemonSet selects on it. */
export const stateLabel = `${group}/state`;
export const stateEnabled = 'enabled';

/** On a LocalDnsProfile that nodes may be served by: it stays until they are served by it no more. */
export const drainFinalizer = `${group}/drain`;

/** Server-side apply field managers (Kubernetes API: "Server-Side Apply, Managers"). */
export const operatorManager = 'localdns-operator';
export const agentManager = 'localdns-agent';

/** The label by which clusters mark their DNS Service, whatever its name. */
export const clusterDnsLabel = { key: 'k8s-app', value: 'kube-dns' } as const;
/** The label that ties an EndpointSlice to its Service (Kubernetes API: discovery.k8s.io/v1). */
export const serviceNameLabel = 'kubernetes.io/service-name';
