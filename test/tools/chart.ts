/** The chart as Helm renders it, for tests to look into. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { lacking, toolPath } from './find.ts';

const root = resolve(import.meta.dirname, '../..');
export const chart = join(root, 'charts/localdns');
const lacks = lacking(['helm']).map(({ message }) => message);
const requireAll = process.env.LOCALDNS_TEST_REQUIRE === 'all';
/** Without Helm these say what they lack; where nothing may be lacking, they fail for want of it. */
export const withHelm = { skip: lacks.length > 0 && !requireAll ? lacks.join('; ') : false };

export interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
  resourceNames?: string[];
}

export interface Manifest {
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  spec: Record<string, unknown>;
  rules?: Rule[];
  roleRef?: { kind: string; name: string };
  subjects?: { kind: string; name: string; namespace: string }[];
}

export interface Container {
  name: string;
  image: string;
  args: string[];
  env?: { name: string; value?: string; valueFrom?: { fieldRef?: { fieldPath: string } } }[];
  ports?: { name: string; containerPort: number }[];
  readinessProbe?: { exec?: { command: string[] }; httpGet?: { path: string; port: string } };
  livenessProbe?: { httpGet?: { path: string; port: string } };
  securityContext: Record<string, unknown>;
  resources: Record<string, Record<string, string>>;
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
}

export interface PodSpec {
  containers: Container[];
  volumes?: { name: string; hostPath?: { path: string; type: string }; emptyDir?: object }[];
  [field: string]: unknown;
}

export function helm(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(toolPath('helm'), args, { encoding: 'utf8', cwd: root });
  return { status, stdout, stderr };
}

export function render(...flags: string[]): Manifest[] {
  const { status, stdout, stderr } = helm('template', 'localdns', chart, '--namespace', 'localdns-system', ...flags);
  assert.equal(status, 0, stderr);
  return parseAllDocuments(stdout)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

/** What `helm install` prints, which `helm template` does not. */
export function notes(...flags: string[]): string {
  return evaluated(readFileSync(join(chart, 'templates/NOTES.txt'), 'utf8'), ...flags);
}

/** A text with templates, as the chart's own are: of a copy of the chart in which it is an object's text. */
export function evaluated(text: string, ...flags: string[]): string {
  const copy = mkdtempSync(join(tmpdir(), 'localdns-text-'));
  try {
    cpSync(chart, copy, { recursive: true });
    rmSync(join(copy, 'templates/NOTES.txt'));
    writeFileSync(join(copy, 'files/text.txt'), text);
    writeFileSync(
      join(copy, 'templates/text.yaml'),
      'kind: Text\ntext: {{ tpl (.Files.Get "files/text.txt") . | quote }}\n',
    );
    const args = ['--namespace', 'localdns-system', '--show-only', 'templates/text.yaml', ...flags];
    const { status, stdout, stderr } = helm('template', 'localdns', copy, ...args);
    assert.equal(status, 0, stderr);
    return (parse(stdout) as { text: string }).text;
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/** One rendering serves most tests. */
export const standard = withHelm.skip === false && lacks.length === 0 ? render() : [];

export function only(kind: string, manifests = standard): Manifest {
  const [found, ...more] = manifests.filter((manifest) => manifest.kind === kind);
  assert.ok(found !== undefined && more.length === 0, `exactly one ${kind}`);
  return found;
}

export function podOf(manifest: Manifest): { pod: PodSpec; container: Container } {
  const pod = (manifest.spec.template as { spec: PodSpec }).spec;
  const [container, ...more] = pod.containers;
  assert.ok(container !== undefined && more.length === 0, 'exactly one container');
  return { pod, container };
}
