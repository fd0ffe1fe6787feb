/**
 * Every right that the chart gives is used, and none is lacking: the main job and its rare cases are done with the chart's own roles,
 * and what the API server's audit log says was asked of it is compared with what the roles say.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { optOut, profileLabel, stateLabel } from '../../api/v1alpha1/labels.ts';
import { eventually } from '../tools/eventually.ts';
import type { AuditedRequest } from './control-plane.ts';
import { type LocalDnsProfile, type Node, type Scene, startWithPolicies, withOnprem } from './scene.ts';

const system = 'localdns-system';
let scene: Scene;

interface Role {
  kind: string;
  metadata: { name: string; namespace?: string };
  rules: { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }[];
}

interface Binding {
  metadata: { namespace?: string };
  roleRef: { kind: string; name: string };
  subjects: { name: string; namespace: string }[];
}

/** A verb for a kind of object: in one namespace or in all, for one name or for any. */
interface Right {
  namespace?: string;
  resource: string;
  verb: string;
  name?: string;
}

before(async () => {
  scene = await startWithPolicies();
});

after(() => scene?.stop());

test('operator and agent do all that they ever do', async () => {
  const headless = { name: 'pods', namespace: 'default' };
  const redirect = { name: 'r', match: { suffixes: ['r.example'] }, target: { serviceRef: headless } };
  await scene.cluster.applyOk([
    { apiVersion: 'v1', kind: 'Service', metadata: headless, spec: { clusterIP: 'None', ports: [{ port: 80 }] } },
  ]);
  await scene.applyProfile({});
  await scene.label('n1', profileLabel, 'default');
  await eventually('n1 is served', 15_000, () => scene.applied());
  await edit({ ...withOnprem, redirects: [redirect] });
  await eventually('the endpoints of the redirect are followed', 10_000, () =>
    requestsOf('localdns-operator').some(({ requestURI }) => requestURI.includes('endpointslices')),
  );
  // Back to what was first, and then more revisions than are kept.
  for (const blocked of ['', ...'abcdefghij']) {
    await edit(blocked === '' ? {} : { blockedDomains: [{ domain: `${blocked}.example` }] });
  }
  await scene.label('n2', profileLabel, 'nobody-made-it');
  await eventually('n2 is told of', 10_000, async () => {
    const { items } = (await scene.cluster.get<{ items: object[] }>('events.events.k8s.io', '-n', 'default')) ?? {};
    return (items?.length ?? 0) > 0;
  });
  // Who takes over goes on with the Event that there is.
  assert.equal(await scene.operator.stop(), 0, scene.operator.lastWords);
  scene.restartOperator();
  await eventually('n2 is told of again', 10_000, async () => {
    const list = await scene.cluster.get<{ items: { series?: object }[] }>('events.events.k8s.io', '-n', 'default');
    return list?.items.some(({ series }) => series !== undefined);
  });
  await scene.label('n1', profileLabel, optOut);
  await eventually('n1 is not served any more', 10_000, async () => {
    const node = await scene.cluster.get<Node>('node/n1');
    return (await scene.localDnsNode('n1')) === undefined && node?.metadata.labels?.[stateLabel] === undefined;
  });
  await scene.label('n1', profileLabel, 'default');
  await eventually('n1 is served again', 15_000, () => scene.applied());
  assert.equal(await scene.operator.stop(), 0, scene.operator.lastWords);
  // As the Job does, which `helm uninstall` waits for.
  const args = ['--withdraw', '--deployment=localdns-operator'];
  const withdrawal = scene.localdns.startOperator(undefined, { name: 'withdrawal', args });
  await withdrawal.ended();
  assert.equal(withdrawal.ending, 0, withdrawal.lastWords);
  assert.equal(await scene.localDnsNode('n1'), undefined);
  assert.equal(await scene.agent.stop(), 0, scene.agent.lastWords);
});

/** Until it has been taken up: what is overtaken by the next edit becomes no revision. */
async function edit(spec: Parameters<Scene['applyProfile']>[0]): Promise<void> {
  await scene.applyProfile(spec);
  const { metadata } = (await scene.cluster.get<LocalDnsProfile>('ldp/default')) ?? {};
  await eventually('the edit has been taken up', 10_000, async () => {
    const { status } = (await scene.cluster.get<LocalDnsProfile>('ldp/default')) ?? {};
    return status?.observedGeneration === metadata?.generation;
  });
}

for (const account of ['localdns-operator', 'localdns-agent']) {
  test(`${account} was refused nothing`, () => {
    const refused = requestsOf(account).filter(({ responseStatus }) => responseStatus?.code === 403);
    assert.deepEqual(refused, []);
  });

  test(`${account} has no right that it does not use`, async () => {
    const granted = await rightsOf(account);
    assert.ok(granted.length >= 5);
    // A watch is in the log when it has ended.
    await eventually('every right was used', 10_000, () => {
      assert.deepEqual(unused(granted, requestsOf(account)), []);
      return true;
    });
  });
}

function requestsOf(account: string): AuditedRequest[] {
  const username = `system:serviceaccount:${system}:${account}`;
  return scene.cluster.audit().filter(({ user }) => user.username === username);
}

function unused(granted: readonly Right[], requests: readonly AuditedRequest[]): Right[] {
  // "Not found" is an answer too.
  const used = requests.filter(({ responseStatus }) => responseStatus?.code !== 403).flatMap(rightsUsedBy);
  return granted.filter(
    ({ namespace, resource, verb, name }) =>
      !used.some(
        (right) =>
          right.resource === resource &&
          right.verb === verb &&
          (namespace === undefined || right.namespace === namespace) &&
          (name === undefined || right.name === name),
      ),
  );
}

function rightsUsedBy({ verb, objectRef, responseStatus }: AuditedRequest): Right[] {
  if (objectRef === undefined) return [];
  const { apiGroup = '', subresource, namespace, name } = objectRef;
  const resource = `${apiGroup}/${objectRef.resource}${subresource === undefined ? '' : `/${subresource}`}`;
  const right = { resource, ...(namespace !== undefined && { namespace }), ...(name !== undefined && { name }) };
  // A server-side apply that makes the object is judged as both.
  const isMade = verb === 'patch' && responseStatus?.code === 201;
  return [verb, ...(isMade ? ['create'] : [])].map((one) => ({ ...right, verb: one }));
}

async function rightsOf(account: string): Promise<Right[]> {
  const ours = ['-A', '-l', 'app.kubernetes.io/part-of=localdns'];
  const [bindings, roles] = await Promise.all([
    scene.cluster.get<{ items: Binding[] }>('clusterrolebindings,rolebindings', ...ours),
    scene.cluster.get<{ items: Role[] }>('clusterroles,roles', ...ours),
  ]);
  const bound = (bindings?.items ?? []).filter(({ subjects }) => subjects.some(({ name }) => name === account));
  return bound.flatMap(({ roleRef, metadata: { namespace } }) => {
    const role = roles?.items.find(
      ({ kind, metadata }) =>
        kind === roleRef.kind && metadata.name === roleRef.name && metadata.namespace === namespace,
    );
    assert.ok(role, `${roleRef.kind} ${roleRef.name} is bound and is not there`);
    return role.rules.flatMap(({ apiGroups, resources, verbs, resourceNames }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          verbs.flatMap((verb) =>
            (resourceNames ?? [undefined]).map((name) => ({
              resource: `${group}/${resource}`,
              verb,
              ...(namespace !== undefined && { namespace }),
              ...(name !== undefined && { name }),
            })),
          ),
        ),
      ),
    );
  });
}
