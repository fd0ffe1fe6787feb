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
    metrics: { host: '0.0.0.0', port: 9354 },
    logLevel: 'info',
  });
});

test('every option is understood', () => {
  const given = options(
    '--kubeconfig',
    'k',
    '--cluster-dns-service=a/b-c',
    '--metrics',
    '[::1]:0',
    '--log-level',
    'debug',
  );
  assert.deepEqual(given, {
    kubeconfig: 'k',
    clusterDnsService: { namespace: 'a', name: 'b-c' },
    metrics: { host: '::1', port: 0 },
    logLevel: 'debug',
  });
  assert.ok(Object.isFrozen(given));
});

test('a wrong option is named, with what it may be', () => {
  for (const [argv, message] of [
    [['--cluster-dns-service', 'kube-dns'], /--cluster-dns-service kube-dns: must be NAMESPACE\/NAME/],
    [['--metrics', '9354'], /--metrics 9354: must be ADDRESS:PORT/],
    [['--metrics', '0.0.0.0:99999'], /--metrics/],
    [['--log-level', 'loud'], /--log-level loud: must be one of debug/],
    [['--nonsense'], /--nonsense/],
    [['stray'], /stray/],
  ] as const) {
    const parsed = parseOperatorOptions(argv);
    assert.equal(parsed.kind, 'error', argv.join(' '));
    if (parsed.kind === 'error') assert.match(parsed.message, message);
  }
  assert.equal(parseOperatorOptions(['-h']).kind, 'help');
});
