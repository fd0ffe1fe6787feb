import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../tools/eventually.ts';
import { toolPath } from '../tools/find.ts';
import { RunFolder } from '../tools/run-folder.ts';
import { apiPathOf } from './api-path.ts';
import { ClusterDns, type ClusterDnsOptions } from './cluster-dns.ts';
import { Daemon, type DaemonOptions } from './daemon.ts';
import type { Page, PageRequest } from './insider.ts';
import { kubeconfig } from './kubeconfig.ts';
import { limitingAdmission } from './limited-classes.ts';
import { Namespace, type Outcome, type RunOptions } from './namespace.ts';
import { type Credential, Pki } from './pki.ts';

/** Where the API server says it is. The API server wants an address that is not a loopback one. */
export const apiServerAddress = '10.240.0.1';
export const apiServerUrl = `https://${apiServerAddress}:6443`;
const etcdUrl = 'http://127.0.0.1:2379';
const mergePatchType = 'application/merge-patch+json';

export interface ControlPlaneOptions {
  /** Starts kube-controller-manager too: default ServiceAccounts, garbage collection, namespaces that really go. */
  controllers?: boolean;
  /** The API server finds its way to kubelets: logs, and commands in pods. */
  kubelets?: boolean;
  /** Pods of these priority classes are taken only where a quota is for them, as on GKE. */
  limitedClasses?: readonly string[];
  /** Of all its programs, and of the tools that a test runs there. */
  niceness?: number;
}

/** Without kubelets every node would be found dead, and pods go nowhere; a rollback has a Job. A short list also starts sooner. */
const withoutNodes = [
  ...['serviceaccount-controller', 'root-ca-certificate-publisher-controller', 'garbage-collector-controller'],
  ...['namespace-controller', 'deployment-controller', 'replicaset-controller', 'daemonset-controller'],
  ...['job-controller'],
];
/** What pods need that run, and nodes that may die. */
export const withNodes = [
  ...[...withoutNodes, 'endpointslice-controller', 'serviceaccount-token-controller', 'disruption-controller'],
  ...['node-lifecycle-controller', 'taint-eviction-controller', 'pod-garbage-collector-controller'],
];

export interface ServiceAccount {
  serviceAccount: string;
  namespace: string;
  /** The token is made for this pod, as kubelets ask for theirs. */
  pod?: string;
}

/** One request as the API server's audit log has it. */
export interface AuditedRequest {
  user: { username: string };
  userAgent?: string;
  verb: string;
  requestURI: string;
  requestReceivedTimestamp: string;
  objectRef?: { apiGroup?: string; resource: string; subresource?: string; namespace?: string; name?: string };
  responseStatus?: { code: number };
}

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const controlPlane = new ControlPlane();
  try {
    await controlPlane.start(options);
    return controlPlane;
  } catch (error) {
    await controlPlane.stop();
    throw error;
  }
}

/** A real etcd and a real kube-apiserver, alone in a network namespace. */
export class ControlPlane {
  readonly folder: RunFolder;
  readonly namespace: Namespace;
  #daemons: Daemon[] = [];
  #apiServer: Daemon | undefined;
  #apiServerArguments: string[] = [];
  #pki: Pki | undefined;
  #admin: Credential | undefined;
  #adminKubeconfig = '';

  /** @param label in the names of what it makes */
  constructor(label = 'cluster') {
    this.folder = new RunFolder(label);
    this.namespace = new Namespace(this.folder, label);
  }

  async start({
    controllers = false,
    kubelets = false,
    niceness = 0,
    limitedClasses,
  }: ControlPlaneOptions = {}): Promise<void> {
    this.namespace.niceness = niceness;
    this.namespace.addAddress(apiServerAddress);
    const etcd = this.startDaemon({
      name: 'etcd',
      command: toolPath('etcd'),
      args: [
        ...['--data-dir', join(this.folder.path, 'etcd'), '--log-level', 'warn'],
        ...['--listen-client-urls', etcdUrl, '--advertise-client-urls', etcdUrl],
        ...['--listen-peer-urls', 'http://127.0.0.1:2380', '--initial-advertise-peer-urls', 'http://127.0.0.1:2380'],
        ...['--initial-cluster', 'default=http://127.0.0.1:2380'],
        // What a test writes need not outlive a power cut.
        '--unsafe-no-fsync',
        // A single member waits for nobody's vote, and yet for the time of an election.
        ...['--heartbeat-interval', '20', '--election-timeout', '200'],
      ],
    });
    this.#pki = await Pki.create(this.makeFolder('pki'));
    await this.#prepareApiServer(this.#pki, kubelets);
    if (limitedClasses)
      this.#apiServerArguments.push(...limitingAdmission(this.makeFolder('admission'), limitedClasses));
    await eventually('etcd answers', 15_000, async () => {
      etcd.assertRunning();
      return (await this.namespace.page({ url: `${etcdUrl}/health` })).status === 200;
    });
    await this.restartApiServer();
    if (controllers) await this.startControllers(withoutNodes);
  }

  /** The API server, killed and started anew on the same etcd; returns when it is ready again. */
  async restartApiServer(): Promise<void> {
    await this.stopApiServer();
    const apiServer = this.startDaemon({
      name: 'kube-apiserver',
      command: toolPath('kube-apiserver'),
      args: this.#apiServerArguments,
    });
    this.#apiServer = apiServer;
    await eventually('the API server is ready', 40_000, async () => {
      apiServer.assertRunning();
      return (
        (await this.namespace.page({ url: `${apiServerUrl}/readyz`, ca: this.certificateAuthority })).status === 200
      );
    });
  }

  async stopApiServer(): Promise<void> {
    await this.#apiServer?.kill();
    this.#daemons = this.#daemons.filter((daemon) => daemon !== this.#apiServer);
    this.#apiServer = undefined;
  }

  kubectl(...args: string[]): Promise<Outcome> {
    return this.run(toolPath('kubectl'), args);
  }

  /** kubectl where only success will do: its output, or an error that shows what was said. */
  async kubectlOk(...args: string[]): Promise<string> {
    const { stdout, stderr, code } = await this.kubectl(...args);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr.trim()}`);
    return stdout;
  }

  /** One object, or a list, as the API server has it; undefined where it has none. What tests wait for is asked without starting kubectl. */
  async get<T>(...args: string[]): Promise<T | undefined> {
    const path = apiPathOf(args);
    if (path !== undefined) return this.#getAt<T>(path);
    const text = await this.kubectlOk('get', ...args, '--ignore-not-found', '-o', 'json');
    return text.trim() === '' ? undefined : (JSON.parse(text) as T);
  }

  /** An object, made or refused as kubectl has it by default, without starting kubectl: an unknown field is an error. */
  post(path: string, object: object): Promise<Page> {
    const headers = { 'content-type': 'application/json' };
    return this.#asAdmin(`${path}?fieldValidation=Strict`, { method: 'POST', headers, body: JSON.stringify(object) });
  }

  #asAdmin(path: string, more: Partial<PageRequest> = {}): Promise<Page> {
    const as = this.#admin === undefined ? {} : { identity: this.#admin };
    return this.namespace.page({
      url: `${apiServerUrl}${path}`,
      ca: this.certificateAuthority,
      ...as,
      timeoutMs: 10_000,
      ...more,
    });
  }

  async #getAt<T>(path: string): Promise<T | undefined> {
    const { status, body } = await this.#asAdmin(path);
    if (status === 200) return JSON.parse(body) as T;
    // Of a kind that the API server does not know it says so in plain text.
    if (status === 404 && body.startsWith('{')) return undefined;
    throw new Error(`GET ${path}: ${status} ${body.trim()}`);
  }

  /** `kubectl apply` of YAML, or of objects. Does not reject when the API server refuses them. */
  apply(manifest: string | readonly object[], ...flags: string[]): Promise<Outcome> {
    return this.run(toolPath('kubectl'), ['apply', ...flags, '-f', '-'], { input: asText(manifest) });
  }

  async applyOk(manifest: string | readonly object[], ...flags: string[]): Promise<void> {
    const { stderr, code } = await this.apply(manifest, ...flags);
    if (code !== 0) throw new Error(`kubectl apply: ${stderr.trim()}`);
  }

  /** `kubectl create` of one object; what exists already, or is refused, shows in the outcome. */
  create(object: object): Promise<Outcome> {
    return this.run(toolPath('kubectl'), ['create', '-f', '-'], { input: JSON.stringify(object) });
  }

  helm(...args: string[]): Promise<Outcome> {
    return this.run(toolPath('helm'), args, { timeoutMs: 120_000 });
  }

  /** Runs a program to its end, with the administrator's kubeconfig and no trace of the user's own. */
  run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const env = { ...process.env, HOME: this.folder.path, KUBECONFIG: this.#adminKubeconfig, ...options.env };
    return this.namespace.run(command, args, { ...options, env });
  }

  /** A program inside the namespace whose streams the caller handles. */
  exec(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return this.namespace.exec(command, args, options);
  }

  /** A program that runs until it is stopped, at the latest with this control plane. */
  startDaemon(options: DaemonOptions, namespace = this.namespace): Daemon {
    const daemon = new Daemon(this.folder, namespace, options);
    this.#daemons.push(daemon);
    return daemon;
  }

  /** The path of a kubeconfig: the administrator's, or one with a token that the API server issues to a ServiceAccount. */
  async kubeconfigFor(who: 'admin' | ServiceAccount): Promise<string> {
    if (who === 'admin') return this.#adminKubeconfig;
    const { serviceAccount, namespace, pod } = who;
    const request = {
      ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' },
      spec: {
        expirationSeconds: 7_200,
        ...(pod !== undefined && { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod } }),
      },
    };
    const { status, body } = await this.post(
      `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`,
      request,
    );
    if (status !== 201) throw new Error(`a token of ${namespace}/${serviceAccount}: ${status} ${body.trim()}`);
    const { token } = (JSON.parse(body) as { status: { token: string } }).status;
    const path = join(this.folder.path, `${namespace}-${serviceAccount}${pod ?? ''}.kubeconfig`);
    writeFileSync(path, kubeconfig(apiServerUrl, this.certificateAuthority, { token }), { mode: 0o600 });
    return path;
  }

  /** A kubeconfig with a client certificate, as kubelets have: the subject says who it is. */
  async kubeconfigForSubject(name: string, subject: string): Promise<string> {
    if (this.#pki === undefined) throw new Error('the control plane has not been started');
    const path = join(this.folder.path, `${name}.kubeconfig`);
    writeFileSync(path, kubeconfig(apiServerUrl, this.certificateAuthority, await this.#pki.client(name, subject)), {
      mode: 0o600,
    });
    return path;
  }

  /** A request as it is, with the token of a kubeconfig: kubectl asks for more than the one thing that it is told to do. */
  raw(tokenOf: string, method: string, path: string, body?: object, contentType = mergePatchType): Promise<Page> {
    const { users } = JSON.parse(readFileSync(tokenOf, 'utf8')) as { users: { user: { token: string } }[] };
    return this.namespace.page({
      url: `${apiServerUrl}${path}`,
      ca: this.certificateAuthority,
      method,
      headers: { authorization: `Bearer ${users[0]?.user.token}`, 'content-type': contentType },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  startClusterDns(options: ClusterDnsOptions = {}): Promise<ClusterDns> {
    return ClusterDns.start(this, options);
  }

  /** Every request that ServiceAccounts have made, as the API server wrote it down when it had answered. */
  audit(): AuditedRequest[] {
    const lines = readFileSync(this.#auditLog, 'utf8').trim().split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as AuditedRequest);
  }

  /** A folder of this name below the run folder, which goes with it. */
  makeFolder(name: string): string {
    const path = join(this.folder.path, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Leaves nothing: no process, no namespace, no file. */
  async stop(): Promise<void> {
    await Promise.all(this.#daemons.map((daemon) => daemon.kill()));
    this.#daemons = [];
    await this.namespace.close();
    await this.folder.remove();
  }

  /** The path of its certificate. */
  get certificateAuthority(): string {
    if (this.#pki === undefined) throw new Error('the control plane has not been started');
    return this.#pki.ca.certificate;
  }

  get #auditLog(): string {
    return join(this.folder.path, 'log', 'audit.log');
  }

  async #prepareApiServer(pki: Pki, kubelets: boolean): Promise<void> {
    const [server, admin, toKubelets] = await Promise.all([
      pki.server(
        'kube-apiserver',
        [apiServerAddress, '127.0.0.1', '10.96.0.1'],
        ['kubernetes.default.svc', 'localhost'],
      ),
      pki.client('admin', '/O=system:masters/CN=admin'),
      kubelets ? pki.client('to-kubelets', '/O=system:masters/CN=kube-apiserver') : undefined,
    ]);
    this.#admin = admin;
    this.#adminKubeconfig = join(this.folder.path, 'admin.kubeconfig');
    writeFileSync(this.#adminKubeconfig, kubeconfig(apiServerUrl, pki.ca.certificate, admin), { mode: 0o600 });
    const auditPolicy = join(this.folder.path, 'audit-policy.json');
    writeFileSync(auditPolicy, JSON.stringify(serviceAccountsOnly));
    writeFileSync(this.#auditLog, '');
    this.#apiServerArguments = [
      `--etcd-servers=${etcdUrl}`,
      `--advertise-address=${apiServerAddress}`,
      '--secure-port=6443',
      `--cert-dir=${this.makeFolder('apiserver')}`,
      `--tls-cert-file=${server.certificate}`,
      `--tls-private-key-file=${server.key}`,
      `--client-ca-file=${pki.ca.certificate}`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-key-file=${pki.tokenPublicKey}`,
      `--service-account-signing-key-file=${pki.tokenKey}`,
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      '--allow-privileged=true',
      // A Service has addresses of both families only where it asks for them.
      '--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112',
      `--audit-policy-file=${auditPolicy}`,
      `--audit-log-path=${this.#auditLog}`,
      '--audit-log-mode=blocking',
      '--profiling=false',
    ];
    if (toKubelets === undefined) return;
    this.#apiServerArguments.push(
      `--kubelet-client-certificate=${toKubelets.certificate}`,
      `--kubelet-client-key=${toKubelets.key}`,
      '--kubelet-preferred-address-types=InternalIP',
    );
  }

  /** kube-controller-manager, with these of its controllers. It would end at once where the API server is not ready. */
  async startControllers(controllers: readonly string[]): Promise<void> {
    const pki = this.#pki;
    if (pki === undefined) throw new Error('the control plane has not been started');
    const config = await this.kubeconfigForSubject('kube-controller-manager', '/CN=system:kube-controller-manager');
    this.startDaemon({
      name: 'kube-controller-manager',
      command: toolPath('kube-controller-manager'),
      args: [
        `--kubeconfig=${config}`,
        `--service-account-private-key-file=${pki.tokenKey}`,
        `--root-ca-file=${pki.ca.certificate}`,
        '--use-service-account-credentials=true',
        '--leader-elect=false',
        '--bind-address=127.0.0.1',
        `--controllers=${controllers}`,
        // A node that is dead shall be seen to be, though not because this machine hesitated.
        '--node-monitor-grace-period=20s',
      ],
    });
    await eventually('the default ServiceAccount exists', 30_000, async () => {
      return (await this.kubectl('get', 'serviceaccount', 'default')).code === 0;
    });
  }

  async startScheduler(): Promise<void> {
    const config = await this.kubeconfigForSubject('kube-scheduler', '/CN=system:kube-scheduler');
    const delegated = [`--authentication-kubeconfig=${config}`, `--authorization-kubeconfig=${config}`];
    this.startDaemon({
      name: 'kube-scheduler',
      command: toolPath('kube-scheduler'),
      args: [`--kubeconfig=${config}`, ...delegated, '--leader-elect=false', '--bind-address=127.0.0.1'],
    });
  }
}

/** ResponseComplete leaves long watches out until they end, which is when they have a status. */
const serviceAccountsOnly = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived', 'ResponseStarted'],
  rules: [{ level: 'Metadata', userGroups: ['system:serviceaccounts'] }, { level: 'None' }],
};

function asText(manifest: string | readonly object[]): string {
  if (typeof manifest === 'string') return manifest;
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifest });
}
