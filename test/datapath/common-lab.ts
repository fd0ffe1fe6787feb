/**
 * The lab of all test files that run in one process: a start takes many seconds, so the next file finds what one has started. Whoever
 * wants the bare lab comes first.
 */
import { after } from 'node:test';
import type { ProxyMode } from './kube-proxy.ts';
import { Lab } from './lab.ts';
import { type NodeState, nodeState } from './node-state.ts';
import { ServedLab } from './served-lab.ts';

export interface CommonLab {
  served: ServedLab;
  /** The node before anything of ours ran there. */
  bare: NodeState;
}

let lab: Lab | undefined;
/** Once something of ours runs in it. */
let common: CommonLab | undefined;

after(() => stop());

/** Nothing of ours has run in it. */
export async function bareLab(mode: ProxyMode): Promise<Lab> {
  if (common !== undefined) await stop();
  lab ??= await Lab.start(mode);
  await lab.setProxyMode(mode);
  return lab;
}

/** Served by an agent that has just been started, with the default profile. */
export async function commonLab(mode: ProxyMode): Promise<CommonLab> {
  if (common?.served.kubeProxy.mode === mode) {
    try {
      await common.served.renew();
      return common;
    } catch (error) {
      // Whoever left it so has been red already; the files after it need a lab that works.
      console.log(`the lab cannot be used any more: ${error}\n${common.served.lastWords}`);
    }
  }
  const fresh = await bareLab(mode);
  try {
    const bare = await nodeState(fresh.node);
    common = { served: await ServedLab.start(fresh), bare };
    return common;
  } catch (error) {
    await stop();
    throw error;
  }
}

async function stop(): Promise<void> {
  const old = lab;
  lab = undefined;
  common = undefined;
  await old?.stop();
}
