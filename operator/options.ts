import { parseArgs } from 'node:util';
import { defaultLeaseTiming, type LeaseTiming } from './lease.ts';
import type { ServiceName } from './profile/cluster-dns.ts';

export type LogLevel = (typeof logLevels)[number];
const logLevels = ['debug', 'info', 'warn', 'error'] as const;

export interface MetricsAddress {
  /** Undefined: every address that there is, of both families where the kernel knows both. */
  readonly host: string | undefined;
  readonly port: number;
}

export interface OperatorOptions {
  /** Undefined: KUBECONFIG, the pod's ServiceAccount, or ~/.kube/config. */
  readonly kubeconfig: string | undefined;
  /** Undefined: found by its label in kube-system. */
  readonly clusterDnsService: ServiceName | undefined;
  /** Whether NetworkPolicies that keep pods from the agents are looked for. */
  readonly networkPolicies: boolean;
  readonly metrics: MetricsAddress;
  /** Where the operator's own objects live. */
  readonly namespace: string;
  readonly lease: LeaseTiming;
  /** But for the Lease, which waits behind nothing. */
  readonly writesPerSecond: number;
  readonly logLevel: LogLevel;
  /** Not to serve: to take every node out of service, and end. */
  readonly withdraw: boolean;
  /** The Deployment of those that serve, which end before; undefined where there is none. */
  readonly deployment: string | undefined;
}

export const operatorUsage = `Usage: localdns operator [options]

Turns LocalDnsProfiles into one LocalDnsNode for each node they select, and reports.

  --kubeconfig FILE                     the cluster to run against (default: KUBECONFIG, the pod's
                                        ServiceAccount, ~/.kube/config)
  --cluster-dns-service NAMESPACE/NAME  the cluster DNS Service (default: the one labelled
                                        k8s-app=kube-dns in kube-system)
  --check-network-policies              find NetworkPolicies that keep pods from the agents
  --metrics ADDRESS:PORT                where /metrics, /healthz and /readyz are served
                                        (default: port 9354 of every address, IPv4 and IPv6)
  --namespace NAMESPACE                 where the operator's own objects live, the Lease among them
                                        (default: POD_NAMESPACE, else localdns-system)
  --lease-duration SECONDS              how long a Lease that nobody renews stands (default: 15)
  --lease-renew-deadline SECONDS        how long after its last renewal a leader acts (default: 10)
  --lease-retry SECONDS                 how often a leader renews (default: 2)
  --kube-api-qps WRITES                 so many writes a second at most (default: 100)
  --withdraw                            serve nobody: take every node out of service, and end
                                        (what \`helm uninstall\` runs first)
  --deployment NAME                     with --withdraw: the Deployment of operators that is scaled
                                        to 0 before
  --log-level LEVEL                     ${logLevels.join(', ')} (default: info)
  -h, --help                            this text
`;

export type ParsedOptions =
  | { readonly kind: 'options'; readonly options: OperatorOptions }
  | { readonly kind: 'help' }
  /** One line that names the option and what it may be. */
  | { readonly kind: 'error'; readonly message: string };

/** Reads the command line once; the result is frozen. Never throws. */
export function parseOperatorOptions(argv: readonly string[], env: NodeJS.ProcessEnv = {}): ParsedOptions {
  let values: { [name: string]: string | boolean | undefined };
  try {
    ({ values } = parseArgs({
      args: [...argv],
      strict: true,
      options: {
        kubeconfig: { type: 'string' },
        'cluster-dns-service': { type: 'string' },
        'check-network-policies': { type: 'boolean' },
        metrics: { type: 'string' },
        namespace: { type: 'string', default: env.POD_NAMESPACE || 'localdns-system' },
        'lease-duration': { type: 'string', default: `${defaultLeaseTiming.durationMs / 1000}` },
        'lease-renew-deadline': { type: 'string', default: `${defaultLeaseTiming.renewDeadlineMs / 1000}` },
        'lease-retry': { type: 'string', default: `${defaultLeaseTiming.retryMs / 1000}` },
        'kube-api-qps': { type: 'string', default: '100' },
        withdraw: { type: 'boolean' },
        deployment: { type: 'string' },
        'log-level': { type: 'string', default: 'info' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (error) {
    return { kind: 'error', message: (error as Error).message.split('\n')[0] ?? '' };
  }
  if (values.help === true) return { kind: 'help' };

  const service = text(values['cluster-dns-service']);
  const clusterDnsService = service === undefined ? undefined : serviceName(service);
  if (service !== undefined && clusterDnsService === undefined) {
    return {
      kind: 'error',
      message: `--cluster-dns-service ${service}: must be NAMESPACE/NAME, such as kube-system/kube-dns`,
    };
  }
  const given = text(values.metrics);
  // Kubelet asks a pod at its first address, which may be of either family: 0.0.0.0 would not be asked in a cluster of IPv6.
  const metrics = given === undefined ? { host: undefined, port: 9_354 } : hostAndPort(given);
  if (metrics === undefined) {
    return {
      kind: 'error',
      message: `--metrics ${values.metrics}: must be ADDRESS:PORT, such as 0.0.0.0:9354 or [::]:9354`,
    };
  }
  const namespace = text(values.namespace) ?? '';
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace)) {
    return { kind: 'error', message: `--namespace ${namespace}: must be the name of a namespace` };
  }
  const withdraw = values.withdraw === true;
  const deployment = text(values.deployment);
  if (deployment !== undefined && !withdraw) {
    return { kind: 'error', message: `--deployment ${deployment}: only with --withdraw` };
  }
  const lease = leaseTiming(values);
  if ('message' in lease) return { kind: 'error', message: lease.message };
  const writesPerSecond = Number(text(values['kube-api-qps']) || Number.NaN);
  if (!(writesPerSecond >= 1 && writesPerSecond <= 10_000)) {
    return { kind: 'error', message: `--kube-api-qps ${values['kube-api-qps']}: must be a number from 1 to 10000` };
  }
  const logLevel = logLevels.find((level) => level === values['log-level']);
  if (logLevel === undefined) {
    return { kind: 'error', message: `--log-level ${values['log-level']}: must be one of ${logLevels.join(', ')}` };
  }
  return {
    kind: 'options',
    options: Object.freeze({
      kubeconfig: text(values.kubeconfig),
      clusterDnsService,
      networkPolicies: values['check-network-policies'] === true,
      metrics,
      namespace,
      lease,
      writesPerSecond,
      logLevel,
      withdraw,
      deployment,
    }),
  };
}

function text(value: string | boolean | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function serviceName(value: string): ServiceName | undefined {
  const match = /^([a-z0-9-]+)\/([a-z0-9-]+)$/.exec(value);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { namespace: match[1], name: match[2] };
}

/** In the order that leaves a leader room: it tries to renew several times, and has stopped well before another begins. */
function leaseTiming(values: { [name: string]: string | boolean | undefined }): LeaseTiming | { message: string } {
  const given = ['lease-duration', 'lease-renew-deadline', 'lease-retry'].map((name) => ({
    flag: `--${name} ${values[name]}`,
    seconds: Number(values[name]),
  }));
  for (const { flag, seconds } of given) {
    if (!(seconds > 0 && seconds <= 3_600)) return { message: `${flag}: must be a number of seconds, such as 2` };
  }
  const [duration, deadline, retry] = given as [(typeof given)[0], (typeof given)[0], (typeof given)[0]];
  if (!Number.isInteger(duration.seconds)) return { message: `${duration.flag}: must be whole seconds` };
  if (duration.seconds < deadline.seconds + 1) {
    return { message: `${duration.flag}: must be at least a second more than --lease-renew-deadline` };
  }
  if (deadline.seconds < 2 * retry.seconds) {
    return { message: `${deadline.flag}: must be at least twice --lease-retry` };
  }
  return {
    durationMs: duration.seconds * 1000,
    renewDeadlineMs: deadline.seconds * 1000,
    retryMs: retry.seconds * 1000,
  };
}

function hostAndPort(value: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(value);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}
