import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlPlane } from '../cluster/control-plane.ts';
import type { Daemon } from '../cluster/daemon.ts';
import { Namespace, type Outcome } from '../cluster/namespace.ts';
import { type ProxyMode, proxySettings } from '../datapath/kube-proxy.ts';
import { addresses, attach, makeRouter } from '../datapath/network.ts';
import { hierarchies, removeGroup } from '../tools/control-groups.ts';
import { eventually } from '../tools/eventually.ts';
import { toolPath } from '../tools/find.ts';
import type { Image } from '../tools/image/image.ts';
import { type Container, containers } from './containers.ts';
import { NodeDisk } from './node-disk.ts';
import { containerdSettings, kubeletSettings, networkSettings } from './node-settings.ts';

export interface NodeOptions {
  number: number;
  proxyMode: ProxyMode;
  images: readonly Image[];
  pauseImage: string;
}

/** What exists of a node only while it has power. */
interface Life {
  /** Its network, from outside. */
  network: Namespace;
  groups: readonly string[];
  /** Whose end is the end of all. */
  first: Daemon;
  /** Of the node's first process, outside. */
  pid: number;
  /** Inside of all its namespaces. */
  inside: Namespace;
}

/**
 * A node with everything that a machine of a cluster runs: containerd, kubelet, kube-proxy, pods. It has namespaces and control
 * groups of its own; its first process takes all others with it.
 */
export class ClusterNode {
  readonly name: string;
  readonly address: string;
  readonly #cluster: ControlPlane;
  readonly #options: NodeOptions;
  readonly #disk: NodeDisk;
  #proxyMode: ProxyMode;
  #life: Life | undefined;

  constructor(cluster: ControlPlane, options: NodeOptions) {
    this.name = `n${options.number}`;
    this.#cluster = cluster;
    this.#options = options;
    this.#proxyMode = options.proxyMode;
    this.address = this.#ofThisNode(addresses.node.v4);
    this.#disk = new NodeDisk(cluster.makeFolder(`nodes/${this.name}`));
    this.#disk.make({
      'etc/cni/net.d/10-pods.conflist': networkSettings(this.#podRange),
      'etc/containerd.toml': containerdSettings(options.pauseImage),
      'etc/resolv.conf': `nameserver ${addresses.nodeResolver.v4}\n`,
    });
  }

  /** Its network, from outside. */
  get network(): Namespace {
    return this.#alive.network;
  }

  /** How nsenter(1) comes into it. */
  get way(): readonly string[] {
    return this.#alive.inside.way;
  }

  /** Power on: its network, its first process, containerd with the images. Needs nothing of the control plane. */
  async boot(): Promise<void> {
    const network = this.#connect();
    const groups = this.#cluster.folder.addGroups(network.name, hierarchies());
    const first = await this.#startFirst(network, groups);
    const pid = Number(readFileSync(`/proc/${first.pid}/task/${first.pid}/children`, 'utf8'));
    const all = ['--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup', '--root', '--wd'];
    const inside = new Namespace(this.#cluster.folder, this.name, ['--target', String(pid), ...all]);
    const isNew = this.#life === undefined;
    this.#life = { network, groups, first, pid, inside };
    await this.#startContainerd();
    // One after the other: two that share a layer are refused as locked.
    if (isNew) for (const image of this.#options.images) await this.importImage(image);
  }

  /** Makes it a node of the cluster; the API server has to be there: a kubelet that finds none waits for seconds. */
  async join(): Promise<void> {
    await this.#startKubelet();
    await this.#startProxy();
  }

  async #startContainerd(): Promise<void> {
    const containerd = this.#start('containerd', 'containerd', ['--config', '/etc/containerd.toml']);
    await eventually(`containerd of ${this.name} answers`, 15_000, async () => {
      containerd.assertRunning();
      return (await this.run('ctr', ['version'])).code === 0;
    });
  }

  async #startKubelet(): Promise<void> {
    const subject = `/O=system:nodes/CN=system:node:${this.name}`;
    const kubeconfig = await this.#cluster.kubeconfigForSubject(`kubelet-${this.name}`, subject);
    const settings = join(this.#disk.path, 'etc/kubelet.json');
    writeFileSync(settings, kubeletSettings(this.address, this.#cluster.certificateAuthority));
    this.#start('kubelet', toolPath('kubelet'), [
      ...[`--config=${settings}`, `--kubeconfig=${kubeconfig}`, `--hostname-override=${this.name}`],
      ...[`--node-ip=${this.address}`, '--root-dir=/var/lib/kubelet', '--cert-dir=/var/lib/kubelet/pki'],
    ]);
  }

  /** containerd and kubelet die, and are started again, as a machine's init would. Their pods live on. */
  async restartPrograms(): Promise<void> {
    await this.run('sh', ['-c', 'kill -9 $(cat /run/kubelet.pid /run/containerd.pid)']);
    await this.#startContainerd();
    await this.#startKubelet();
  }

  /** Rules of the other mode are removed by kube-proxy itself. */
  async setProxyMode(mode: ProxyMode): Promise<void> {
    if (mode === this.#proxyMode) return;
    this.#proxyMode = mode;
    await this.run('sh', ['-c', 'kill -9 $(cat /run/kube-proxy.pid)']);
    await this.#startProxy();
    await eventually(`kube-proxy of ${this.name} has changed to ${mode} mode`, 30_000, async () => {
      const [nftables, iptables] = await Promise.all([
        this.run('nft', ['list', 'chain', 'ip', 'kube-proxy', 'services']),
        this.run('iptables-save', ['-t', 'nat']),
      ]);
      const has = { nftables: nftables.stdout.includes('vmap'), iptables: iptables.stdout.includes('-j KUBE-SVC-') };
      return has[mode] && !(has.nftables && has.iptables);
    });
  }

  async importImage({ path }: Image): Promise<void> {
    const { code, stderr } = await this.run('ctr', ['--namespace', 'k8s.io', 'images', 'import', path]);
    if (code !== 0) throw new Error(`${this.name} does not take ${path}: ${stderr.trim()}`);
  }

  /** The same image by another name. */
  async nameImage({ name }: Image, as: string): Promise<void> {
    const { code, stderr } = await this.run('ctr', ['--namespace', 'k8s.io', 'images', 'tag', '--force', name, as]);
    if (code !== 0) throw new Error(`${this.name} does not call ${name} ${as}: ${stderr.trim()}`);
  }

  /** A program inside the node, to its end. */
  run(command: string, args: readonly string[]): Promise<Outcome> {
    return this.#alive.inside.run(command, args);
  }

  /** What runs in its pods. */
  get containers(): Container[] {
    return containers(this.#root);
  }

  /** The network of a pod, from outside. */
  networkOfPod(pod: string, namespace = 'default'): Namespace {
    const path = `${this.#processOfPod(pod, namespace)}/ns/net`;
    return new Namespace(this.#cluster.folder, pod, [`--net=${path}`]);
  }

  /** The file system of a pod's container, from outside. */
  rootOfPod(pod: string, container: string, namespace = 'default'): string {
    return `${this.#processOfPod(pod, namespace, container)}/root`;
  }

  /** The folder below /proc of a process inside, from outside. */
  process(pid: number): string {
    return `${this.#root}/proc/${pid}`;
  }

  /** A file of its disk, from outside. */
  file(path: string): string {
    return join(this.#disk.path, path);
  }

  /** As when somebody pulls the plug: everything that runs there ends at once, what was written to the disk stays. */
  async powerOff(): Promise<void> {
    const { first, network, groups } = this.#alive;
    await network.close();
    await first.kill();
    for (const group of groups) await removeGroup(group);
    this.#cluster.namespace.ip('link', 'delete', this.#device);
    await this.#cluster.folder.removeNamespace(network.name);
  }

  async close(): Promise<void> {
    await this.#life?.network.close();
  }

  get lastWords(): string {
    return this.#life?.first.lastWords ?? '';
  }

  get #alive(): Life {
    if (this.#life === undefined) throw new Error(`${this.name} has not been started`);
    return this.#life;
  }

  /** Its file system, from outside. */
  get #root(): string {
    return `/proc/${this.#alive.pid}/root`;
  }

  get #podRange(): string {
    return `10.244.${this.#options.number}.0/24`;
  }

  /** On the other end of its wire. */
  get #device(): string {
    return `to-${this.name}`;
  }

  #ofThisNode(address: string): string {
    return address.replace(/\d+$/, String(10 + this.#options.number));
  }

  #connect(): Namespace {
    const network = new Namespace(this.#cluster.folder, this.name);
    makeRouter(network);
    const own = { v4: this.address, v6: this.#ofThisNode(addresses.node.v6) };
    attach(network, this.#cluster.namespace, this.#device, own, addresses.world);
    this.#cluster.namespace.ip('route', 'replace', this.#podRange, 'via', this.address);
    return network;
  }

  async #startFirst(network: Namespace, groups: readonly string[]): Promise<Daemon> {
    rmSync(this.#disk.upFile, { force: true });
    const enter = [
      'for group; do',
      '  [ "$group" = -- ] && break',
      '  echo $$ > "$group/cgroup.procs"; shift',
      'done; shift; exec "$@"',
    ];
    const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--uts', '--ipc', '--cgroup'];
    const script = this.#disk.script(this.name, hierarchies());
    const first = this.#cluster.startDaemon(
      {
        name: this.name,
        command: 'sh',
        args: [
          ...['-c', enter.join('\n'), 'sh', ...groups, '--'],
          ...['unshare', ...namespaces, '--propagation', 'private', 'sh', '-c', script],
        ],
      },
      network,
    );
    await eventually(`${this.name} is up`, 10_000, () => {
      first.assertRunning();
      return existsSync(this.#disk.upFile);
    });
    return first;
  }

  async #startProxy(): Promise<void> {
    const kubeconfig = await this.#cluster.kubeconfigForSubject(`kube-proxy-${this.name}`, '/CN=system:kube-proxy');
    const settings = join(this.#disk.path, 'etc/kube-proxy.json');
    writeFileSync(settings, JSON.stringify(proxySettings(kubeconfig, this.name, this.#proxyMode)));
    this.#start('kube-proxy', toolPath('kube-proxy'), [`--config=${settings}`]);
  }

  /** In the groups of the node, as which it sees the topmost ones. */
  #start(name: string, command: string, args: readonly string[]): Daemon {
    const enter = [
      'for file in /sys/fs/cgroup/*/cgroup.procs; do echo $$ > "$file"; done',
      `echo $$ > /run/${name}.pid`,
      'exec "$@"',
    ];
    return this.#cluster.startDaemon(
      { name: `${this.name}-${name}`, command: 'sh', args: ['-c', enter.join('\n'), 'sh', command, ...args] },
      this.#alive.inside,
    );
  }

  /** @param container the sandbox, where none is named */
  #processOfPod(pod: string, namespace: string, container?: string): string {
    const found = this.containers.find(
      (one) => one.pod === pod && one.namespace === namespace && one.name === container,
    );
    if (found === undefined) throw new Error(`${pod} does not run on ${this.name}`);
    return this.process(found.pid);
  }
}
