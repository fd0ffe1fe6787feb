/**
 * Every foreign program that the cluster tests start, and the exact version of it.
 *
 * All of them are Go programs, and all are built from their published modules: one package registry is then enough for
 * everything, and a machine that reaches it needs no download page, no container registry and no architecture table.
 * Debian's own etcd (3.4) is too old: today's API server asks it for streaming lists, which it refuses.
 */
export const versions = {
  kubernetes: 'v1.34.4',
  etcd: 'v3.6.7',
  coredns: 'v1.14.0',
  helm: 'v3.22.0',
  kwok: 'v0.8.0',
} as const;

export type ToolName =
  | 'etcd'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'kubelet'
  | 'kube-proxy'
  | 'kubectl'
  | 'coredns'
  | 'helm'
  | 'kwok';

export interface Tool {
  name: ToolName;
  /** The Go module that must be fetched, and the main package in it. */
  module: string;
  package: string;
  version: string;
  /** How the package is reached: `go install` refuses a module whose go.mod holds `replace` lines, as these two do. */
  through: 'install' | 'kubernetes' | 'etcd';
  /** Values that the project's own Makefile writes into the program; without them it reports an empty version. */
  stamps: Record<string, string>;
}

/** Kubernetes v1.X.Y publishes its staging modules (k8s.io/api, …) as v0.X.Y. */
export const stagingVersion = versions.kubernetes.replace(/^v1\./, 'v0.');

const [, kubernetesMinor = ''] = versions.kubernetes.split('.');

function kubernetes(name: ToolName): Tool {
  return {
    name,
    module: 'k8s.io/kubernetes',
    package: `k8s.io/kubernetes/cmd/${name}`,
    version: versions.kubernetes,
    through: 'kubernetes',
    stamps: {
      'k8s.io/component-base/version.gitVersion': versions.kubernetes,
      'k8s.io/component-base/version.gitMajor': '1',
      'k8s.io/component-base/version.gitMinor': kubernetesMinor,
      'k8s.io/client-go/pkg/version.gitVersion': versions.kubernetes,
    },
  };
}

/** In the order in which they are built: what the most tests need comes first. */
export const tools: readonly Tool[] = [
  kubernetes('kube-apiserver'),
  kubernetes('kubectl'),
  {
    name: 'etcd',
    module: 'go.etcd.io/etcd/server/v3',
    package: 'go.etcd.io/etcd/server/v3',
    version: versions.etcd,
    through: 'etcd',
    stamps: {},
  },
  {
    name: 'coredns',
    module: 'github.com/coredns/coredns',
    package: 'github.com/coredns/coredns',
    version: versions.coredns,
    through: 'install',
    stamps: {},
  },
  {
    name: 'helm',
    module: 'helm.sh/helm/v3',
    package: 'helm.sh/helm/v3/cmd/helm',
    version: versions.helm,
    through: 'install',
    // The cluster version that `helm template` and `helm lint` assume; unset, they assume one from 2020.
    stamps: {
      'helm.sh/helm/v3/internal/version.version': versions.helm,
      'helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor': '1',
      'helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor': kubernetesMinor,
      'helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor': '1',
      'helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor': kubernetesMinor,
    },
  },
  kubernetes('kube-controller-manager'),
  kubernetes('kube-scheduler'),
  kubernetes('kubelet'),
  kubernetes('kube-proxy'),
  {
    name: 'kwok',
    module: 'sigs.k8s.io/kwok',
    package: 'sigs.k8s.io/kwok/cmd/kwok',
    version: versions.kwok,
    through: 'install',
    stamps: { 'sigs.k8s.io/kwok/pkg/consts.Version': versions.kwok },
  },
];

/** What a finished binary is remembered by: a change in any part of it means that it must be built again. */
export function fingerprint(tool: Tool): string {
  const stamps = Object.entries(tool.stamps).map(([symbol, value]) => `${symbol}=${value}`);
  return [`${tool.package}@${tool.version}`, ...stamps].join('\n');
}
