/**
 * What a node keeps that waits for another profile: for its turn, or for one that gives nothing (it is paused, has failed, was never accepted, is not
 * there). It goes on by the revision that it has of the profile that gave it, which follows the cluster as that profile's own nodes do.
 */
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import { type Course, type Meaning, renderingsOf } from './course.ts';
import { isOfPast, type NodeFacts } from './facts.ts';
import type { Intent } from './plan.ts';
import type { Choice } from './select.ts';
import { renderingFor } from './versions.ts';

interface Keeping extends Omit<Meaning, 'nodes' | 'profile'> {
  /** By name. */
  readonly profiles: ReadonlyMap<string, LocalDnsProfile>;
  readonly choices: ReadonlyMap<string, Choice>;
  /** Of a profile that is not being deleted; undefined where nothing is known that could be served. */
  readonly courseOf: (profile: string) => Course | undefined;
}

/** By name, those of `nodes` whose configuration can be told from what stands there. Pure. */
export function keptOf(nodes: readonly NodeFacts[], keeping: Keeping): Map<string, Intent> {
  const { world, choices } = keeping;
  const givers = Map.groupBy(nodes, (node) => {
    const written = world.written(node.name);
    // What is on its way out, or was written for another machine, goes.
    const isLeft = written === undefined || written.withdrawnAtMs !== undefined || isOfPast(written, node);
    const choice = choices.get(node.name);
    // What a profile gives its own nodes has been decided.
    return isLeft || (choice?.kind === 'profile' && choice.profile === written.profile) ? undefined : written.profile;
  });
  const all = [...givers].flatMap(([giver, theirs]) => (giver === undefined ? [] : keptBy(giver, theirs, keeping)));
  return new Map(all);
}

function keptBy(name: string, nodes: readonly NodeFacts[], keeping: Keeping): [string, Intent][] {
  const { world, profiles, courseOf } = keeping;
  const [profile, course] = [profiles.get(name), courseOf(name)];
  if (profile === undefined || course === undefined) return [];
  // What its own nodes do not say, these may: where a redirect led whose Service is gone.
  const known = new Map([...course.renderings].filter(([, renderings]) => renderings !== undefined));
  return nodes.flatMap((node): [string, Intent][] => {
    const { profileRevision = '', report } = world.written(node.name) ?? {};
    const renderings = renderingsOf(profileRevision, known, { ...keeping, profile, nodes });
    const rendering = renderings && renderingFor(report?.configVersions, renderings);
    if (rendering === undefined) return [];
    const carried = { profile: name, profileRevision, ...rendering, gift: undefined, isKept: true };
    return [[node.name, { kind: 'serve', ...carried }]];
  });
}
