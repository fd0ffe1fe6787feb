/** Operator and agent are started before what they need is there: each says so in one clear line, and goes on once it is. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { apiVersion, profileLabel } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { Installation } from './installation.ts';
import { clusterListener, kubernetes, listenAddresses, pause } from './scene.ts';

let cluster: ControlPlane;
let localdns: Installation;
let operator: Daemon;
let agent: Daemon;

before(async () => {
  cluster = await startControlPlane();
  for (const address of listenAddresses) cluster.namespace.addAddress(address);
  await cluster.startClusterDns();
  localdns = await Installation.create(cluster, { crds: false });
});

after(() => cluster?.stop());

afterEach(async (context) => {
  if ('passed' in context && !context.passed) console.log(operator?.lastWords, agent?.lastWords);
  await Promise.all([operator?.stop(), agent?.stop()]);
});

interface LogLine {
  level: string;
  msg: string;
  error?: string;
}

test('a missing kubeconfig is named once by each, and they go on once it is there', async () => {
  const path = join(cluster.folder.path, 'late.kubeconfig');
  operator = localdns.startOperator(path);
  agent = localdns.startAgent('n1', '10.240.0.53', path);
  for (const program of [operator, agent]) {
    await eventually(`${program.name} complains`, 20_000, () => complaints(program).length > 0);
    assert.match(complaints(program)[0] ?? '', /late\.kubeconfig/);
  }
  copyFileSync(await Installation.agentKubeconfig(cluster, 'n1'), path);
  for (const program of [operator, agent]) {
    // Which has none of our kinds yet: so it was reached.
    await eventually(`${program.name} reaches the API server`, 35_000, () =>
      complaints(program).some((line) => /localdns(nodes|profiles)/.test(line)),
    );
    assert.equal(complaints(program).filter((line) => line.includes('late.kubeconfig')).length, 1, program.log);
  }
});

test('an API server that cannot be reached is named once by each, and neither ends', async () => {
  const wrong = await unreachable();
  operator = localdns.startOperator(wrong);
  agent = localdns.startAgent('n1', '10.240.0.53', wrong);
  for (const program of [operator, agent]) {
    await eventually(`${program.name} complains`, 20_000, () => complaints(program).length > 0);
  }
  await pause(4_000);
  for (const program of [operator, agent]) {
    program.assertRunning();
    const said = complaints(program);
    assert.ok(
      said.every((line) => line.includes('10.240.0.1:6444')),
      program.log,
    );
    assert.equal(said.length, 1, program.log);
  }
});

test('missing CRDs are named by each, and once they are there the main job is done', async () => {
  operator = localdns.startOperator();
  agent = localdns.startAgent('n1', '10.240.0.53');
  for (const program of [operator, agent]) {
    await eventually(`${program.name} says that a CRD is missing`, 20_000, () =>
      complaints(program).some(
        (line) => /localdns(nodes|profiles)/.test(line) && /CRD|CustomResourceDefinition/.test(line),
      ),
    );
  }
  await pause(3_000);
  assert.ok(complaints(operator).length <= 2, `one line for each kind at most:\n${operator.log}`);
  assert.equal(complaints(agent).length, 1, agent.log);
  await Installation.addCrds(cluster);
  await cluster.applyOk([
    { apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec: {} },
    { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1', labels: { 'kubernetes.io/os': 'linux' } } },
  ]);
  await cluster.kubectlOk('label', 'node/n1', `${profileLabel}=default`);
  await eventually('the agent answers', 45_000, async () => {
    const question = { server: clusterListener, name: kubernetes.name, timeoutMs: 200 };
    return (await cluster.namespace.ask(question)).answers[0]?.data === kubernetes.address;
  });
});

/** What a program has logged as a warning or an error, message and reason in one. */
function complaints({ log }: Daemon): string[] {
  return log.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return line.trim() === '' ? [] : [line];
    const { level, msg, error = '' } = JSON.parse(line) as LogLine;
    return level === 'warn' || level === 'error' ? [`${msg} ${error}`] : [];
  });
}

async function unreachable(): Promise<string> {
  const path = join(cluster.folder.path, 'unreachable.kubeconfig');
  const config = readFileSync(await Installation.agentKubeconfig(cluster, 'n1'), 'utf8');
  writeFileSync(path, config.replace(':6443', ':6444'));
  return path;
}
