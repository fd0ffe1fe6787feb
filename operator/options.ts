import { parseArgs } from 'node:util';
import type { ServiceName } from './profile/cluster-dns.ts';

export type LogLevel = (typeof logLevels)[number];
const logLevels = ['debug', 'info', 'warn', 'error'] as const;

export interface OperatorOptions {
  /** Undefined: KUBECONFIG, the pod's ServiceAccount, or ~/.kube/config. */
  readonly kubeconfig: string | undefined;
  /** Undefined: found by its label in kube-system. */
  readonly clusterDnsService: ServiceName | undefined;
  readonly metrics: { readonly host: string; readonly port: number };
  readonly logLevel: LogLevel;
}

export const operatorUsage = `Usage: localdns operator [options]

Turns LocalDnsProfiles into one LocalDnsNode for each node they select, and reports.

  --kubeconfig FILE                     the cluster to run against (default: KUBECONFIG, the pod's
                                        ServiceAccount, ~/.kube/config)
  --cluster-dns-service NAMESPACE/NAME  the cluster DNS Service (default: the one labelled
                                        k8s-app=kube-dns in kube-system)
  --metrics ADDRESS:PORT                where /metrics, /healthz and /readyz are served
                                        (default: 0.0.0.0:9354)
  --log-level LEVEL                     ${logLevels.join(', ')} (default: info)
  -h, --help                            this text
`;

export type ParsedOptions =
  | { readonly kind: 'options'; readonly options: OperatorOptions }
  | { readonly kind: 'help' }
  /** One line that names the option and what it may be. */
  | { readonly kind: 'error'; readonly message: string };

/** Reads the command line once; the result is frozen. Never throws. */
export function parseOperatorOptions(argv: readonly string[]): ParsedOptions {
  let values: { [name: string]: string | boolean | undefined };
  try {
    ({ values } = parseArgs({
      args: [...argv],
      strict: true,
      options: {
        kubeconfig: { type: 'string' },
        'cluster-dns-service': { type: 'string' },
        metrics: { type: 'string', default: '0.0.0.0:9354' },
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
  const metrics = hostAndPort(text(values.metrics) ?? '');
  if (metrics === undefined) {
    return {
      kind: 'error',
      message: `--metrics ${values.metrics}: must be ADDRESS:PORT, such as 0.0.0.0:9354 or [::]:9354`,
    };
  }
  const logLevel = logLevels.find((level) => level === values['log-level']);
  if (logLevel === undefined) {
    return { kind: 'error', message: `--log-level ${values['log-level']}: must be one of ${logLevels.join(', ')}` };
  }
  return {
    kind: 'options',
    options: Object.freeze({ kubeconfig: text(values.kubeconfig), clusterDnsService, metrics, logLevel }),
  };
}

function text(value: string | boolean | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function serviceName(value: string): ServiceName | undefined {
  const match = /^([a-z0-9-]+)\/([a-z0-9-]+)$/.exec(value);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { namespace: match[1], name: match[2] };
}

function hostAndPort(value: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(value);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}
