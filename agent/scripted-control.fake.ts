/**
 * A control worker for tests of the serving thread: it wants one listener, and again when that is too late, and says on stdout what
 * it is told. Whether and when it answers the word that the end has come is what a test chooses.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { ToControl, ToServing } from './channel.ts';

const { listen, withdrawAfterMs } = workerData as {
  listen: { address: string; port: number };
  /** Undefined: never. */
  withdrawAfterMs: number | undefined;
};
const send = (message: ToServing) => parentPort?.postMessage(message);
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

const desired: ToServing = {
  kind: 'desired',
  number: 1,
  desired: {
    config: {
      formatVersion: 1,
      clusterDomain: 'cluster.local',
      clusterDNS: { namespace: '', service: '', addresses: [] },
      listeners: [
        {
          name: 'node',
          addresses: [listen.address],
          intercept: false,
          tracked: false,
          serverBlocks: [
            {
              zone: '.',
              queryLogging: 'Error',
              protocol: 'PreferUDP',
              forwardDestination: 'VnetDNS',
              forwardPolicy: 'Sequential',
              maxConcurrent: 0,
              cacheDurationInSeconds: 3600,
              negativeCacheDurationInSeconds: 60,
              serveStaleDurationInSeconds: 3600,
              serveStale: 'Disable',
            },
          ],
        },
      ],
      upstreams: [],
    },
    listen: { node: [listen] },
    destinations: { clusterDns: [], nodeDns: [] },
  },
};

parentPort?.on('message', (message: ToControl) => {
  if (message.kind === 'outcome') say({ listening: message.outcome.listening, silent: message.outcome.silent });
  if (message.kind === 'withdraw') {
    say({ told: 'withdraw' });
    if (withdrawAfterMs !== undefined) setTimeout(() => send({ kind: 'withdrawn' }), withdrawAfterMs);
  }
  if (message.kind === 'stop') {
    // A configuration may have changed in this moment.
    send(desired);
    send({ kind: 'stopped' });
  }
});
say({ startKey: Buffer.from(workerData.startKey).toString('hex') });
send(desired);
