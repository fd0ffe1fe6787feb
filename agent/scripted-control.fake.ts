/**
 * A control worker for tests of the serving thread: it wants one listener, and again when that is too late, and says on stdout what
 * it is told. Whether and when it answers the word that the end has come is what a test chooses.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { parentPort, threadId, workerData } from 'node:worker_threads';
import type { ToControl, ToServing } from './channel.ts';
import { tellingOfDescriptors } from './descriptors.ts';
import { isLibc, linux, loadLibc } from './libc.ts';

const { listen, withdrawAfterMs, dies, fails, falls } = workerData as {
  listen: { address: string; port: number };
  /** Undefined: never. */
  withdrawAfterMs: number | undefined;
  /** The first one does, once it is served, and leaves a socket behind. */
  dies: boolean;
  /** Before it wants anything. */
  fails: boolean;
  /** When it shall end. */
  falls: boolean;
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
  if (message.kind === 'outcome') {
    say({ listening: message.outcome.listening, silent: message.outcome.silent });
    if (dies && threadId === 1) process.exit(1);
  }
  if (message.kind === 'withdraw') {
    say({ told: 'withdraw' });
    if (withdrawAfterMs !== undefined) setTimeout(() => send({ kind: 'withdrawn' }), withdrawAfterMs);
  }
  if (message.kind === 'stop') {
    if (falls) process.exit(1);
    // A configuration may have changed in this moment.
    send(desired);
    send({ kind: 'stopped' });
  }
});
if (fails) process.exit(1);
if (dies && threadId === 1) say({ left: leaveSocket() });
else if (dies) say({ sockets: socketsOfProcess() });
say({ startKey: Buffer.from(workerData.startKey).toString('hex') });
send(desired);

/** What the process calls it whose descriptor it is. */
function leaveSocket(): string {
  const libc = loadLibc();
  if (!isLibc(libc)) throw new Error(libc.reason);
  const fd = tellingOfDescriptors(libc, send).socket(linux.familyIpv4, linux.datagram, 0);
  return readlinkSync(`/proc/self/fd/${fd}`);
}

function socketsOfProcess(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const link = readlinkSync(`/proc/self/fd/${fd}`);
      return link.startsWith('socket:') ? [link] : [];
    } catch {
      // That of the folder itself has gone.
      return [];
    }
  });
}
