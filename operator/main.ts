import { assemble, connect } from './assembly.ts';
import { end, signalled } from './ending.ts';
import { createLog, type Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { type OperatorOptions, operatorUsage, parseOperatorOptions } from './options.ts';
import { withdraw } from './uninstall.ts';

/**
 * Runs the operator until SIGTERM or SIGINT, or with `--withdraw` until nobody is served. Resolves with the exit code: 0 after a signal, 2 where
 * it could not start
 * (a wrong option, the metrics port taken), with one line on stderr or in the log that says what to do. A missing kubeconfig, an
 * API server that is away and CRDs that are missing are no reason to stop: they are logged once and retried.
 */
export async function runOperator(argv: readonly string[]): Promise<number> {
  const parsed = parseOperatorOptions(argv, process.env);
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(operatorUsage);
      return 0;
    case 'error':
      process.stderr.write(`localdns operator: ${parsed.message}\n`);
      return 2;
    case 'options':
      return (parsed.options.withdraw ? withdraw : run)(parsed.options, createLog(parsed.options.logLevel));
  }
}

async function run(options: OperatorOptions, log: Log): Promise<number> {
  const metrics = new Metrics();
  if (!(await listens(metrics, options.metrics, log))) return 2;
  const stopped = signalled();
  const clients = await connect(options, metrics, log, stopped);
  if (clients === undefined) {
    metrics.close();
    return 0;
  }

  const parts = assemble(options, clients, metrics, log);
  const { world, controller, election } = parts;
  for (const store of world.stores) store.start();
  if ((await Promise.race([stopped, world.synced])) === undefined) {
    // Whoever stands by is warm: it knows the cluster, and lacks nothing but the Lease.
    controller.start();
    election.start();
    metrics.isReady = true;
    const { clusterDns, isFound } = world.clusterDns();
    log.info({ server: clients.main.server, clusterDns: isFound ? clusterDns : null }, 'ready');
    if (!isFound) log.warn('no cluster DNS Service found: name it with --cluster-dns-service NAMESPACE/NAME');
  }

  log.info({ signal: await stopped }, 'stopping');
  metrics.close();
  await end(parts, clients);
  return 0;
}

async function listens(metrics: Metrics, { host, port }: OperatorOptions['metrics'], log: Log): Promise<boolean> {
  try {
    await metrics.listen({ host, port });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    log.error(
      { code },
      `cannot serve metrics on ${host ?? '[::]'}:${port} (${code}): choose another address with --metrics`,
    );
    return false;
  }
}
