/** An operator with many nodes: what a profile's way to all of them costs it, and the API server. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { apiVersion } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import { eventually } from '../tools/eventually.ts';
import { type AuditedRequest, type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { Installation } from './installation.ts';
import { servable, servedPool } from './temperament.ts';

const root = resolve(import.meta.dirname, '../..');
const system = 'localdns-system';
/** Of the kernel's clock: USER_HZ is 100 wherever Linux runs. */
const tickMs = 10;
const sampleMs = 250;
const mebibyte = 1_024;
/** An operator that has asked for nothing for so long, and has computed nothing worth a word, has nothing left to catch up with. */
const quietMs = 3_000;
/** Of a core: what heartbeats of thousands of nodes and our own looks at its metrics take. */
const quietShare = 0.15;
const lookMs = 500;
const firstNodes = 10;
/** One leads, and one may stand by. */
const metricsPorts = [9_354, 9_355] as const;

/** How fast things may go. */
export interface Pace {
  /** Of the operator. */
  writesPerSecond: number;
  /** As in a profile, which has 10 % by itself. */
  maxUnavailable?: string;
}

/** What one step has cost. */
export interface Step {
  name: string;
  nodes: number;
  seconds: number;
  /** Of the operator's process, all threads. */
  cpuSeconds: number;
  /** Looks at the whole world. */
  plans: number;
  /** What they took of it, and the looks at how profiles fare: without requests, and without what reads the answers. */
  planSeconds: number;
  /** Resident memory in MiB, every reading. */
  memory: number[];
  /** Requests that are not a GET, by `verb resource`, and those that were refused apart with the code; the Lease left out. */
  writes: Record<string, number>;
  /** In each second in which there were any. */
  writesPerSecond: number[];
  /** The most that one object was written, by `verb resource`. */
  mostPerObject: Record<string, number>;
  lists: number;
  watches: number;
}

/** The operator's own figures, as its metrics have them. */
interface Reading {
  cpuMs: number;
  plans: number;
  planSeconds: number;
  lists: number;
  watches: number;
  /** Of all kinds. */
  requests: number;
}

/** When it was, and what the operator had done by then. */
interface Moment {
  atMs: number;
  reading: Reading;
}

const nothing: Reading = { cpuMs: 0, plans: 0, planSeconds: 0, lists: 0, watches: 0, requests: 0 };

export class LargeCluster {
  readonly writesPerSecond: number;
  readonly #maxUnavailable: string;
  readonly #cluster: ControlPlane;
  readonly #localdns: Installation;
  readonly #token: string;
  #operator: Daemon | undefined;
  #metricsPort: number = metricsPorts[0];
  #nodes = 0;
  #edits = 0;

  private constructor(
    cluster: ControlPlane,
    localdns: Installation,
    token: string,
    { writesPerSecond, maxUnavailable = '10%' }: Pace,
  ) {
    this.#maxUnavailable = maxUnavailable;
    this.#cluster = cluster;
    this.#localdns = localdns;
    this.#token = token;
    this.writesPerSecond = writesPerSecond;
  }

  static async start(pace: Pace): Promise<LargeCluster> {
    const cluster = await startControlPlane();
    try {
      const localdns = await Installation.create(cluster, { nodes: [] });
      const token = await cluster.kubeconfigFor({ serviceAccount: 'localdns-operator', namespace: system });
      const large = new LargeCluster(cluster, localdns, token, pace);
      large.#startProgram('simulated-agents', []);
      await large.#edit();
      // The first revision of all waits two minutes for a node that is silent: among these there is none.
      await large.grow(firstNodes);
      await large.takeUp();
      await large.endOperator();
      return large;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** So many nodes there are from now on. */
  async grow(nodes: number): Promise<void> {
    const maker = this.#startProgram('simulated-nodes', [`${this.#nodes}`, `${nodes}`]);
    await eventually(`${nodes} nodes are made`, 180_000, () => {
      maker.assertRunning();
      return maker.log.includes('made\n');
    });
    this.#nodes = nodes;
  }

  /** An operator starts, and serves whatever is not served yet. */
  takeUp(): Promise<Step> {
    return this.#step('start', async () => {
      this.#operator = this.#startOperator();
      await this.#until('every node is served', ({ status }) => {
        return status?.rollout?.phase === 'Done' && (status.nodes?.ready ?? 0) >= servable(this.#nodes);
      });
    });
  }

  /** A profile is edited: canary, batches, done. */
  change(): Promise<Step> {
    return this.#step('change', async () => {
      await this.#edit();
      await this.#until('the change is rolled out', ({ metadata, status }) => {
        if (status?.observedGeneration !== metadata.generation || status?.rollout?.phase !== 'Done') return false;
        return (status.nodes?.ready ?? 0) >= servable(this.#nodes);
      });
    });
  }

  /** The operator is told to end, and one that stands by takes over: until that one has read all anew, and acts. */
  async handOver(): Promise<Step> {
    await this.#caughtUp();
    const first = this.#operator;
    this.#metricsPort = metricsPorts.find((port) => port !== this.#metricsPort) ?? metricsPorts[0];
    const second = this.#startOperator();
    this.#operator = second;
    await eventually('the second stands by', 60_000, () => second.log.includes('"ready"'));
    await this.#caughtUp();
    return this.#step('handover', async () => {
      first?.signal('SIGTERM');
      await eventually('the second acts', 60_000, () => second.log.includes('"acting: all is read anew"'));
      await first?.stop();
    });
  }

  /** The API server is away for a moment: every watch breaks. */
  outage(): Promise<Step> {
    const work = async () => {
      await this.#cluster.restartApiServer();
      await eventually('the operator follows again', 60_000, async () => {
        const following = valuesIn(await this.#metrics(), /^localdns_operator_following\{.*\} (\d)$/gm);
        return following.length > 0 && following.every((is) => is === 1);
      });
    };
    // A watch that is open may yet be told that its version is too old: only then all is read anew, looked at, and written.
    return this.#step('outage', work, () => this.#caughtUp());
  }

  /**
   * Nothing happens but heartbeats, from when all have said what they had to say: simulated agents are slow on a machine that is busy with
   * something else.
   */
  async rest(seconds: number): Promise<Step> {
    await this.#caughtUp();
    return this.#step('rest', () => new Promise((done) => setTimeout(done, seconds * 1000)));
  }

  async endOperator(): Promise<void> {
    await this.#operator?.stop();
    this.#operator = undefined;
  }

  async stop(): Promise<void> {
    await this.#cluster.stop();
  }

  get lastWords(): string {
    return this.#operator?.lastWords ?? '';
  }

  /** The moment since which the operator has had nothing to do. */
  async #caughtUp(): Promise<Moment> {
    let last = await this.#moment();
    let lookedAt = last;
    return eventually('the operator has caught up', 180_000, async () => {
      await delay(lookMs);
      const now = await this.#moment();
      const isBusy =
        now.reading.requests !== lookedAt.reading.requests ||
        now.reading.plans !== lookedAt.reading.plans ||
        now.reading.cpuMs - lookedAt.reading.cpuMs > (now.atMs - lookedAt.atMs) * quietShare;
      lookedAt = now;
      if (isBusy) last = now;
      return now.atMs - last.atMs >= quietMs && last;
    });
  }

  /** @param end when the work was done, where that is seen only afterwards */
  async #step(name: string, work: () => Promise<void>, end = () => this.#moment()): Promise<Step> {
    const fromMs = Date.now();
    const before = await this.#reading();
    const memory: number[] = [];
    const sample = (): void => {
      const reading = memoryOf(this.#operator);
      if (reading !== undefined) memory.push(reading);
    };
    const sampler = setInterval(sample, sampleMs);
    let ended: Moment;
    try {
      await work();
      ended = await end();
      // What is over sooner has one as well.
      sample();
    } finally {
      clearInterval(sampler);
    }
    const { atMs: untilMs, reading: after } = ended;
    const difference = (what: keyof Reading): number => Math.round((after[what] - before[what]) * 1000) / 1000;
    return {
      ...{ name, nodes: this.#nodes, seconds: (untilMs - fromMs) / 1000, memory },
      cpuSeconds: difference('cpuMs') / 1000,
      ...{ plans: difference('plans'), planSeconds: difference('planSeconds') },
      ...{ lists: difference('lists'), watches: difference('watches') },
      ...writesOf(this.#requests(fromMs, untilMs)),
    };
  }

  async #moment(): Promise<Moment> {
    return { atMs: Date.now(), reading: await this.#reading() };
  }

  async #reading(): Promise<Reading> {
    if (this.#operator === undefined) return nothing;
    const page = await this.#metrics();
    const sum = (pattern: RegExp): number => valuesIn(page, pattern).reduce((all, value) => all + value, 0);
    return {
      cpuMs: processorMsOf(this.#operator),
      plans: sum(/^localdns_operator_reconcile_seconds_count\{duty="plan"\} (\S+)$/gm),
      planSeconds: sum(/^localdns_operator_planning_cpu_seconds_total (\S+)$/gm),
      lists: sum(/^localdns_operator_api_requests_total\{verb="list",.*\} (\S+)$/gm),
      watches: sum(/^localdns_operator_api_requests_total\{verb="watch",.*\} (\S+)$/gm),
      requests: sum(/^localdns_operator_api_requests_total\{(?!.*"leases").*\} (\S+)$/gm),
    };
  }

  #startOperator(): Daemon {
    return this.#localdns.startOperator(this.#token, {
      ...{ name: `operator-${this.#metricsPort}`, metricsPort: this.#metricsPort },
      args: [`--kube-api-qps=${this.writesPerSecond}`],
      // As in the chart, with the heap that Node allows itself in a container of the chart's size.
      env: { NODE_OPTIONS: '--max-semi-space-size=8 --max-old-space-size=192' },
    });
  }

  async #metrics(): Promise<string> {
    const url = `http://127.0.0.1:${this.#metricsPort}/metrics`;
    return (await this.#cluster.namespace.page({ url, timeoutMs: 30_000 })).body;
  }

  #requests(fromMs: number, untilMs: number): AuditedRequest[] {
    return this.#cluster.audit().filter(({ verb, userAgent, objectRef, requestReceivedTimestamp: at }) => {
      const isOurs = userAgent?.startsWith('localdns-operator/') && objectRef?.resource !== 'leases';
      return isOurs && verb !== 'list' && verb !== 'watch' && Date.parse(at) >= fromMs && Date.parse(at) <= untilMs;
    });
  }

  async #until(wanted: string, is: (profile: LocalDnsProfile) => boolean): Promise<void> {
    const path = `/apis/${apiVersion}/localdnsprofiles`;
    await eventually(wanted, 600_000, async () => {
      this.#operator?.assertRunning();
      const { body } = await this.#cluster.raw(this.#token, 'GET', path);
      const { items } = JSON.parse(body) as { items: LocalDnsProfile[] };
      if (items.some(is)) return true;
      throw new Error(JSON.stringify([items[0]?.status?.nodes, items[0]?.status?.rollout]));
    });
  }

  /** As large as profiles are in practice. */
  async #edit(): Promise<void> {
    this.#edits += 1;
    const blockedDomains = Array.from({ length: 50 }, (_, at) => ({ domain: `ads-${at}.edit-${this.#edits}.example` }));
    const hosts = Array.from({ length: 20 }, (_, at) => ({
      hostnames: [`h${at}.example`],
      addresses: [`10.9.0.${at}`],
    }));
    const rollout = {
      maxUnavailable: this.#maxUnavailable,
      canary: { nodes: 1, soakSeconds: 1 },
      probes: ['kubernetes.default.svc.cluster.local'],
    };
    const spec = { nodeSelector: { matchLabels: servedPool }, blockedDomains, hosts, rollout };
    await this.#cluster.applyOk([{ apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec }]);
  }

  #startProgram(name: string, args: readonly string[]): Daemon {
    return this.#cluster.startDaemon({
      name: `${name}${args.join('-')}`,
      command: join(root, 'bin/node'),
      args: [join(import.meta.dirname, `${name}.ts`), this.#adminKubeconfig, ...args],
    });
  }

  get #adminKubeconfig(): string {
    return join(this.#cluster.folder.path, 'admin.kubeconfig');
  }
}

function writesOf(requests: readonly AuditedRequest[]): Pick<Step, 'writes' | 'writesPerSecond' | 'mostPerObject'> {
  const writes = new Map<string, number>();
  const seconds = new Map<number, number>();
  const objects = new Map<string, number>();
  const mostPerObject: Record<string, number> = {};
  for (const { verb, objectRef, requestReceivedTimestamp, responseStatus } of requests) {
    const { resource, subresource, name } = objectRef ?? {};
    const refused = (responseStatus?.code ?? 0) < 300 ? '' : `: ${responseStatus?.code}`;
    const what = `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}${refused}`;
    count(writes, what);
    count(seconds, Math.floor(Date.parse(requestReceivedTimestamp) / 1000));
    mostPerObject[what] = Math.max(mostPerObject[what] ?? 0, count(objects, `${what} ${name}`));
  }
  return { writes: Object.fromEntries(writes), writesPerSecond: [...seconds.values()], mostPerObject };
}

function valuesIn(page: string, pattern: RegExp): number[] {
  return [...page.matchAll(pattern)].map(([, value]) => Number(value));
}

function count<K>(counts: Map<K, number>, key: K): number {
  const now = (counts.get(key) ?? 0) + 1;
  counts.set(key, now);
  return now;
}

/** In MiB; undefined where it does not run. */
function memoryOf(program: Daemon | undefined): number | undefined {
  if (!program?.isRunning) return undefined;
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${program.pid}/status`, 'utf8')) ?? [];
  return Math.round((Number(kibibytes) / mebibyte) * 10) / 10;
}

function processorMsOf({ pid }: Daemon): number {
  // After the name in parentheses, which may have spaces: utime and stime are fields 14 and 15 (proc_pid_stat(5)).
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}
