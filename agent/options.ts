/** The agent's options, read once. */
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { formatEndpoint, parseEndpoint } from '../api/v1alpha1/address.ts';
import { type DatapathNames, datapathNameOptions, parseDatapathNames } from './datapath/names.ts';
import type { ListenAddress } from './listen/listener.ts';
import type { ListenAddresses } from './listen/listeners.ts';

export interface AgentOptions {
  /** Stand-alone: the profile file; undefined in a cluster. */
  readonly profile: string | undefined;
  readonly nodeName: string;
  readonly kubeconfig: string | undefined;
  /** Replace the addresses that the configuration names. */
  readonly listen: ListenAddresses;
  /** `ip:port` each; where given, EndpointSlices are not followed. */
  readonly clusterDns: readonly string[] | undefined;
  /** Stand-alone: start a cluster DNS inside, from this file of Services where it is named. */
  readonly embedded: { services: string | undefined } | undefined;
  /** `ip:port` each; where given, resolv.conf is not followed. */
  readonly nodeDns: readonly string[] | undefined;
  readonly metrics: ListenAddress;
  /** Where the cache is kept, and in a cluster the last good configuration. */
  readonly stateDir: string;
  /** Several stand-alone agents may run side by side: one has a folder of its own only where it is given one. */
  readonly keepsState: boolean;
  /** Undefined: /etc/resolv.conf, or systemd-resolved's own list where that names only its stub. */
  readonly resolvConf: string | undefined;
  /** Exists while the agent serves; what a readiness probe looks at. */
  readonly readyFile: string | undefined;
  readonly logLevel: 'info' | 'warn' | 'error';
  /** Say what the node can and cannot do, in this form, and end; undefined: serve. */
  readonly preflight: 'text' | 'json' | undefined;
  /** Whether queries are led to the listeners that no option has given an address. */
  readonly datapath: boolean;
  /** Of rules, marks and routes. */
  readonly names: DatapathNames;
}

export class OptionError extends Error {}

const metricsPort = 9353;
export const usualStateDir = '/var/lib/localdns';

/** Throws an {@link OptionError} that names the option. */
export function parseAgentOptions(argv: readonly string[], env: NodeJS.ProcessEnv): AgentOptions {
  const values = optionsOf(argv, env);
  const standalone = values.profile !== undefined;
  const nodeName = values['node-name'] ?? env.NODE_NAME ?? (standalone ? hostname() : undefined);
  // The preflight looks at the machine, whatever its name.
  if (!values.preflight && (nodeName === undefined || nodeName === '')) {
    throw new OptionError('give --profile FILE to run stand-alone, or --node-name (or NODE_NAME) to run in a cluster');
  }
  const clusterDns = values['cluster-dns'];
  const embedded = clusterDns === undefined ? null : /^embedded(?::(.+))?$/.exec(clusterDns);
  if (embedded && !standalone) throw new OptionError('--cluster-dns embedded needs --profile: it is for trying out');
  const logLevel = values['log-level'] ?? 'info';
  if (logLevel !== 'info' && logLevel !== 'warn' && logLevel !== 'error') {
    throw new OptionError(`--log-level ${logLevel}: use info, warn or error`);
  }
  const output = values.output ?? 'text';
  if (output !== 'text' && output !== 'json') throw new OptionError(`--output ${output}: use text or json`);
  if (values.output !== undefined && !values.preflight) throw new OptionError('--output goes with --preflight');
  const named = parseDatapathNames(values);
  if ('error' in named) throw new OptionError(named.error);
  return Object.freeze({
    profile: values.profile,
    nodeName: nodeName ?? '',
    kubeconfig: values.kubeconfig ?? env.KUBECONFIG,
    listen: {
      ...(values['listen-cluster'] && {
        cluster: values['listen-cluster'].map((text) => listenAddress('--listen-cluster', text)),
      }),
      ...(values['listen-node'] && { node: values['listen-node'].map((text) => listenAddress('--listen-node', text)) }),
    },
    clusterDns: clusterDns === undefined || embedded ? undefined : servers('--cluster-dns', clusterDns),
    embedded: embedded ? { services: embedded[1] } : undefined,
    nodeDns: values['node-dns'] === undefined ? undefined : servers('--node-dns', values['node-dns']),
    metrics: listenAddress(
      '--metrics',
      values.metrics ??
        formatEndpoint({
          address: (!standalone && env.HOST_IP) || '127.0.0.1',
          port: portOf(values['metrics-port']),
        }),
    ),
    stateDir: values['state-dir'] ?? usualStateDir,
    keepsState: !standalone || values['state-dir'] !== undefined,
    resolvConf: values['resolv-conf'],
    readyFile: values['ready-file'],
    logLevel,
    preflight: values.preflight ? output : undefined,
    datapath: !values['no-datapath'],
    names: named.names,
  });
}

/**
 * The preflight takes the options of the agent in whose pod it runs, which that pod tells in AGENT_OPTIONS: it would judge other marks and
 * tables than those that the agent uses. What is given with it wins.
 */
function optionsOf(argv: readonly string[], { AGENT_OPTIONS }: NodeJS.ProcessEnv): ReturnType<typeof parse> {
  const given = parse(argv);
  if (!given.preflight || AGENT_OPTIONS === undefined) return given;
  return { ...parse(AGENT_OPTIONS.split(' ').filter((word) => word !== '')), ...given };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        profile: { type: 'string' },
        'node-name': { type: 'string' },
        kubeconfig: { type: 'string' },
        'listen-cluster': { type: 'string', multiple: true },
        'listen-node': { type: 'string', multiple: true },
        'cluster-dns': { type: 'string' },
        'node-dns': { type: 'string' },
        metrics: { type: 'string' },
        'metrics-port': { type: 'string' },
        'state-dir': { type: 'string' },
        'resolv-conf': { type: 'string' },
        'ready-file': { type: 'string' },
        'log-level': { type: 'string' },
        preflight: { type: 'boolean' },
        output: { type: 'string', short: 'o' },
        'no-datapath': { type: 'boolean' },
        ...datapathNameOptions,
      },
    }).values;
  } catch (error) {
    throw new OptionError((error as Error).message);
  }
}

/** `127.0.0.1:1053`; port 0 asks the system for one. */
function listenAddress(option: string, text: string): ListenAddress {
  const address = parseEndpoint(text.replace(/:0$/, ':1'));
  if (address === undefined || !/^(\[.*\]|[^:]+):\d+$/.test(text)) {
    throw new OptionError(`${option} ${text}: write an IP address and a port, such as 127.0.0.1:1053`);
  }
  return text.endsWith(':0') ? { ...address, port: 0 } : address;
}

function portOf(text: string | undefined): number {
  if (text === undefined) return metricsPort;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new OptionError(`--metrics-port ${text}: write a number from 1 to 65535`);
  return port;
}

function servers(option: string, list: string): string[] {
  return list.split(',').map((text) => {
    const server = parseEndpoint(text.trim());
    if (server === undefined) {
      throw new OptionError(
        `${option} ${text}: write IP addresses with an optional port, such as 10.96.0.10,10.96.0.11:53`,
      );
    }
    return formatEndpoint(server);
  });
}
