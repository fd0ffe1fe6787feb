/** The folders of a node that are its own: it sees them in the places of the machine's. They outlive its programs, as a disk does. */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Hierarchy } from '../tools/control-groups.ts';
import { machineSettings } from './node-settings.ts';

/** Of the machine's /etc, what programs need that run there. */
const taken = ['alternatives', 'group', 'hosts', 'ld.so.cache', 'nsswitch.conf', 'os-release', 'passwd', 'protocols'];

export class NodeDisk {
  readonly path: string;
  /** Is there once everything is in its place. */
  readonly upFile: string;

  constructor(path: string) {
    this.path = path;
    this.upFile = join(path, 'up');
  }

  make(files: Readonly<Record<string, string>>): void {
    for (const folder of ['etc/cni/net.d', 'lib', 'log/pods', 'settings']) {
      mkdirSync(join(this.path, folder), { recursive: true });
    }
    for (const name of taken) {
      const from = join('/etc', name);
      if (existsSync(from)) cpSync(from, join(this.path, 'etc', name), { recursive: true, verbatimSymlinks: true });
    }
    for (const [path, text] of Object.entries(files)) writeFileSync(join(this.path, path), text);
    for (const setting of machineSettings) {
      writeFileSync(this.#settingFile(setting), readFileSync(join('/proc/sys', setting)));
    }
  }

  /**
   * What the first process of the node does, a command a line: it puts everything in its place, says so, and stays. What it mounts
   * is in its own mount namespace and goes with it. It waits for a child, since a shell that waits also buries the orphans that
   * every pid namespace leaves to its first process.
   */
  script(hostname: string, hierarchies: readonly Hierarchy[]): string {
    const groups = hierarchies.flatMap(({ name, options }) => [
      `mkdir /sys/fs/cgroup/${name}`,
      `mount -t cgroup -o ${options} cgroup /sys/fs/cgroup/${name}`,
    ]);
    return [
      'set -eu',
      `hostname ${hostname}`,
      'mount -t proc proc /proc',
      'mount -t sysfs sysfs /sys',
      'mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup',
      ...groups,
      'mount -t tmpfs -o mode=755 tmpfs /run',
      `mount --bind ${join(this.path, 'lib')} /var/lib`,
      `mount --bind ${join(this.path, 'log')} /var/log`,
      `mount --bind ${join(this.path, 'etc')} /etc`,
      ...machineSettings.map((setting) => `mount --bind ${this.#settingFile(setting)} /proc/sys/${setting}`),
      // Pods that mount a folder of the node shall see what is mounted in it later.
      'mount --make-rshared /',
      `touch ${this.upFile}`,
      'while :; do sleep 3600 & wait $!; done',
    ].join('\n');
  }

  #settingFile(setting: string): string {
    return join(this.path, 'settings', setting.replaceAll('/', '.'));
  }
}
