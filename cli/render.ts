import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { canonicalAddress } from '../api/v1alpha1/address.ts';
import { optOut, profileLabel } from '../api/v1alpha1/labels.ts';
import type { ServiceRef } from '../api/v1alpha1/local-answers.ts';
import { type NodeConfig, revisionOf } from '../api/v1alpha1/node-config.ts';
import type { LocalDnsProfile } from '../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../api/v1alpha1/profile-defaults.ts';
import { type ServiceTarget, settleParts } from '../api/v1alpha1/profile-parts.ts';
import { formatFieldError } from '../api/v1alpha1/profile-validation.ts';
import { conventional } from '../operator/profile/cluster-dns.ts';
import { isLinux, type NodeFacts, nodeFacts, profileLabelOf } from '../operator/profile/facts.ts';
import { clusterRanges } from '../operator/profile/ranges.ts';
import { renderNodeConfig } from '../operator/profile/render.ts';
import { select } from '../operator/profile/select.ts';
import { exitCode, UsageError } from './command.ts';
import { formatManifest, parseDocument, readText } from './manifest.ts';
import { fileLabel, readProfileFile } from './profile-file.ts';

export const usage = `Usage: localdns render -f PROFILE --node NODE.yaml [options]

Prints the configuration that a node gets from a profile, as the operator would write it. Asks no cluster.

  -f, --file PROFILE         the LocalDnsProfile, YAML or JSON; - reads standard input
  --node NODE.yaml           the Node, as 'kubectl get node NAME -o yaml' prints it
  --cluster-dns ADDRESS,...  addresses of the cluster DNS Service
  --service NAMESPACE/NAME=ADDRESS,...  addresses of a Service that a redirect leads to; may repeat
  -o, --output yaml|json     the form (yaml)

Exit code: 0 where it is printed, 1 where the profile is invalid or does not serve the node, 2 where a file cannot be read.
`;

export async function run(argv: string[]): Promise<number> {
  const { file, nodeFile, addresses, services, output } = parseOptions(argv);
  const [read, node] = [await readProfileFile(file), await readNode(nodeFile)];
  if ('unreadable' in read) return complain([read.unreadable], exitCode.couldNotRun);
  if ('invalid' in read) return complain(read.invalid, exitCode.foundWrong);
  if ('errors' in node) return complain(node.errors, exitCode.couldNotRun);

  const { profile } = read;
  const reason = whyNotServed(profile, node);
  const title = `profile ${profile.metadata.name}`;
  if (reason !== undefined) {
    return complain([`${title} does not serve node ${node.name}: ${reason}`], exitCode.foundWrong);
  }
  const clusterDns = { namespace: conventional.namespace, service: conventional.name, addresses };
  const settled = settleParts(profile.spec, (ref) => services.get(`${ref.namespace}/${ref.name}`) ?? notGiven(ref));
  if (settled.kind !== 'settled') {
    return complain(settled.kind === 'refused' ? settled.errors.map(formatFieldError) : [], exitCode.foundWrong);
  }
  complain(
    settled.leftOut.map((error) => `left out: ${formatFieldError(error)}`),
    exitCode.good,
  );
  const config = renderNodeConfig(defaultProfileSpec(settled.spec), clusterDns, clusterRanges([], [node], addresses));
  process.stdout.write(format(config, output, `# node ${node.name}, ${title}, revision ${revisionOf(config)}`));
  return exitCode.good;
}

function parseOptions(argv: string[]) {
  const { values } = parseArgs({
    args: argv,
    options: {
      file: { type: 'string', short: 'f' },
      node: { type: 'string' },
      'cluster-dns': { type: 'string', default: '' },
      service: { type: 'string', multiple: true, default: [] },
      output: { type: 'string', short: 'o', default: 'yaml' },
    },
  });
  const { file, node: nodeFile, output } = values;
  if (file === undefined) throw new UsageError('-f PROFILE is missing: which profile shall be rendered?');
  if (nodeFile === undefined) throw new UsageError('--node NODE.yaml is missing: for which node?');
  if (file === '-' && nodeFile === '-') throw new UsageError('-f and --node cannot both read standard input');
  if (output !== 'yaml' && output !== 'json') throw new UsageError(`--output is yaml or json: ${output}`);
  const addresses = addressesOf('--cluster-dns', values['cluster-dns']);
  return { file, nodeFile, output, addresses, services: new Map(values.service.map(serviceOf)) } as const;
}

function addressesOf(option: string, list: string): string[] {
  const addresses = list.split(',').filter((address) => address !== '');
  const bad = addresses.find((address) => isIP(address) === 0);
  if (bad !== undefined) throw new UsageError(`${option} takes IP addresses without a port: ${bad}`);
  return addresses.map(canonicalAddress);
}

function serviceOf(text: string): [string, ServiceTarget] {
  const [, name, list] = /^([^/=]+\/[^/=]+)=(.*)$/.exec(text) ?? [];
  if (name === undefined || list === undefined) {
    throw new UsageError(`--service takes NAMESPACE/NAME=ADDRESS,...: ${text}`);
  }
  return [name, { kind: 'addresses', addresses: addressesOf('--service', list) }];
}

function notGiven({ namespace, name }: ServiceRef): ServiceTarget {
  return { kind: 'unusable', reason: `no cluster is asked: give --service ${namespace}/${name}=ADDRESS,...` };
}

async function readNode(path: string): Promise<NodeFacts | { errors: string[] }> {
  const read = await readText(path);
  const label = fileLabel(path);
  return 'unreadable' in read
    ? { errors: [`${label}: ${read.unreadable}`] }
    : parseDocument(label, read.text, parseNode);
}

function parseNode(value: unknown): NodeFacts | { errors: string[] } {
  const { kind, metadata, spec } = (value ?? {}) as {
    kind?: unknown;
    metadata?: { name?: unknown; labels?: unknown };
    spec?: { podCIDRs?: unknown };
  };
  if (kind !== 'Node') return { errors: [`kind: a Node is expected, not ${JSON.stringify(kind)}`] };
  if (typeof metadata?.name !== 'string') return { errors: ['metadata.name: is required'] };
  const labels = Object.entries(metadata.labels ?? {});
  const bad = labels.find(([, label]) => typeof label !== 'string');
  if (bad !== undefined) return { errors: [`metadata.labels[${JSON.stringify(bad[0])}]: must be a string: quote it`] };
  const podCIDRs = Array.isArray(spec?.podCIDRs) ? spec.podCIDRs.filter((cidr) => typeof cidr === 'string') : [];
  return nodeFacts({ metadata: { name: metadata.name, labels: Object.fromEntries(labels) }, spec: { podCIDRs } });
}

function whyNotServed(profile: LocalDnsProfile, node: NodeFacts): string | undefined {
  const { mode, nodeSelector } = profile.spec;
  const choice = select([profile], [node]).choices.get(node.name);
  if (choice?.kind === 'profile') return mode === 'Disabled' ? 'its mode is Disabled' : undefined;
  if (!isLinux(node)) return 'only Linux nodes are served';
  const label = profileLabelOf(node);
  if (label === optOut) return `the node opted out by its label ${profileLabel}=${optOut}`;
  if (label !== undefined) return `the label ${profileLabel} of the node names ${label}`;
  if (nodeSelector === undefined) {
    return `it has no nodeSelector, and the node has no label ${profileLabel}=${profile.metadata.name}`;
  }
  return 'its nodeSelector does not match the labels of the node';
}

function format(config: NodeConfig, output: 'yaml' | 'json', title: string): string {
  return output === 'json' ? `${JSON.stringify(config, null, 2)}\n` : `${title}\n${formatManifest(config)}`;
}

function complain(lines: string[], code: number): number {
  for (const line of lines) console.error(line);
  return code;
}
