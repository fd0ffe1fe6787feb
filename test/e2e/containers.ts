import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A container that runs on a node, as containerd has it. */
export interface Container {
  pod: string;
  namespace: string;
  /** Undefined: the sandbox, whose network all containers of the pod share. */
  name: string | undefined;
  /** In the node's pid namespace. */
  pid: number;
}

/** @param root of the node's file system, as it is found from here */
export function containers(root: string): Container[] {
  const tasks = globSync(join(root, 'run/containerd/io.containerd.runtime.v2.task/k8s.io/*/init.pid'));
  return tasks.flatMap((pidFile) => {
    try {
      const { annotations } = JSON.parse(readFileSync(join(dirname(pidFile), 'config.json'), 'utf8')) as {
        annotations: Record<string, string>;
      };
      const said = (what: string) => annotations[`io.kubernetes.cri.${what}`];
      return {
        pod: said('sandbox-name') ?? '',
        namespace: said('sandbox-namespace') ?? '',
        name: said('container-name'),
        pid: Number(readFileSync(pidFile, 'utf8')),
      };
    } catch {
      // It came or went while we looked.
      return [];
    }
  });
}
