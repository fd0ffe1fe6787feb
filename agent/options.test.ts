import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { OptionError, parseAgentOptions } from './options.ts';

const standalone = ['--profile', 'profile.yaml'];
const parse = (argv: string[], env: NodeJS.ProcessEnv = {}) => parseAgentOptions(argv, env);

suite('the options of the agent', () => {
  test('stand-alone need nothing but a profile', () => {
    const options = parse(standalone, {});
    deepEqual(
      [options.profile, options.metrics, options.listen, options.logLevel],
      ['profile.yaml', { address: '127.0.0.1', port: 9353 }, {}, 'info'],
    );
    deepEqual([options.clusterDns, options.embedded, options.nodeDns], [undefined, undefined, undefined]);
  });

  test('in a cluster come from the environment that the chart sets, and options win', () => {
    const env = { NODE_NAME: 'node-1', HOST_IP: '10.0.0.7', KUBECONFIG: '/kube' };
    const options = parse([], env);
    deepEqual(
      [options.nodeName, options.metrics, options.kubeconfig, options.stateDir],
      ['node-1', { address: '10.0.0.7', port: 9353 }, '/kube', '/var/lib/localdns'],
    );
    const given = parse(['--node-name', 'node-2', '--kubeconfig', '/other', '--metrics', '127.0.0.1:0'], env);
    deepEqual([given.nodeName, given.kubeconfig, given.metrics.port], ['node-2', '/other', 0]);
    // Stand-alone on a host that is a node as well: nothing is published without being asked for.
    equal(parse(standalone, env).metrics.address, '127.0.0.1');
  });

  test('keep the state in a cluster, and stand-alone in a folder that is given alone', () => {
    const kept = (argv: string[]) => {
      const { keepsState, stateDir } = parse(argv);
      return keepsState && stateDir;
    };
    equal(kept(['--node-name', 'a']), '/var/lib/localdns');
    equal(kept(standalone), false);
    equal(kept([...standalone, '--state-dir', 'state']), 'state');
  });

  test('replace listener addresses, several for each, with ports of the system too', () => {
    const { listen } = parse([
      ...standalone,
      ...['--listen-cluster', '127.0.0.1:1053', '--listen-cluster', '[::1]:0', '--listen-node', '127.0.0.2:10'],
    ]);
    deepEqual(listen, {
      cluster: [
        { address: '127.0.0.1', port: 1053 },
        { address: '::1', port: 0 },
      ],
      node: [{ address: '127.0.0.2', port: 10 }],
    });
  });

  test('list servers with or without a port', () => {
    const options = parse([...standalone, '--cluster-dns', '10.96.0.10, 10.0.0.1:1053', '--node-dns', '2001:db8::1']);
    deepEqual(options.clusterDns, ['10.96.0.10:53', '10.0.0.1:1053']);
    deepEqual(options.nodeDns, ['[2001:db8::1]:53']);
  });

  test('name the embedded cluster DNS, with or without its file', () => {
    const embedded = (value: string) => parse([...standalone, '--cluster-dns', value]).embedded;
    deepEqual(embedded('embedded'), { services: undefined });
    deepEqual(embedded('embedded:a/services.yaml'), { services: 'a/services.yaml' });
  });

  test('ask for the preflight, for which no node needs a name, and its form', () => {
    deepEqual([parse(standalone).preflight, parse(['--preflight']).preflight], [undefined, 'text']);
    equal(parse(['--preflight', '-o', 'json']).preflight, 'json');
  });

  test('name what of the kernel is ours', () => {
    equal(parse(standalone).names.table, 'localdns');
    equal(parse([...standalone, '--nft-table', 'node-dns', '--route-table', '7']).names.routeTable, 7);
  });

  test('give metrics another port, at the address that they have otherwise', () => {
    const port = ['--metrics-port', '9363'];
    deepEqual(parse(port, { NODE_NAME: 'n', HOST_IP: 'fd00::7' }).metrics, { address: 'fd00::7', port: 9363 });
    deepEqual(parse([...standalone, ...port]).metrics, { address: '127.0.0.1', port: 9363 });
    equal(parse([...standalone, ...port, '--metrics', '127.0.0.1:1']).metrics.port, 1);
  });

  test("of the preflight are those of the agent in whose pod it runs, but for what is given with it; an agent's never", () => {
    const env = { NODE_NAME: 'n', AGENT_OPTIONS: '--state-dir=/state --route-table=7 --rule-priority=4' };
    const { stateDir, names, preflight } = parse(['--preflight', '--rule-priority', '5'], env);
    deepEqual([stateDir, names.routeTable, names.rulePriority, preflight], ['/state', 7, 5, 'text']);
    equal(parse([], env).names.routeTable, 153);
    equal(parse(['--preflight'], { AGENT_OPTIONS: '' }).names.routeTable, 153);
  });

  test('that are wrong are refused with the option and what to write instead', () => {
    for (const [argv, wanted] of [
      [[], /--profile FILE .* --node-name/],
      [['--node-name', ''], /--node-name/],
      [['--preflight', '--output', 'yaml'], /--output yaml: use text or json/],
      [[...standalone, '--output', 'json'], /--output goes with --preflight/],
      [[...standalone, '--mark-own', '3'], /--mark-own 3/],
      [['--node-name', 'n', '--cluster-dns', 'embedded'], /needs --profile/],
      [
        [...standalone, '--listen-cluster', '127.0.0.1'],
        /--listen-cluster 127\.0\.0\.1: write an IP address and a port/,
      ],
      [[...standalone, '--listen-cluster', '::1'], /--listen-cluster ::1: write an IP address and a port/],
      [[...standalone, '--listen-node', 'localhost:1053'], /--listen-node localhost:1053/],
      [[...standalone, '--listen-node', '127.0.0.1:65536'], /--listen-node 127\.0\.0\.1:65536/],
      [[...standalone, '--metrics', '9353'], /--metrics 9353/],
      [[...standalone, '--metrics-port', '0'], /--metrics-port 0: write a number from 1 to 65535/],
      [[...standalone, '--metrics-port', '65536'], /--metrics-port 65536/],
      [[...standalone, '--metrics-port', '127.0.0.1:9353'], /--metrics-port 127\.0\.0\.1:9353/],
      [[...standalone, '--cluster-dns', '10.96.0.10,dns.example'], /--cluster-dns dns\.example: write IP addresses/],
      [[...standalone, '--node-dns', ''], /--node-dns/],
      [[...standalone, '--cluster-dns', 'embedded:'], /--cluster-dns embedded:/],
      [[...standalone, '--log-level', 'debug'], /--log-level debug: use info, warn or error/],
      [[...standalone, '--listen', '127.0.0.1:53'], /--listen/],
      [[...standalone, 'surplus'], /surplus/],
    ] as const) {
      throws(
        () => parse([...argv]),
        (error: Error) => {
          equal(error instanceof OptionError, true, `${argv}: ${error.stack}`);
          match(error.message, wanted);
          return true;
        },
      );
    }
  });
});
