import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Daemon } from '../cluster/daemon.ts';
import type { AgentPlace } from '../cluster/installation.ts';
import { pause } from '../cluster/scene.ts';
import { isNightly } from '../tools/nightly.ts';
import { type CommonLab, commonLab } from './common-lab.ts';
import { asked, type Goal } from './goals.ts';
import type { ProxyMode } from './kube-proxy.ts';
import type { Lab } from './lab.ts';
import type { NodeState } from './node-state.ts';
import { type Moments, type OrdealOptions, underLoad } from './ordeal.ts';
import { Results } from './results.ts';
import { bothKinds, bothKindsAndFamilies, type ServedLab } from './served-lab.ts';
import { Traffic } from './traffic.ts';

/** The same events in each mode of kube-proxy that this run is to try. */
export function inEachMode(events: (trial: Trial) => void): void {
  const modes: readonly ProxyMode[] = isNightly ? ['nftables', 'iptables'] : ['nftables'];
  for (const mode of modes) describe(`kube-proxy in ${mode} mode`, () => events(new Trial(mode)));
}

/** An event of the larger form: what it shows others show too, or it takes long. */
export function nightly(name: string, event: () => Promise<void>): void {
  test(name, { skip: isNightly ? false : 'for npm test -- --nightly' }, event);
}

/** A served lab, what its events have cost, and the table of that at its end. */
export class Trial {
  readonly #results = new Results();
  #common: CommonLab | undefined;
  #warm: Daemon | undefined;

  constructor(mode: ProxyMode) {
    before(async () => {
      this.#common = await commonLab(mode);
      await this.serving();
    });
    after(() => this.#results.print());
    afterEach((context) => {
      if ('passed' in context && !context.passed) console.log(this.#common?.served.lastWords);
    });
  }

  get served(): ServedLab {
    if (this.#common === undefined) throw new Error('the lab is there once the tests run');
    return this.#common.served;
  }

  /** The node before anything of ours ran there. */
  get bare(): NodeState {
    return this.#common?.bare ?? {};
  }

  get lab(): Lab {
    return this.served.lab;
  }

  get agent(): Daemon {
    return this.served.agent;
  }

  /**
   * Whatever the test before has left: an agent serves, and has served.
   * @param place of the one that is started where none runs
   */
  async serving(place: AgentPlace = {}): Promise<void> {
    if (!this.agent.isRunning) this.served.startAgent(place);
    await this.served.untilIntercepted();
    if (this.#warm === this.agent) return;
    // What an event costs is to be seen, and not how the first queries of a process find its code.
    const traffic = await Traffic.start({ from: this.lab.pods, servers: bothKindsAndFamilies });
    await pause(500);
    await traffic.stop();
    this.#warm = this.agent;
  }

  /** What an agent has learned of the node's rules goes with it. */
  async servingAnew(place: AgentPlace = {}): Promise<void> {
    if (this.agent.isRunning) await this.agent.stop();
    await this.serving(place);
  }

  /** One event while pods ask; fails where a goal is missed. A deed that tells no moments is the event from its start to its end. */
  async ordeal(
    event: string,
    goals: readonly Goal[],
    deed: () => Promise<Moments | undefined>,
    options: Partial<OrdealOptions> = {},
  ): Promise<void> {
    const load = { from: this.lab.pods, servers: bothKinds, ...options };
    const outcome = await underLoad(this.lab, load, async () => {
      const atMs = Date.now();
      return (await deed()) ?? { atMs };
    });
    const all = load.perSecond === undefined ? [...goals, asked(300)] : goals;
    assert.deepEqual(this.#results.note(event, this.served.kubeProxy.mode, outcome, all), []);
  }

  async kill(): Promise<Moments> {
    const atMs = Date.now();
    await this.agent.kill();
    return { atMs, untilMs: Date.now() };
  }
}
