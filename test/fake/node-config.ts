import type { NodeConfig, ServerBlockConfig } from '../../api/v1alpha1/node-config.ts';

/** A root zone as the product fills it in, towards cluster DNS; `fields` replace what a test is about. */
export function sampleBlock(fields: Partial<ServerBlockConfig> = {}): ServerBlockConfig {
  return {
    zone: '.',
    queryLogging: 'Error',
    protocol: 'PreferUDP',
    forwardDestination: 'ClusterCoreDNS',
    forwardPolicy: 'Sequential',
    maxConcurrent: 1000,
    cacheDurationInSeconds: 3600,
    negativeCacheDurationInSeconds: 30,
    serveStaleDurationInSeconds: 3600,
    serveStale: 'Immediate',
    ...fields,
  };
}

/** A whole configuration of one listener and one block. */
export function sampleConfig(fields: Partial<NodeConfig> = {}): NodeConfig {
  return {
    formatVersion: 1,
    clusterDomain: 'cluster.local',
    clusterDNS: { namespace: 'kube-system', service: 'kube-dns', addresses: ['10.96.0.10'] },
    listeners: [
      { name: 'cluster', addresses: ['169.254.10.11'], intercept: true, tracked: false, serverBlocks: [sampleBlock()] },
    ],
    upstreams: [],
    ...fields,
  };
}
