/**
 * The process that a developer's cluster belongs to: it starts it, tells its parent how far it is, and takes it away when it is told
 * to end. Killed without a word, it leaves what the next start of tests or clusters removes.
 */
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ProxyMode } from '../datapath/kube-proxy.ts';
import { imageName } from '../image/build.ts';
import { toolPath } from '../tools/find.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { RealCluster } from './cluster.ts';
import { keptMark, type Progress } from './developers-cluster.ts';
import { localDnsImage } from './localdns-image.ts';

const { values } = parseArgs({
  options: {
    ...{ nodes: { type: 'string' }, 'proxy-mode': { type: 'string' }, 'without-localdns': { type: 'boolean' } },
    log: { type: 'string' },
  },
});

function tell(progress: Progress): void {
  if (process.connected) process.send?.(progress);
}

const images = new RunFolder('image');
const building = values['without-localdns'] ? undefined : localDnsImage(images.path);
// Who waits for it hears of its failure, and that may be later.
building?.catch(() => undefined);
const cluster = await RealCluster.start({
  ...(values.nodes !== undefined && { nodes: Number(values.nodes) }),
  ...(values['proxy-mode'] !== undefined && { proxyMode: values['proxy-mode'] as ProxyMode }),
  say: (what) => tell({ reached: what }),
});
let isEnding = false;
let isKept = false;
for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) {
  process.once(event, async () => {
    // The parent goes once it has been told that all is there.
    if (isEnding || (event === 'disconnect' && isKept)) return;
    isEnding = true;
    await cluster.stop();
    if (values.log !== undefined) rmSync(values.log, { force: true });
    process.exit();
  });
}
// Nobody else keeps this process alive.
setInterval(() => undefined, 60_000);

if (building !== undefined) {
  const image = await building;
  await Promise.all(cluster.nodes.map((node) => node.importImage(image)));
  tell({ reached: 'the image of LocalDNS' });
}
await images.remove();
const folder = cluster.control.makeFolder('bin');
command('kubectl', cluster.control.namespace.way, toolPath('kubectl'));
command('helm', cluster.control.namespace.way, toolPath('helm'));
for (const node of cluster.nodes) command(node.name, node.way);
isKept = true;
writeFileSync(join(cluster.control.folder.path, keptMark), '');
tell({ ready: { folder: cluster.control.folder.path, commands: folder, image: imageName } });

/** A command of the developer's shell that does its work inside. */
function command(name: string, way: readonly string[], ...program: string[]): void {
  const path = join(folder, name);
  const kubeconfig = join(cluster.control.folder.path, 'admin.kubeconfig');
  writeFileSync(path, `#!/bin/sh\nKUBECONFIG=${kubeconfig} exec nsenter ${[...way, ...program].join(' ')} "$@"\n`);
  chmodSync(path, 0o755);
}
