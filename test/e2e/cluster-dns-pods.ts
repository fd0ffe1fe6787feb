/** CoreDNS as clusters have it: pods behind the Service kube-dns. */
import { clusterDnsAccess, clusterDnsServiceAddress, everyName } from '../cluster/cluster-dns.ts';
import { answerOf } from '../datapath/lab.ts';
import { addresses } from '../datapath/network.ts';

const name = 'coredns';
const namespace = 'kube-system';
export const clusterDnsDeployment = `${namespace}/${name}`;

/** It caches nothing, so that what is answered from a cache is answered from the agent's. */
const corefile = `.:53 {
  errors
  ready
  prometheus
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods insecure
    ttl 30
  }
  forward . ${addresses.nodeResolver.v4}
}
example:53 {
  ${everyName(answerOf.clusterDns)}
}
brief.example:53 {
  ${everyName(answerOf.clusterDns, 1)}
}
`;

export function clusterDnsObjects(image: string, replicas: number): object[] {
  const labels = { 'k8s-app': 'kube-dns' };
  const ports = ['UDP', 'TCP'].map((protocol) => ({ name: `dns-${protocol.toLowerCase()}`, protocol }));
  const container = {
    ...{ name, image, imagePullPolicy: 'Never', args: ['-conf', '/etc/coredns/Corefile'] },
    ports: ports.map((port) => ({ ...port, containerPort: 53 })),
    readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 1 },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] },
    },
    volumeMounts: [{ name: 'config', mountPath: '/etc/coredns', readOnly: true }],
  };
  const spec = {
    ...{ serviceAccountName: name, dnsPolicy: 'Default', terminationGracePeriodSeconds: 5 },
    // One on each node, where there are several.
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: labels },
      },
    ],
    containers: [container],
    volumes: [{ name: 'config', configMap: { name } }],
  };
  return [
    ...clusterDnsAccess,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data: { Corefile: corefile } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace, labels },
      spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace, labels },
      spec: {
        clusterIP: clusterDnsServiceAddress,
        selector: labels,
        ports: ports.map((port) => ({ ...port, port: 53 })),
      },
    },
  ];
}
