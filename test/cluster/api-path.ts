/** Where the API server has what kubectl calls `ldp/default` or `pods -n shop -l app=x`. */
import { apiVersion } from '../../api/v1alpha1/labels.ts';

interface Collection {
  root: string;
  plural: string;
  namespaced?: true;
}

const profiles: Collection = { root: `/apis/${apiVersion}`, plural: 'localdnsprofiles' };
const localDnsNodes: Collection = { root: `/apis/${apiVersion}`, plural: 'localdnsnodes' };
const nodes: Collection = { root: '/api/v1', plural: 'nodes' };

const collections: Readonly<Record<string, Collection>> = {
  ...{ ldp: profiles, localdnsprofile: profiles, localdnsprofiles: profiles },
  ...{ ldn: localDnsNodes, localdnsnode: localDnsNodes, localdnsnodes: localDnsNodes },
  ...{ node: nodes, nodes },
  crd: { root: '/apis/apiextensions.k8s.io/v1', plural: 'customresourcedefinitions' },
  pods: { root: '/api/v1', plural: 'pods', namespaced: true },
  'events.events.k8s.io': { root: '/apis/events.k8s.io/v1', plural: 'events', namespaced: true },
  controllerrevisions: { root: '/apis/apps/v1', plural: 'controllerrevisions', namespaced: true },
};

/** Undefined where it takes kubectl to know. */
export function apiPathOf(args: readonly string[]): string | undefined {
  let namespace = 'default';
  let selector = '';
  let what: string | undefined;
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? '';
    if (word === '-n') namespace = args[++at] ?? '';
    else if (word === '-l') selector = `?labelSelector=${encodeURIComponent(args[++at] ?? '')}`;
    else if (word.startsWith('-') || what !== undefined) return undefined;
    else what = word;
  }
  const [kind = '', name] = what?.split('/') ?? [];
  const collection = collections[kind];
  if (collection === undefined) return undefined;
  const { root, plural, namespaced } = collection;
  const parts = [root, ...(namespaced ? ['namespaces', namespace] : []), plural, ...(name === undefined ? [] : [name])];
  return parts.join('/') + selector;
}
