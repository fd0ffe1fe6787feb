import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, afterEach, before, describe } from 'node:test';
import { pause } from '../cluster/scene.ts';
import { asked, type Goal } from '../datapath/goals.ts';
import type { ProxyMode } from '../datapath/kube-proxy.ts';
import { type Moments, type OrdealOptions, type Outcome, underLoad } from '../datapath/ordeal.ts';
import { Results } from '../datapath/results.ts';
import { bothKinds } from '../datapath/served-lab.ts';
import { eventually } from '../tools/eventually.ts';
import type { Container } from './containers.ts';
import { ServedCluster } from './served-cluster.ts';

/** With one node, what several have to show is left out, and so is the second mode of kube-proxy. */
export const isSmall = process.env.LOCALDNS_E2E_NODES === '1';

/** All files of a run share a cluster: the next one finds what the one before has left. */
let common: ServedCluster | undefined;

after(() => common?.stop());

export function inEachMode(proofs: (proof: Proof) => void): void {
  const modes: readonly ProxyMode[] = isSmall ? ['nftables'] : ['nftables', 'iptables'];
  for (const mode of modes) inMode(mode, proofs);
}

export function inMode(mode: ProxyMode, proofs: (proof: Proof) => void): void {
  describe(`kube-proxy in ${mode} mode`, () => proofs(new Proof(mode)));
}

/** What events cost the pods of a real node, and the table of that at the end. */
export class Proof {
  readonly mode: ProxyMode;
  readonly #results = new Results();

  constructor(mode: ProxyMode) {
    this.mode = mode;
    before(async () => {
      common ??= await ServedCluster.start(mode);
      await common.setProxyMode(mode);
    });
    after(() => this.#results.print());
    afterEach(async (context) => {
      if ('passed' in context && !context.passed) console.log(await common?.lastWords());
    });
  }

  get served(): ServedCluster {
    if (common === undefined) throw new Error('the cluster is there once the tests run');
    return common;
  }

  /** One event while pods ask; fails where a goal is missed. A deed that tells no moments is the event from its start to its end. */
  async ordeal(
    event: string,
    goals: readonly Goal[],
    deed: () => Promise<Moments | undefined>,
    options: Partial<OrdealOptions> = {},
  ): Promise<Outcome> {
    const load = { from: this.served.networks, servers: bothKinds, maxSeconds: 600, ...options };
    const outcome = await underLoad(this.served, load, async () => {
      const atMs = Date.now();
      return (await deed()) ?? { atMs };
    });
    assert.deepEqual(this.#results.note(event, this.mode, outcome, [...goals, asked(300)]), []);
    return outcome;
  }

  fact(what: string, value: string): void {
    this.#results.fact(what, this.mode, value);
  }

  /** Ends a process of the node at once. */
  async kill({ pid }: Container): Promise<Moments> {
    const { servedNode } = this.served;
    const atMs = Date.now();
    await servedNode.run('kill', ['-9', String(pid)]);
    await eventually('it is gone', 5_000, () => !existsSync(servedNode.process(pid)));
    return { atMs, untilMs: Date.now() };
  }

  /** The one agent that serves. */
  agent(): Container {
    const agents = this.served.agents();
    const [agent] = agents;
    assert.ok(agent !== undefined && agents.length === 1, `${agents.length} agents`);
    return agent;
  }

  /** Without what kubelet remembers of crashes: it would let the next start wait. */
  async freshAgent(): Promise<void> {
    await this.served.replaceAgent();
    await pause(500);
  }
}
