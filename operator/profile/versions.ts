import { type Reason, reasons } from '../../api/v1alpha1/conditions.ts';
import { type NodeConfig, revisionOf } from '../../api/v1alpha1/node-config.ts';
import type { DefaultedProfileSpec } from '../../api/v1alpha1/profile-defaults.ts';
import type { ClusterDns } from './cluster-dns.ts';
import { renderNodeConfig } from './render.ts';

export type Renderer = (spec: DefaultedProfileSpec, clusterDns: ClusterDns, ranges: readonly string[]) => NodeConfig;

/** By the format that they write: a new one is an entry here, and an old one goes once no agent that reads nothing newer is supported. */
export type Renderers = ReadonlyMap<number, Renderer>;

export const renderers: Renderers = new Map([[1, renderNodeConfig]]);

export interface Rendering {
  readonly revision: string;
  readonly config: NodeConfig;
}

/** One configuration in every format that is written, the newest first. */
export type Renderings = readonly [Rendering, ...Rendering[]];

/** In every format that is written, the newest first. */
export type Configs = readonly [NodeConfig, ...NodeConfig[]];

export function configsOf(input: Parameters<Renderer>, by: Renderers): Configs {
  const [newest, ...older] = [...by].sort(([a], [b]) => b - a).map(([, renderer]) => renderer(...input));
  if (newest === undefined) throw new Error('no format is written');
  return [newest, ...older];
}

export function render([newest, ...older]: Configs): Renderings {
  const rendering = (config: NodeConfig): Rendering => ({ revision: revisionOf(config), config });
  return [rendering(newest), ...older.map(rendering)];
}

/**
 * The newest that the agent reads; undefined where it reads none of them.
 * @param reads undefined where the agent has not said anything yet: it is of our release, or will say what it refuses
 */
export function renderingFor(reads: readonly number[] | undefined, renderings: Renderings): Rendering | undefined {
  return renderings.find(({ config }) => reads === undefined || reads.includes(config.formatVersion));
}

/** Whether an agent that reads these formats reads the configuration of this revision. */
export function isReadable(revision: string, reads: readonly number[] | undefined): boolean {
  return reads === undefined || reads.includes(Number(/^v(\d+)-/.exec(revision)?.[1]));
}

/** Why an agent reads nothing of what is written, and in a sentence who has to upgrade what. */
export interface Misfit {
  readonly reason: Reason;
  readonly message: string;
}

export function misfit(agentVersion: string, reads: readonly number[], renderings: Renderings): Misfit {
  const written = renderings.map(({ config }) => config.formatVersion);
  const isNewer = reads.length > 0 && Math.min(...reads) > Math.max(...written);
  const formats = reads.length === 0 ? 'no configuration format' : `configuration format ${reads.join(', ')}`;
  const who = `its agent (${agentVersion || 'version unknown'}) reads ${formats}, and this operator writes ${written.join(', ')}`;
  const remedy = isNewer ? 'upgrade the operator' : 'upgrade the agent';
  return { reason: isNewer ? reasons.agentTooNew : reasons.agentTooOld, message: `${who}: ${remedy}` };
}
