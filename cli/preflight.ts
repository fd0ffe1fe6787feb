/** `localdns agent --preflight`: what this node can and cannot do, for a person or a script; changes nothing. */
import { isDeepStrictEqual } from 'node:util';
import { LastGoodFile } from '../agent/config/last-good.ts';
import { resolvConfPath, resolversIn, standardPath, standsIn } from '../agent/config/resolv-conf.ts';
import { familyOf } from '../agent/datapath/family.ts';
import { NamesFile } from '../agent/datapath/names-file.ts';
import { planDatapath } from '../agent/datapath/plan.ts';
import { caughtAddresses, type NodeFacts, type Wanted, wantedOf } from '../agent/datapath/preflight/facts.ts';
import type { Finding } from '../agent/datapath/preflight/finding.ts';
import { gatherFacts } from '../agent/datapath/preflight/gather.ts';
import { clearance, preflight } from '../agent/datapath/preflight.ts';
import type { ListenerName } from '../agent/listen/listeners.ts';
import type { AgentOptions } from '../agent/options.ts';
import type { NodeConfig } from '../api/v1alpha1/node-config.ts';
import type { ProfileSpec } from '../api/v1alpha1/profile.ts';
import { defaultProfileSpec } from '../api/v1alpha1/profile-defaults.ts';
import { renderNodeConfig } from '../operator/profile/render.ts';
import { exitCode } from './command.ts';
import { readProfileFile } from './profile-file.ts';

export async function runPreflight(options: AgentOptions): Promise<number> {
  const read = await readConfig(options);
  if ('errors' in read) {
    for (const line of read.errors) console.error(line);
    return exitCode.couldNotRun;
  }
  const facts = await gatherFacts(await wantedFor(read.config, options));
  const findings = preflight(facts);
  process.stdout.write(
    options.preflight === 'json'
      ? `${JSON.stringify(findings, null, 2)}\n`
      : `${table(findings)}\n${conclusion(findings, facts, read.config)}\n`,
  );
  return findings.some(({ level }) => level === 'blocking') ? exitCode.foundWrong : exitCode.good;
}

/** The file's own, the last good one of this node, or that of a profile in which nothing is said. */
async function readConfig({ profile, stateDir }: AgentOptions): Promise<{ config: NodeConfig } | { errors: string[] }> {
  if (profile !== undefined) {
    const read = await readProfileFile(profile);
    if ('unreadable' in read) return { errors: [read.unreadable] };
    return 'invalid' in read ? { errors: read.invalid } : { config: rendered(read.profile.spec) };
  }
  const { lastGood, trouble } = await new LastGoodFile(stateDir).read();
  if (trouble !== undefined) return { errors: [trouble] };
  return { config: lastGood?.config ?? rendered({}) };
}

function rendered(spec: ProfileSpec): NodeConfig {
  return renderNodeConfig(defaultProfileSpec(spec), { namespace: '', service: '', addresses: [] });
}

export async function wantedFor(
  config: NodeConfig,
  {
    listen,
    nodeDns,
    resolvConf,
    names,
    stateDir,
  }: Pick<AgentOptions, 'listen' | 'nodeDns' | 'resolvConf' | 'names' | 'stateDir'>,
): Promise<Wanted> {
  const plan = planDatapath(config, {
    clusterDns: [],
    nodeDns: nodeDns ?? (await resolvers(resolvConf)),
    given: new Set(Object.keys(listen) as ListenerName[]),
    // Where the node has none, that is one of the findings.
    ipv6: true,
    barred: new Set(),
  });
  // What stands under the names of an agent that had others is ours, too.
  const standing = await new NamesFile(stateDir).read().catch(() => []);
  const others = standing.map((each) => each.names).filter((each) => !isDeepStrictEqual(each, names));
  return wantedOf(plan, listen, names, others);
}

async function resolvers(path: string | undefined): Promise<string[]> {
  const own = path ?? (await resolvConfPath());
  const servers = await resolversIn(own);
  if (servers !== undefined) return servers;
  const copy = (await resolversIn(standardPath)) ?? [];
  console.error(`${own} cannot be read${copy.length === 0 ? '' : `: ${standsIn(standardPath)}`}`);
  return copy;
}

/** What it comes to, for a person who does not want to add up twenty lines. */
export function conclusion(
  findings: readonly Finding[],
  facts: Pick<NodeFacts, 'wanted' | 'hasIpv6'>,
  { clusterDNS }: Pick<NodeConfig, 'clusterDNS'>,
): string {
  const { obstacle, excluded } = clearance(findings, facts);
  const caught = caughtAddresses(facts.wanted);
  const left = caught.filter((address) => excluded.has(address) || (familyOf(address) === 6 && !facts.hasIpv6));
  const taken = caught.filter((address) => !left.includes(address));
  if (obstacle !== undefined || taken.length === 0) {
    const why = obstacle === undefined ? '' : ` (${obstacle.check})`;
    return `Nothing can be intercepted on this node${why}: queries keep the way that they take now.`;
  }
  const warned = findings.some(({ level }) => level === 'warning') ? ', as far as no warning comes true' : '';
  const unknown = clusterDNS.addresses.length === 0;
  return [
    `Can be intercepted${warned}: ${taken.join(', ')}.`,
    ...(left.length > 0
      ? [`Not intercepted, so that queries keep the way that they take now: ${left.join(', ')}.`]
      : []),
    ...(unknown
      ? ['Not judged: the address of the cluster DNS Service, which the configuration of a cluster has.']
      : []),
  ].join('\n');
}

function table(findings: readonly Finding[]): string {
  const rows = [['LEVEL', 'CHECK', 'MESSAGE'], ...findings.map(({ level, check, message }) => [level, check, message])];
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const [level, check] = [width(0), width(1)];
  return rows.map(([a = '', b = '', c = '']) => `${a.padEnd(level)}  ${b.padEnd(check)}  ${c}\n`).join('');
}
