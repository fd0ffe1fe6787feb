import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operatorKinds } from '../kube/api-server.fake.ts';
import { OperatorProcesses } from '../test/tools/operator-processes.ts';

const { operator, untilAsync, fakeServer, kubeconfig } = new OperatorProcesses();

const many = 60;
const writesPerSecond = 20;
/** Of the other's nodes meanwhile: a third of its next round of writes. */
const mostWrites = 18;

test('a profile with one node is not behind the many of another, whose facts change faster than they can be written', async () => {
  const server = fakeServer([...operatorKinds, 'leases']);
  const rollout = { maxUnavailable: '100%', canary: { nodes: 0 } };
  const profile = (name: string): void => {
    server.put('localdnsprofiles', {
      metadata: { name },
      spec: { nodeSelector: { matchLabels: { of: name } }, rollout },
    });
  };
  for (let at = 0; at < many; at++) server.put('nodes', { metadata: { name: `n${at}`, labels: { of: 'large' } } });
  server.put('nodes', { metadata: { name: 'other', labels: { of: 'small' } } });
  let turn = 0;
  const clusterDnsMoves = (): void => {
    const metadata = { name: 'kube-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
    server.put('services', { metadata, spec: { clusterIPs: [`10.96.0.${1 + (turn++ % 250)}`] } });
  };
  clusterDnsMoves();
  profile('large');
  const config = kubeconfig(await server.start());
  const limits = [`--kube-api-qps=${writesPerSecond}`, '--metrics', '127.0.0.1:0'];
  operator('--kubeconfig', config, ...limits);
  await untilAsync(async () => server.all('localdnsnodes').length === many);
  const moving = setInterval(clusterDnsMoves, 500);
  try {
    const written = () => server.requests('apply', 'localdnsnodes').length;
    const before = written();
    await untilAsync(async () => written() > before + many);
    const from = written();
    profile('small');
    await untilAsync(async () => server.get('localdnsnodes', 'other') !== undefined);
    const others = written() - from;
    console.log(`${others} nodes of the other profile were written meanwhile`);
    assert.ok(others < mostWrites, `${others}`);
  } finally {
    clearInterval(moving);
  }
  await server.stop();
});
