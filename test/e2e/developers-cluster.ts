/**
 *     npm run cluster:up [-- --nodes 1 --proxy-mode iptables]
 *     npm run cluster:down
 *
 * A cluster to work with, as the tests have it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../tools/eventually.ts';
import { lacking } from '../tools/find.ts';
import { isAlive, type ProcessIdentity } from '../tools/process-identity.ts';
import { ownersOf, sweepRunFolders } from '../tools/run-folder.ts';
import { tiers } from '../tools/tiers.ts';

/** The file that a developer's cluster has in its run folder, once it is there. */
export const keptMark = 'kept';

export interface Ready {
  folder: string;
  /** A folder for the PATH: kubectl, helm, and each node's name, which runs a command there. */
  commands: string;
  image: string;
}

/** What the keeper tells. */
export type Progress = { reached: string } | { ready: Ready };

const stopMs = 60_000;

/** The keeper, and the end of its start; it goes on without us once that has come. Its log goes when it ends in order. */
export function startKeeper(args: readonly string[], say: (what: string) => void) {
  const logPath = join(tmpdir(), `localdns-cluster-${process.pid}.log`);
  const log = openSync(logPath, 'w');
  const keeper: ChildProcess = spawn(
    process.execPath,
    [join(import.meta.dirname, 'keep.ts'), '--log', logPath, ...args],
    {
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
    },
  );
  closeSync(log);
  const ready = new Promise<Ready>((resolve, reject) => {
    keeper.once('exit', (code) => reject(new Error(`the cluster did not come up (${code}): ${logPath}`)));
    keeper.on('message', (progress: Progress) => {
      if ('reached' in progress) say(progress.reached);
      else resolve(progress.ready);
    });
  });
  return { keeper, ready, logPath };
}

async function up(args: readonly string[]): Promise<number> {
  const lacks = lacking(tiers.find(({ name }) => name === 'e2e')?.needs ?? []);
  if (lacks.length > 0) {
    console.error(['this machine lacks', ...lacks.map(({ message }) => `  - ${message}`)].join('\n'));
    return 2;
  }
  for (const line of await sweepRunFolders()) console.log(line);
  if (ownersOf(keptMark).length > 0) {
    console.error('a cluster is up already: npm run cluster:down');
    return 1;
  }
  const startedAt = performance.now();
  const seconds = () => ((performance.now() - startedAt) / 1000).toFixed(1).padStart(5);
  const { keeper, ready } = startKeeper(args, (what) => console.log(`${seconds()} s  ${what}`));
  const { commands, image } = await ready;
  const [repository, tag] = image.split(':');
  keeper.disconnect();
  keeper.unref();
  console.log(`${seconds()} s  ready

  export PATH=${commands}:$PATH
  kubectl get pods -A
  n1 nft list ruleset                  # a command on the node n1
  helm install localdns charts/localdns -n localdns-system --create-namespace \\
    --set image.repository=${repository},image.tag=${tag},image.pullPolicy=Never
`);
  return 0;
}

async function down(): Promise<number> {
  const owners = ownersOf(keptMark);
  for (const { pid } of owners) process.kill(pid, 'SIGTERM');
  await Promise.all(owners.map((owner) => gone(owner)));
  for (const line of await sweepRunFolders()) console.log(line);
  console.log(owners.length > 0 ? 'the cluster is gone' : 'there is no cluster');
  return 0;
}

async function gone(owner: ProcessIdentity): Promise<void> {
  await eventually(`process ${owner.pid} has taken its cluster away`, stopMs, () => !isAlive(owner));
}

if (process.argv[1] === import.meta.filename) {
  const [verb, ...args] = process.argv.slice(2);
  process.exitCode = verb === 'down' ? await down() : await up(args);
}
