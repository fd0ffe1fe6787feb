import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { lackOfGroups } from './control-groups.ts';
import { fingerprint, type ToolName, tools } from './versions.ts';

/** Programs of the machine, by the Debian package that has them. */
const machinePackages = {
  ip: 'iproute2',
  nft: 'nftables',
  dig: 'dnsutils',
  dnsperf: 'dnsperf',
  unbound: 'unbound',
  dnsmasq: 'dnsmasq-base',
  gcc: 'gcc',
  openssl: 'openssl',
  conntrack: 'conntrack',
  iptables: 'iptables',
  git: 'git',
  go: 'golang',
  containerd: 'containerd',
  runc: 'runc',
  buildah: 'buildah',
  mmdebstrap: 'mmdebstrap',
} as const;

/** Where Debian puts the plugins that give pods their network. */
export const networkPlugins = '/usr/lib/cni';

export type MachineProgram = keyof typeof machinePackages;
export type Need = 'root' | 'namespaces' | 'control groups' | 'network plugins' | MachineProgram | ToolName;

/** What a machine lacks, and what its owner can do about it. */
export interface Lack {
  need: Need;
  message: string;
}

/** Programs of a Kubernetes test environment that somebody else has already put on this machine. */
const fromKubebuilder: readonly ToolName[] = ['etcd', 'kube-apiserver', 'kubectl'];

/** Where built tools live: outside the tree, so that a fresh checkout finds them again. */
export function toolsFolder(): string {
  const { LOCALDNS_TOOLS, XDG_CACHE_HOME } = process.env;
  return LOCALDNS_TOOLS || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'localdns-tools');
}

/** The path of a tool that is there in the pinned version, else undefined. */
export function findTool(name: ToolName): string | undefined {
  const assets = process.env.KUBEBUILDER_ASSETS;
  if (assets && fromKubebuilder.includes(name)) {
    const path = join(assets, name);
    return isExecutable(path) ? path : undefined;
  }
  return isBuilt(name) ? join(toolsFolder(), name) : undefined;
}

/** The path of a tool that a tier's needs have already vouched for. */
export function toolPath(name: ToolName): string {
  const path = findTool(name);
  if (path === undefined) throw new Error(missingTool(name));
  return path;
}

/** A binary counts only together with the note of what it was built from: a changed pin is a missing tool. */
export function isBuilt(name: ToolName): boolean {
  const tool = tools.find((candidate) => candidate.name === name);
  if (tool === undefined) return false;
  const path = join(toolsFolder(), name);
  try {
    return isExecutable(path) && readFileSync(`${path}.version`, 'utf8') === fingerprint(tool);
  } catch {
    return false;
  }
}

export function findProgram(name: string): string | undefined {
  // Administrators' folders are on root's PATH only by custom; `ip` and `nft` live there on Debian.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

export function lacking(needs: readonly Need[]): Lack[] {
  return needs.flatMap((need) => {
    const message = lack(need);
    return message === undefined ? [] : [{ need, message }];
  });
}

function lack(need: Need): string | undefined {
  if (need === 'root') return isRoot() ? undefined : 'root: run the tests as root (sudo -E npm test)';
  if (need === 'namespaces') return lackOfNamespaces();
  if (need === 'control groups') return lackOfGroups();
  if (need === 'network plugins') {
    const path = join(networkPlugins, 'ptp');
    return isExecutable(path) ? undefined : `${path}: apt-get install containernetworking-plugins`;
  }
  if (need in machinePackages) {
    const program = need as MachineProgram;
    return findProgram(program) ? undefined : `${program}: apt-get install ${machinePackages[program]}`;
  }
  return findTool(need as ToolName) ? undefined : missingTool(need as ToolName);
}

function missingTool(name: ToolName): string {
  const version = tools.find((tool) => tool.name === name)?.version ?? '';
  if (process.env.KUBEBUILDER_ASSETS && fromKubebuilder.includes(name)) {
    return `${name}: not in KUBEBUILDER_ASSETS (${process.env.KUBEBUILDER_ASSETS}); unset it and run npm run tools`;
  }
  return `${name} ${version}: npm run tools (builds it into ${toolsFolder()})`;
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Containers often run as root without CAP_SYS_ADMIN, so the only honest answer is to try. */
function lackOfNamespaces(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces: they exist on Linux alone';
  const { status, stderr } = spawnSync('unshare', ['--net', 'true'], { encoding: 'utf8' });
  if (status === 0) return undefined;
  const reason = stderr?.trim() || 'unshare --net failed';
  return `network namespaces: ${reason}; needs root with CAP_SYS_ADMIN (in a container: --privileged)`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
