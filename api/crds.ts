/** The CustomResourceDefinitions, from the schemas of v1alpha1. JSON is YAML, but people read these: plain block YAML. */
import { group, nodeKind, profileKind, version } from './v1alpha1/labels.ts';
import { nodeSpec, nodeStatus } from './v1alpha1/node.ts';
import { profileSpec, profileStatus } from './v1alpha1/profile.ts';
import { rootRules } from './v1alpha1/profile-rules.ts';
import { toOpenApi } from './v1alpha1/schema.ts';

interface Column {
  name: string;
  type: 'string' | 'integer' | 'date';
  jsonPath: string;
  priority?: number;
}

const age: Column = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };
const conditionStatus = (type: string) => `.status.conditions[?(@.type=="${type}")].status`;

/** File name and content of each CRD. */
export function crdFiles(): [string, string][] {
  return [profileCrd(), nodeCrd()].map((crd) => [`${crd.metadata.name}.yaml`, yaml(crd, 0)]);
}

export function profileCrd() {
  return crd(
    profileKind,
    {
      description: 'LocalDnsProfile says what DNS the nodes it selects serve to their pods and processes.',
      spec: toOpenApi(profileSpec),
      status: toOpenApi(profileStatus),
      rules: rootRules.map(({ rule, message }) => ({ rule, message })),
    },
    [
      { name: 'Mode', type: 'string', jsonPath: '.spec.mode' },
      { name: 'Priority', type: 'integer', jsonPath: '.spec.priority' },
      { name: 'Selected', type: 'integer', jsonPath: '.status.nodes.selected' },
      { name: 'Ready', type: 'integer', jsonPath: '.status.nodes.ready' },
      { name: 'Programmed', type: 'string', jsonPath: conditionStatus('Programmed') },
      { name: 'Rollout', type: 'string', jsonPath: '.status.rollout.phase' },
      age,
    ],
  );
}

export function nodeCrd() {
  return crd(
    nodeKind,
    {
      description:
        'LocalDnsNode is the configuration of one node as the operator rendered it, and what its agent made of it. Nobody needs to edit it.',
      spec: toOpenApi(nodeSpec),
      status: toOpenApi(nodeStatus),
      rules: [],
    },
    [
      { name: 'Profile', type: 'string', jsonPath: '.spec.profile' },
      { name: 'Revision', type: 'string', jsonPath: '.spec.revision' },
      { name: 'Applied', type: 'string', jsonPath: '.status.appliedRevision' },
      { name: 'Serving', type: 'string', jsonPath: conditionStatus('Serving') },
      { name: 'Intercepting', type: 'string', jsonPath: conditionStatus('Intercepting') },
      age,
      { name: 'Profile Revision', type: 'string', jsonPath: '.spec.profileRevision', priority: 1 },
      { name: 'Agent', type: 'string', jsonPath: '.status.agentVersion', priority: 1 },
      { name: 'Error', type: 'string', jsonPath: '.status.lastError', priority: 1 },
    ],
  );
}

function crd(
  names: { kind: string; plural: string; shortName: string },
  schema: { description: string; spec: object; status: object; rules: object[] },
  columns: Column[],
) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${names.plural}.${group}` },
    spec: {
      group,
      scope: 'Cluster',
      names: {
        kind: names.kind,
        listKind: `${names.kind}List`,
        plural: names.plural,
        singular: names.kind.toLowerCase(),
        shortNames: [names.shortName],
        categories: ['localdns'],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: schema.description,
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string', description: 'The version of this schema.' },
                kind: { type: 'string', description: 'The kind of this object.' },
                metadata: { type: 'object' },
                spec: schema.spec,
                status: schema.status,
              },
              ...(schema.rules.length > 0 && { 'x-kubernetes-validations': schema.rules }),
            },
          },
        },
      ],
    },
  };
}

/** Block YAML; scalars as JSON where a plain word could be misread. */
function yaml(value: unknown, depth: number): string {
  const pad = '  '.repeat(depth);
  if (Array.isArray(value)) {
    return value
      .map((item) => (isBranch(item) ? `${pad}- ${yaml(item, depth + 1).trimStart()}` : `${pad}- ${scalar(item)}\n`))
      .join('');
  }
  return Object.entries(value as object)
    .filter(([, member]) => member !== undefined)
    .map(([key, member]) =>
      isBranch(member) ? `${pad}${key}:\n${yaml(member, depth + 1)}` : `${pad}${key}: ${scalar(member)}\n`,
    )
    .join('');
}

function isBranch(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}

function scalar(value: unknown): string {
  if (Array.isArray(value)) return '[]';
  if (typeof value === 'object' && value !== null) return '{}';
  if (
    typeof value === 'string' &&
    /^[A-Za-z][\w./-]*$/.test(value) &&
    !/^(true|false|yes|no|on|off|null|y|n)$/i.test(value)
  ) {
    return value;
  }
  return JSON.stringify(value);
}
