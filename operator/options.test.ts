import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OperatorOptions, parseOperatorOptions } from './options.ts';

function options(...argv: string[]): OperatorOptions {
  const parsed = parseOperatorOptions(argv);
  return parsed.kind === 'options' ? parsed.options : assert.fail(JSON.stringify(parsed));
}

test('without options the defaults of the documentation hold', () => {
  assert.deepEqual(options(), {
    kubeconfig: undefined,
    clusterDnsService: undefined,
    networkPolicies: false,
    metrics: { host: undefined, port: 9354 },
    namespace: 'localdns-system',
    lease: { durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 },
    writesPerSecond: 100,
    logLevel: 'info',
    withdraw: false,
    deployment: undefined,
  });
});

test("the pod's namespace is that of the operator's own objects, unless another is named", () => {
  for (const [argv, namespace] of [
    [[], 'pods'],
    [['--namespace=named'], 'named'],
  ] as const) {
    const parsed = parseOperatorOptions(argv, { POD_NAMESPACE: 'pods' });
    assert.equal(parsed.kind === 'options' && parsed.options.namespace, namespace);
  }
});

test('every option is understood', () => {
  const given = options(
    '--kubeconfig',
    'k',
    '--cluster-dns-service=a/b-c',
    '--check-network-policies',
    '--metrics',
    '[::1]:0',
    '--namespace=dns',
    '--lease-duration=30',
    '--lease-renew-deadline=20.5',
    '--lease-retry',
    '0.5',
    '--kube-api-qps=7.5',
    '--log-level',
    'debug',
    '--withdraw',
    '--deployment=dns-operator',
  );
  assert.deepEqual(given, {
    kubeconfig: 'k',
    clusterDnsService: { namespace: 'a', name: 'b-c' },
    networkPolicies: true,
    metrics: { host: '::1', port: 0 },
    namespace: 'dns',
    lease: { durationMs: 30_000, renewDeadlineMs: 20_500, retryMs: 500 },
    writesPerSecond: 7.5,
    logLevel: 'debug',
    withdraw: true,
    deployment: 'dns-operator',
  });
  assert.ok(Object.isFrozen(given));
});

test('a wrong option is named, with what it may be', () => {
  for (const [argv, message] of [
    [['--cluster-dns-service', 'kube-dns'], /--cluster-dns-service kube-dns: must be NAMESPACE\/NAME/],
    [['--metrics', '9354'], /--metrics 9354: must be ADDRESS:PORT/],
    [['--metrics', '0.0.0.0:99999'], /--metrics/],
    [['--namespace', 'Dns'], /--namespace Dns: must be the name of a namespace/],
    [['--lease-duration', 'long'], /--lease-duration long: must be a number of seconds/],
    [['--lease-retry', '0'], /--lease-retry 0: must be a number of seconds/],
    [['--lease-duration', '15.5'], /--lease-duration 15.5: must be whole seconds/],
    [['--lease-duration', '10'], /--lease-duration 10: must be at least a second more than --lease-renew-deadline/],
    [['--lease-renew-deadline', '3'], /--lease-renew-deadline 3: must be at least twice --lease-retry/],
    [['--kube-api-qps', '0.5'], /--kube-api-qps 0.5: must be a number from 1 to 10000/],
    [['--kube-api-qps='], /--kube-api-qps : must be a number/],
    [['--log-level', 'loud'], /--log-level loud: must be one of debug/],
    [['--deployment=o'], /--deployment o: only with --withdraw/],
    [['--nonsense'], /--nonsense/],
    [['stray'], /stray/],
  ] as const) {
    const parsed = parseOperatorOptions(argv);
    assert.equal(parsed.kind, 'error', argv.join(' '));
    if (parsed.kind === 'error') assert.match(parsed.message, message);
  }
  assert.equal(parseOperatorOptions(['-h']).kind, 'help');
});
